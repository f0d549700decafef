"""The Scale client: carries out what the rules ask for, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx
from tenacity import Retrying

from lidarprep.api.annotations import FrameAnnotations
from lidarprep.api.base import NO_ANSWER, given_key, given_url
from lidarprep.api.connection import ConnectionOptions, WhoAmI, opened
from lidarprep.api.exchange import Attempts, Call, Flow, Pause
from lidarprep.api.flows import next_query
from lidarprep.api.listing import Query, TaskFilters, TaskPage, task_query
from lidarprep.api.methods import ScaleMethods
from lidarprep.api.retry import retry_policy
from lidarprep.api.secrecy import without_frames
from lidarprep.api.task import Task

Result = TypeVar("Result")


class ScaleClient(ScaleMethods[Task, TaskPage[Task], tuple[FrameAnnotations, ...], Any, WhoAmI]):
    """A client of the Scale API. Safe to use from several threads; close it, or use it in a `with` statement.

    A request that fails for reasons that pass (no connection, no answer in time, 408, 429, 5xx) is tried again, waiting
    longer each time, or as long as the server asks. That is safe for creates too: every call sends one Idempotency-Key,
    kept over its retries, of which the API makes at most one task.

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
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        key, url = given_key(api_key), given_url(api_url)
        del api_key, api_url  # so that no traceback from here on shows a key among the local variables
        options = ConnectionOptions(timeout, max_connections, proxy, ca_bundle, client_certificate, client_key)
        super().__init__(key, url, options, retries, clock)
        self._sleep = sleep
        self._retrying = Retrying(sleep=sleep, **retry_policy(retries))
        self._http = opened(httpx.Client, options, self.api_url, transport)

    def iter_tasks(self, **filters: Unpack[TaskFilters]) -> Iterator[Task]:
        """All tasks, newest first, page by page as they are asked for.

        Args:
            filters: What to list by; see TaskFilters.

        Raises:
            ParameterError: A filter makes no sense; nothing was sent.
            ApiError: The API, or the way to it, said no.
        """
        return self._all_pages(task_query(filters))

    def _all_pages(self, first: Query) -> Iterator[Task]:
        query: Query | None = first
        while query is not None:
            page = self._page(self._flows.page(query))
            yield from page.tasks
            query = next_query(first, page, query)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _task(self, flow: Flow[Task]) -> Task:
        return self._run(flow).bound_to(self)

    def _page(self, flow: Flow[TaskPage[Task]]) -> TaskPage[Task]:
        page = self._run(flow)
        for task in page.tasks:
            task.bound_to(self)
        return page

    def _frames(self, flow: Flow[tuple[FrameAnnotations, ...]]) -> tuple[FrameAnnotations, ...]:
        return self._run(flow)

    def _json(self, flow: Flow[tuple[Any, str]]) -> Any:
        return self._run(flow)[0]

    def _whoami(self, flow: Flow[WhoAmI]) -> WhoAmI:
        return self._run(flow)

    def _run(self, flow: Flow[Result]) -> Result:
        outcome: Any = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as end:
                result: Result = end.value
                return result
            if isinstance(step, Pause):
                self._sleep(step.seconds)
                outcome = None
            else:
                outcome = self._send(step)

    def _send(self, call: Call[Any]) -> Any:
        attempts = Attempts(call)
        return self._send_once(attempts) if call.once else self._retrying.copy()(self._send_once, attempts)

    def _send_once(self, attempts: Attempts) -> Any:
        try:
            response = self._http.request(**self._http_arguments(attempts.request))
        except NO_ANSWER as cause:
            return self._unanswered(attempts, cause)
        except BaseException as stopped:  # noqa: BLE001 — Ctrl-C too; all of it is raised again
            raise without_frames(stopped)  # noqa: B904 — it is the same exception
        return self._answered(attempts, response)
