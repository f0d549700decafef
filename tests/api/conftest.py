"""An API that answers as a test tells it to, and clients that talk to it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from lidarprep.api import AsyncScaleClient, ScaleClient

TASK = {"task_id": "5a99e20de50d4979ce6d291e", "type": "lidarannotation", "status": "pending"}


class ScriptedApi:
    """Answers requests one after the other, and remembers them; the last answer stays.

    An answer is an httpx.Response, or an exception to be raised in its place.
    """

    def __init__(self) -> None:
        self.answers: list[httpx.Response | Exception] = [httpx.Response(200, json=TASK)]
        self.requests: list[httpx.Request] = []
        self.waits_s: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        # A response can be read once, so every request gets one of its own.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def client(self, **settings: Any) -> ScaleClient:
        settings = {"api_key": "test_key", "api_url": "https://api.example.com/v1", **settings}
        return ScaleClient(transport=httpx.MockTransport(self), sleep=self.waits_s.append, **settings)

    def async_client(self, **settings: Any) -> AsyncScaleClient:
        async def sleep(seconds: float) -> None:
            self.waits_s.append(seconds)

        settings = {"api_key": "test_key", "api_url": "https://api.example.com/v1", **settings}
        return AsyncScaleClient(transport=httpx.MockTransport(self), sleep=sleep, **settings)


class Caller:
    """Calls a method of a client, of the kind that the test is run with: what holds for one holds for the other."""

    def __init__(self, api: ScriptedApi, kind: str) -> None:
        self.api = api
        self.kind = kind

    def __call__(self, method: str, *args: Any, settings: dict[str, Any] | None = None, **keywords: Any) -> Any:
        if self.kind == "sync":
            with self.api.client(**settings or {}) as client:
                result = getattr(client, method)(*args, **keywords)
                return list(result) if method == "iter_tasks" else result

        async def call() -> Any:
            async with self.api.async_client(**settings or {}) as client:
                result = getattr(client, method)(*args, **keywords)
                return [task async for task in result] if method == "iter_tasks" else await result

        return asyncio.run(call())


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture(params=["sync", "async"])
def call(api: ScriptedApi, request: pytest.FixtureRequest) -> Caller:
    return Caller(api, request.param)


@pytest.fixture
def client(api: ScriptedApi) -> Iterator[ScaleClient]:
    with api.client() as client:
        yield client


@pytest.fixture
def create(client: ScaleClient) -> Callable[[], object]:
    """A create call whose parameters are right."""
    return lambda: client.create_lidar_annotation(
        attachments=["https://example.com/1.json"], attachment_type="json", labels=["car"]
    )
