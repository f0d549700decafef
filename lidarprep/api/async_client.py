"""The Scale client for asyncio: the same methods and rules, awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, Unpack

import httpx
from tenacity import AsyncRetrying

from lidarprep.api.annotations import FrameAnnotations
from lidarprep.api.base import NO_ANSWER, given_key, given_url
from lidarprep.api.connection import ConnectionOptions, WhoAmI, opened
from lidarprep.api.exchange import Attempts, Call, Flow, Pause
from lidarprep.api.flows import next_query
from lidarprep.api.listing import Query, TaskFilters, TaskPage, task_query
from lidarprep.api.methods import ScaleMethods
from lidarprep.api.retry import retry_policy
from lidarprep.api.secrecy import without_frames
from lidarprep.api.task import AsyncTask, Task

Result = TypeVar("Result")
Soon: TypeAlias = Coroutine[Any, Any, Result]


class AsyncScaleClient(
    ScaleMethods[
        Soon[AsyncTask], Soon[TaskPage[AsyncTask]], Soon[tuple[FrameAnnotations, ...]], Soon[Any], Soon[WhoAmI]
    ]
):
    """A client of the Scale API for asyncio; close it, or use it in an `async with` statement.

    Its methods are those of ScaleClient, and are awaited; so are its tasks' methods. Hundreds of calls may be under way
    at once: they share `max_connections` connections, and wait for a free one as long as it takes.

    Args:
        api_key: The API key; by default the environment variable SCALE_API_KEY.
        api_url: The API's address; by default SCALE_API_URL, or else Scale's own.
        timeout: Seconds to wait for a connection, and for each part of an answer.
        retries: How often a request is tried again.
        max_connections: How many connections are open at a time.
        proxy: URL of a proxy; by default the environment's (HTTPS_PROXY, …). Never used for an API on this machine.
        ca_bundle: PEM file or folder with the authorities to trust; by default SSL_CERT_FILE, or else the usual ones.
        client_certificate: PEM file with the certificate to show.
        client_key: PEM file with its private key, unless that is in client_certificate.
        transport: What carries the requests, in place of the network.
        sleep: Waits between tries, given seconds.
        clock: Seconds of a clock that doesn't jump, for `wait`.

    Raises:
        MissingKeyError: There is no API key.
        ParameterError: The address, or an option, makes no sense.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_url: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 5,
        max_connections: int = 100,
        proxy: str | None = None,
        ca_bundle: str | PathLike[str] | None = None,
        client_certificate: str | PathLike[str] | None = None,
        client_key: str | PathLike[str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        key, url = given_key(api_key), given_url(api_url)
        del api_key, api_url  # so that no traceback from here on shows a key among the local variables
        options = ConnectionOptions(timeout, max_connections, proxy, ca_bundle, client_certificate, client_key)
        super().__init__(key, url, options, retries, clock)
        self._sleep = sleep
        self._retrying = AsyncRetrying(sleep=sleep, **retry_policy(retries))
        self._http = opened(httpx.AsyncClient, options, self.api_url, transport)

    def iter_tasks(self, **filters: Unpack[TaskFilters]) -> AsyncIterator[AsyncTask]:
        """All tasks, newest first, page by page as they are asked for; to be used with `async for`.

        Args:
            filters: What to list by; see TaskFilters.

        Raises:
            ParameterError: A filter makes no sense; nothing was sent.
            ApiError: The API, or the way to it, said no.
        """
        return self._all_pages(task_query(filters))

    async def _all_pages(self, first: Query) -> AsyncIterator[AsyncTask]:
        query: Query | None = first
        while query is not None:
            page = await self._page(self._flows.page(query))
            for task in page.tasks:
                yield task
            query = next_query(first, page, query)

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _task(self, flow: Flow[Task]) -> AsyncTask:
        return self._bound(await self._run(flow))

    async def _page(self, flow: Flow[TaskPage[Task]]) -> TaskPage[AsyncTask]:
        page = await self._run(flow)
        return page.of(tuple(self._bound(task) for task in page.tasks))

    async def _frames(self, flow: Flow[tuple[FrameAnnotations, ...]]) -> tuple[FrameAnnotations, ...]:
        return await self._run(flow)

    async def _json(self, flow: Flow[tuple[Any, str]]) -> Any:
        return (await self._run(flow))[0]

    async def _whoami(self, flow: Flow[WhoAmI]) -> WhoAmI:
        return await self._run(flow)

    def _bound(self, task: Task) -> AsyncTask:
        return AsyncTask(**vars(task)).bound_to(self)

    async def _run(self, flow: Flow[Result]) -> Result:
        outcome: Any = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as end:
                result: Result = end.value
                return result
            if isinstance(step, Pause):
                await self._sleep(step.seconds)
                outcome = None
            else:
                outcome = await self._send(step)

    async def _send(self, call: Call[Any]) -> Any:
        attempts = Attempts(call)
        if call.once:
            return await self._send_once(attempts)
        # A policy of its own for each call: tenacity keeps a call's state by thread, which all calls share here.
        return await self._retrying.copy()(self._send_once, attempts)

    async def _send_once(self, attempts: Attempts) -> Any:
        try:
            response = await self._http.request(**self._http_arguments(attempts.request))
        except NO_ANSWER as cause:
            return self._unanswered(attempts, cause)
        except BaseException as stopped:  # noqa: BLE001 — Ctrl-C too; all of it is raised again
            raise without_frames(stopped)  # noqa: B904 — it is the same exception
        return self._answered(attempts, response)
