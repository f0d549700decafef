"""A server that makes tasks and keeps the reference's promises on Idempotency-Key and unique_id, over a bad line."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs

import httpx

from lidarprep.api import AsyncScaleClient, ScaleClient

# What may happen to a request. "after" is after the server did what it was asked for; "saved" is an answer that the
# server keeps for the Idempotency-Key, and gives again.
FAULTS = (
    "none",
    "cut_before",
    "cut_after",
    "timeout_before",
    "timeout_after",
    "408",
    "429",
    "429_with_retry_after",
    "500_before",
    "500_after",
)
SAVED_FAULTS = ("500_saved", "500_saved_after")


class FaultyApi:
    """Answers by the list of faults, one a request, and then without any."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = list(faults)
        self.tasks: list[dict[str, Any]] = []
        self.saved: dict[str, tuple[bytes, httpx.Response]] = {}
        self.requests = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        fault = self.faults.pop(0) if self.faults else "none"
        if fault == "cut_before":
            raise httpx.ConnectError("refused")
        if fault == "timeout_before":
            raise httpx.ConnectTimeout("slow")
        if fault in ("408", "429", "500_before"):
            return httpx.Response(int(fault[:3]), json={"error": "Not now."})
        if fault == "429_with_retry_after":
            return httpx.Response(429, headers={"Retry-After": "3"})
        answer = self.answer(request, fault)
        if fault == "cut_after":
            raise httpx.ReadError("cut")
        if fault == "timeout_after":
            raise httpx.ReadTimeout("slow")
        if fault == "500_after":
            return httpx.Response(500, json={"error": "Broke after the work."})
        return httpx.Response(answer.status_code, content=answer.content)

    def answer(self, request: httpx.Request, fault: str) -> httpx.Response:
        if request.method == "GET":
            return self.find(request)
        key = request.headers["idempotency-key"]
        if key in self.saved:
            body, answer = self.saved[key]
            return answer if body == request.content else httpx.Response(409, json={"error": "Idempotency-Key reused."})
        if fault == "500_saved":
            answer = httpx.Response(500, json={"error": "Broke, and said so for 24 hours."})
        else:
            answer = self.create(request)
            if fault == "500_saved_after":
                answer = httpx.Response(500, json={"error": "Made it, and broke for 24 hours."})
        self.saved[key] = (request.content, answer)
        return answer

    def create(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        unique_id = body.pop("unique_id", None)
        for task in self.tasks:
            if unique_id is not None and task["unique_id"] == unique_id:
                found = f'The unique_id ("{unique_id}") is already used for a different task ({task["task_id"]}).'
                return httpx.Response(409, json={"status_code": 409, "error": found})
        task_id = f"{len(self.tasks) + 1:024x}"
        kind = request.url.path.rsplit("/", 1)[-1]
        task = {"task_id": task_id, "type": kind, "status": "pending", "unique_id": unique_id, "params": body}
        self.tasks.append(task)
        return httpx.Response(200, json=task)

    def find(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/tasks"):
            wanted = parse_qs(request.url.query.decode()).get("unique_id", [])
            docs = [task for task in self.tasks if task["unique_id"] in wanted]
            return httpx.Response(200, json={"docs": docs, "has_more": False})
        task_id = request.url.path.rsplit("/", 1)[-1]
        for task in self.tasks:
            if task["task_id"] == task_id:
                return httpx.Response(200, json=task)
        return httpx.Response(404, json={"error": "No such task."})

    def create_task(self, kind: str, parameters: dict[str, Any], retries: int) -> Any:
        """What a client makes of a create call: its task, or the error that it raises."""
        settings: dict[str, Any] = {"transport": httpx.MockTransport(self), "retries": retries}
        if kind == "sync":
            with ScaleClient("test_key", "https://api.example.com/v1", sleep=lambda _: None, **settings) as client:
                return client.create_task("multistage", parameters)

        async def create() -> Any:
            async def sleep(_: float) -> None:
                await asyncio.sleep(0)

            async with AsyncScaleClient("test_key", "https://api.example.com/v1", sleep=sleep, **settings) as client:
                return await client.create_task("multistage", parameters)

        return asyncio.run(create())
