"""The Scale client: sends what the protocol builds, over HTTP."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx
from tenacity import Retrying

from lidarprep.api.address import DEFAULT_API_URL, is_loopback
from lidarprep.api.key import ApiKey
from lidarprep.api.parameters import (
    LidarAnnotation,
    LidarLinking,
    LidarSegmentation,
    LidarTopdown,
    Multistage,
    TaskParameters,
)
from lidarprep.api.protocol import Answer, ApiRequest, Failure, ScaleProtocol
from lidarprep.api.retry import retry_policy
from lidarprep.api.task import Task
from lidarprep.errors import ParameterError

log = logging.getLogger(__name__)

Keywords = ParamSpec("Keywords")
Client = TypeVar("Client")
Result = TypeVar("Result")


def _keywords_of(
    model: Callable[Keywords, TaskParameters],
) -> Callable[
    [Callable[[Client, Mapping[str, Any]], Result]],
    Callable[Concatenate[Client, Keywords], Result],
]:
    """Gives a method the keyword arguments of a parameter model.

    The tables of the reference are written once, in the models; type checkers, editors and `help` show them as the
    method's own.
    """

    def decorate(
        method: Callable[[Client, Mapping[str, Any]], Result],
    ) -> Callable[Concatenate[Client, Keywords], Result]:
        @functools.wraps(method)
        def with_keywords(client: Client, /, *args: Keywords.args, **parameters: Keywords.kwargs) -> Result:
            if args:
                raise TypeError(f"{method.__name__} takes task parameters by name")
            return method(client, parameters)

        with_keywords.__signature__ = _readable_signature(method, model)  # type: ignore[attr-defined]
        return with_keywords

    return decorate


def _readable_signature(method: Callable[..., object], model: Callable[..., TaskParameters]) -> inspect.Signature:
    """The method's signature with the model's keywords: what is required first, types as they are written there."""
    own = inspect.signature(method)
    keywords = list(inspect.signature(model).parameters.values())
    keywords.sort(key=lambda keyword: keyword.default is not keyword.empty)
    if inspect.isclass(model):
        types: dict[str, Any] = {}
        for base in reversed(inspect.getmro(model)):
            types.update(inspect.get_annotations(base))
        keywords = [keyword.replace(annotation=types[keyword.name]) for keyword in keywords]
    return own.replace(parameters=[own.parameters["self"], *keywords])


class ScaleClient:
    """A client of the Scale API. Safe to use from several threads; close it, or use it in a `with` statement.

    A request that fails for reasons that pass (no connection, no answer in time, 408, 429, 5xx) is tried again, waiting
    longer each time, or as long as the server asks. That is safe for creates too: every call sends one Idempotency-Key,
    kept over its retries, of which the API makes at most one task.

    Args:
        api_key: The API key; by default the environment variable SCALE_API_KEY.
        api_url: The API's address; by default SCALE_API_URL, or else Scale's own.
        timeout: Seconds to wait for a connection, and for each part of an answer.
        retries: How often a request is tried again.
        transport: What carries the requests, in place of the network.
        sleep: Waits between tries, given seconds.

    Raises:
        UnauthorizedError: There is no API key.
        ParameterError: The address, timeout or retries make no sense.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_url: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 5,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._key = ApiKey(os.environ.get("SCALE_API_KEY") if api_key is None else api_key)
        del api_key  # so that no traceback from here on shows it among the local variables
        if not timeout > 0:
            raise ParameterError(f"timeout is {timeout}; it must be above 0 seconds")
        if retries < 0:
            raise ParameterError(f"retries is {retries}; it must be at least 0")
        self._protocol = ScaleProtocol(api_url or os.environ.get("SCALE_API_URL") or DEFAULT_API_URL, self._key)
        loopback = is_loopback(self.api_url)
        if self.api_url.startswith("http://") and not loopback:
            log.warning("%s is not encrypted: the API key can be read on the way to it", self.api_url)
        self._retrying = Retrying(sleep=sleep, **retry_policy(retries))
        self._http = httpx.Client(
            auth=httpx.BasicAuth(self._key.reveal(), ""),
            headers={"User-Agent": "lidarprep"},
            timeout=timeout,
            transport=transport,
            trust_env=not loopback,  # a proxy of the environment would look for the loopback address on itself
        )

    @property
    def api_url(self) -> str:
        """The API's address."""
        return self._protocol.api_url

    @_keywords_of(LidarAnnotation)
    def create_lidar_annotation(self, parameters: Mapping[str, Any]) -> Task:
        """Creates a lidarannotation task: cuboids over the frames of a scene. Parameters: see LidarAnnotation.

        Raises:
            ParameterError: A parameter is wrong; nothing was sent.
            ApiError: The API, or the way to it, said no; see lidarprep.errors for the kinds.
        """
        return self.create_task(LidarAnnotation.task_type, parameters)

    @_keywords_of(LidarSegmentation)
    def create_lidar_segmentation(self, parameters: Mapping[str, Any]) -> Task:
        """Creates a lidarsegmentation task: a class for every point. Parameters: see LidarSegmentation.

        Raises:
            ParameterError: A parameter is wrong; nothing was sent.
            ApiError: The API, or the way to it, said no.
        """
        return self.create_task(LidarSegmentation.task_type, parameters)

    @_keywords_of(LidarTopdown)
    def create_lidar_topdown(self, parameters: Mapping[str, Any]) -> Task:
        """Creates a lidartopdown task: shapes drawn from above. Parameters: see LidarTopdown.

        Raises:
            ParameterError: A parameter is wrong; nothing was sent.
            ApiError: The API, or the way to it, said no.
        """
        return self.create_task(LidarTopdown.task_type, parameters)

    @_keywords_of(LidarLinking)
    def create_lidar_linking(self, parameters: Mapping[str, Any]) -> Task:
        """Creates a lidarlinking task: cuboids linked to camera images. Parameters: see LidarLinking.

        Raises:
            ParameterError: A parameter is wrong; nothing was sent.
            ApiError: The API, or the way to it, said no.
        """
        return self.create_task(LidarLinking.task_type, parameters)

    @_keywords_of(Multistage)
    def create_multistage(self, parameters: Mapping[str, Any]) -> Task:
        """Creates a multistage task: a whole scene, in several stages. Parameters: see Multistage.

        Raises:
            ParameterError: A parameter is wrong; nothing was sent.
            ApiError: The API, or the way to it, said no.
        """
        return self.create_task(Multistage.task_type, parameters)

    def create_task(self, task_type: str, parameters: Mapping[str, Any]) -> Task:
        """Creates a task of any type.

        Args:
            task_type: A name of TASK_TYPES.
            parameters: Values by name.

        Raises:
            ParameterError: There is no such type, or a parameter is wrong; nothing was sent.
            ApiError: The API, or the way to it, said no.
        """
        return self._send(self._protocol.create_task(task_type, parameters))

    def get_task(self, task_id: str) -> Task:
        """Retrieves a task.

        Raises:
            NotFoundError: There is no task with that id.
            ApiError: The API, or the way to it, said no.
        """
        return self._send(self._protocol.get_task(task_id))

    def cancel_task(self, task_id: str, clear_unique_id: bool = False) -> Task:
        """Cancels a task that is not completed; cancelling it twice is the same as once.

        Args:
            task_id: The task.
            clear_unique_id: Free its unique_id for another task.

        Raises:
            BadRequestError: The task is completed.
            NotFoundError: There is no task with that id.
            ApiError: The API, or the way to it, said no.
        """
        return self._send(self._protocol.cancel_task(task_id, clear_unique_id=clear_unique_id))

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ScaleClient({self.api_url!r})"

    def _send(self, request: ApiRequest) -> Task:
        outcome = self._retrying(self._send_once, request)  # keeps the state of a call by thread
        if isinstance(outcome, Failure):
            raise outcome.error
        return outcome

    def _send_once(self, request: ApiRequest) -> Task | Failure:
        log.debug("%s %s", request.method, request.path)
        try:
            response = self._http.request(request.method, request.url, content=request.body, headers=request.headers)
        except httpx.TimeoutException as cause:
            return self._protocol.no_answer(request, _words(cause), timed_out=True)
        except httpx.RequestError as cause:
            # A certificate that is not trusted now won't be in a second.
            untrusted = "CERTIFICATE_VERIFY_FAILED" in str(cause)
            return self._protocol.no_answer(request, _words(cause), retry=not untrusted)
        log.debug("%s %s was answered %d", request.method, request.path, response.status_code)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return self._protocol.read_task(request, Answer(response.status_code, headers, response.content))


def _words(cause: httpx.RequestError) -> str:
    """What went wrong: httpx's message, or the name of its error where that is empty."""
    return str(cause) or type(cause).__name__
