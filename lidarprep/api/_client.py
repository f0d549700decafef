"""The two clients: ScaleClient blocks, AsyncScaleClient is awaited."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

import httpx

from lidarprep.api._access import Access, ClientBase
from lidarprep.api._listing import Query, TaskFilters, next_query, task_query
from lidarprep.api._operations import Operations
from lidarprep.api._task import AsyncTask, Task
from lidarprep.api._transport import MOST_CONNECTIONS, ConnectionOptions
from lidarprep.errors import LidarprepError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _awaitable(function: Callable[Arguments, Result]) -> Callable[Arguments, Coroutine[Any, Any, Result]]:
    """Make a coroutine function of a blocking one; its coroutine never suspends."""

    async def call(*args: Arguments.args, **keywords: Arguments.kwargs) -> Result:
        return function(*args, **keywords)

    return call


def _run(operation: Coroutine[Any, Any, Result]) -> Result:
    """Run an operation that awaits only coroutines that never suspend: its first step is its last."""
    try:
        operation.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise AssertionError("an operation of a blocking client was suspended")


def _blocking(
    operation: Callable[Concatenate[Operations[Task], Arguments], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[ScaleClient, Arguments], Result]:
    """Make the blocking client's method of an operation."""

    @functools.wraps(operation)
    def method(self: ScaleClient, /, *args: Arguments.args, **keywords: Arguments.kwargs) -> Result:
        return _run(operation(self._operations, *args, **keywords))

    return method


class ScaleClient(ClientBase):
    """A client of the Scale API. Safe to use from several threads; close it, or use it in a `with` statement.

    A request that fails for passing reasons (no connection, no response in time, 408, 429, 5xx) is retried. The waits
    grow, or are as long as the server asks. That is safe for creates too: the retries of a call share one
    Idempotency-Key, of which the API makes at most one task.

    Methods raise ParameterError where an argument is wrong; then nothing was sent. They raise ApiError where a request
    failed; see lidarprep.errors for its kinds.

    Args:
        api_key: The API key; by default the environment variable SCALE_API_KEY.
        api_url: The API's address; by default SCALE_API_URL, or else Scale's own.
        timeout: Seconds to wait for a connection, and for each part of a response.
        retries: Most retries of a request.
        max_connections: Most open connections. Further calls wait for one, as long as it takes.
        proxy: URL of a proxy: http://, https:// or socks5://; by default the environment's (HTTPS_PROXY, …). Never used
            for an API on this machine.
        ca_bundle: PEM file, or folder of hashed ones, with the authorities to trust; by default SSL_CERT_FILE, or else
            the usual ones.
        client_certificate: PEM file with the certificate to show.
        client_key: PEM file with its private key, not encrypted, unless that is in client_certificate.
        transport: Carries the requests in place of the network.
        sleep: Waits between tries, given seconds.
        clock: Seconds of a monotonic clock, for `wait`.

    Raises:
        MissingKeyError: There is no API key.
        ParameterError: The address, or an option, is not valid.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_url: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 5,
        max_connections: int = MOST_CONNECTIONS,
        proxy: str | None = None,
        ca_bundle: str | PathLike[str] | None = None,
        client_certificate: str | PathLike[str] | None = None,
        client_key: str | PathLike[str] | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        access = Access.read(api_key, api_url)
        del api_key, api_url  # so that no traceback from here on shows a key among the local variables
        if isinstance(access, LidarprepError):
            raise access
        super().__init__(access)
        options = ConnectionOptions(timeout, max_connections, proxy, ca_bundle, client_certificate, client_key)
        self._http = options.open(httpx.Client, access.api_url, transport)
        request, pause = _awaitable(self._http.request), _awaitable(sleep)
        self._operations = Operations(access, request, pause, retries, clock, lambda task: task.bound_to(self))

    whoami = _blocking(Operations.whoami)
    create_task = _blocking(Operations.create_task)
    create_lidar_annotation = _blocking(Operations.create_lidar_annotation)
    create_lidar_segmentation = _blocking(Operations.create_lidar_segmentation)
    create_lidar_topdown = _blocking(Operations.create_lidar_topdown)
    create_lidar_linking = _blocking(Operations.create_lidar_linking)
    create_multistage = _blocking(Operations.create_multistage)
    create_sensor_fusion = _blocking(Operations.create_sensor_fusion)
    create_categorization = _blocking(Operations.create_categorization)
    create_transcription = _blocking(Operations.create_transcription)
    create_phonecall = _blocking(Operations.create_phonecall)
    create_comparison = _blocking(Operations.create_comparison)
    create_annotation = _blocking(Operations.create_annotation)
    create_data_collection = _blocking(Operations.create_data_collection)
    create_audio_transcription = _blocking(Operations.create_audio_transcription)
    get_task = _blocking(Operations.get_task)
    list_tasks = _blocking(Operations.list_tasks)
    cancel_task = _blocking(Operations.cancel_task)
    set_metadata = _blocking(Operations.set_metadata)
    set_unique_id = _blocking(Operations.set_unique_id)
    clear_unique_id = _blocking(Operations.clear_unique_id)
    add_tags = _blocking(Operations.add_tags)
    set_tags = _blocking(Operations.set_tags)
    delete_tags = _blocking(Operations.delete_tags)
    set_dependent_options = _blocking(Operations.set_dependent_options)
    force_dependents = _blocking(Operations.force_dependents)
    audit_task = _blocking(Operations.audit_task)
    create_batch = _blocking(Operations.create_batch)
    finalize_batch = _blocking(Operations.finalize_batch)
    get_batch = _blocking(Operations.get_batch)
    batch_status = _blocking(Operations.batch_status)
    list_batches = _blocking(Operations.list_batches)
    create_project = _blocking(Operations.create_project)
    get_project = _blocking(Operations.get_project)
    list_projects = _blocking(Operations.list_projects)
    set_project_params = _blocking(Operations.set_project_params)
    upload_file = _blocking(Operations.upload_file)
    import_file = _blocking(Operations.import_file)
    wait = _blocking(Operations.wait)
    annotations = _blocking(Operations.annotations)
    annotations_json = _blocking(Operations.annotations_json)
    response_files = _blocking(Operations.response_files)
    _page = _blocking(Operations._page)

    def iter_tasks(self, **filters: Unpack[TaskFilters]) -> Iterator[Task]:
        """Iterate over all tasks, newest first; pages are retrieved as they are needed.

        Args:
            filters: See TaskFilters.
        """
        return self._all_pages(task_query(filters))

    def _all_pages(self, first: Query) -> Iterator[Task]:
        query: Query | None = first
        while query is not None:
            page = self._page(query)
            yield from page.tasks
            query = next_query(first, page, query)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _InThreads:
    """Carries the requests of an asynchronous client by a blocking one, in a thread for each connection.

    httpx's asynchronous pool looks through all connections and waiting requests at each event, and takes twice the CPU
    time of the blocking one for each request: benchmarks/api.py.
    """

    def __init__(self, http: httpx.Client, most: int) -> None:
        self._http = http
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="lidarprep-api")

    async def request(self, *args: Any, **keywords: Any) -> httpx.Response:
        work = functools.partial(self._http.request, *args, **keywords)
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def aclose(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.close()


class _Bounded:
    """Carries requests by an asynchronous client, so many at once."""

    def __init__(self, http: httpx.AsyncClient, most: int) -> None:
        self._http = http
        self._free = asyncio.Semaphore(most)

    async def request(self, *args: Any, **keywords: Any) -> httpx.Response:
        async with self._free:
            return await self._http.request(*args, **keywords)

    async def aclose(self) -> None:
        await self._http.aclose()


class AsyncScaleClient(Operations[AsyncTask]):
    """A client of the Scale API for asyncio; close it, or use it in an `async with` statement.

    Its methods are those of ScaleClient, and are awaited; so are its tasks' methods. Hundreds of calls may run at once:
    they share `max_connections` connections, and wait for a free one as long as it takes. The request of a call that is
    cancelled goes on, and its response is dropped.

    Args: as ScaleClient's; `transport` and `sleep` are asynchronous.

    Raises:
        MissingKeyError: There is no API key.
        ParameterError: The address, or an option, is not valid.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_url: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 5,
        max_connections: int = MOST_CONNECTIONS,
        proxy: str | None = None,
        ca_bundle: str | PathLike[str] | None = None,
        client_certificate: str | PathLike[str] | None = None,
        client_key: str | PathLike[str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        access = Access.read(api_key, api_url)
        del api_key, api_url  # so that no traceback from here on shows a key among the local variables
        if isinstance(access, LidarprepError):
            raise access
        options = ConnectionOptions(timeout, max_connections, proxy, ca_bundle, client_certificate, client_key)
        self._http: _InThreads | _Bounded
        if transport is None:
            http = options.open(httpx.Client, access.api_url, None)
            self._http = _InThreads(http, options.max_connections)
        else:
            self._http = _Bounded(options.open(httpx.AsyncClient, access.api_url, transport), options.max_connections)
        request = self._http.request
        super().__init__(access, request, sleep, retries, clock, lambda task: AsyncTask(**vars(task)).bound_to(self))

    def iter_tasks(self, **filters: Unpack[TaskFilters]) -> AsyncIterator[AsyncTask]:
        """Iterate over all tasks, newest first; for `async for`. See ScaleClient's `iter_tasks`."""
        return self._all_pages(task_query(filters))

    async def _all_pages(self, first: Query) -> AsyncIterator[AsyncTask]:
        query: Query | None = first
        while query is not None:
            page = await self._page(query)
            for task in page.tasks:
                yield task
            query = next_query(first, page, query)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
