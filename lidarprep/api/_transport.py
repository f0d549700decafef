"""Transport: connection options, retries, and the exchange of one request for one response."""

from __future__ import annotations

import logging
import os
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from uuid import uuid4

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, wait_exponential, wait_random

from lidarprep.api._access import Access, is_loopback, url_parts
from lidarprep.api._requests import ApiRequest
from lidarprep.api._responses import ApiResponse, Failure, ResponseReader
from lidarprep.api._secrets import KeyAuth, keep_out_of_logs, without_frames
from lidarprep.errors import ParameterError, ServerError

HttpRequest: TypeAlias = Callable[..., Awaitable[httpx.Response]]  # called as httpx.AsyncClient.request
Sleep: TypeAlias = Callable[[float], Awaitable[None]]
HttpClient = TypeVar("HttpClient", httpx.Client, httpx.AsyncClient)
Result = TypeVar("Result")

PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")

# Errors of the HTTP library without a usable response. OSError: TLS errors pass through it once the connection is open.
# The last two: it reads the address of a redirect, which may not be one.
NO_RESPONSE = (httpx.RequestError, OSError, httpx.InvalidURL, UnicodeError)

# More at once made no more tasks a second in any trial, and cost the client more time for each.
MOST_CONNECTIONS = 16

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 20.0
# Jitter keeps many clients that failed together from coming back together.
JITTER_S = 0.5
# A server on this machine that refuses a connection does not run, or is just starting.
REFUSED_HERE_RETRIES = 3
# A server may ask for a longer wait than a person would sit through.
LONGEST_RETRY_AFTER_S = 120.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConnectionOptions:
    """Time limit, connections, proxy and certificates; see ScaleClient for the options.

    Defaults come from the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY; SSL_CERT_FILE and SSL_CERT_DIR.
    An API on this machine is never reached through a proxy: the proxy would look for it on itself.

    Raises:
        ParameterError: An option is not valid, or a file does not exist.
    """

    timeout: float = 30.0
    max_connections: int = MOST_CONNECTIONS
    proxy: str | None = field(default=None, repr=False)  # it may hold a password
    ca_bundle: str | PathLike[str] | None = None
    client_certificate: str | PathLike[str] | None = None
    client_key: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise ParameterError(f"timeout is {self.timeout}; it must be above 0 seconds")
        if self.max_connections < 1:
            raise ParameterError(f"max_connections is {self.max_connections}; it must be at least 1")
        for name in ("ca_bundle", "client_certificate", "client_key"):
            path = getattr(self, name)
            if path is not None and not (Path(path).is_file() or (name == "ca_bundle" and Path(path).is_dir())):
                raise ParameterError(f"{name}: there is no file {fspath(path)}")
        if self.client_key is not None and self.client_certificate is None:
            raise ParameterError("client_key is given without the client_certificate that it belongs to")
        proxy = None if self.proxy is None else url_parts(self.proxy)
        if self.proxy is not None and (not proxy or not proxy.hostname or proxy.scheme not in PROXY_SCHEMES):
            # The URL is not shown: it may hold a password.
            raise ParameterError("proxy is not the URL of a proxy", fix="It looks like http://proxy.example.com:3128.")

    def open(self, client: Callable[..., HttpClient], api_url: str, transport: object | None) -> HttpClient:
        """Create an httpx.Client or httpx.AsyncClient; `transport` carries the requests in place of the network.

        Raises:
            ParameterError: A certificate, or a proxy of the environment, cannot be used.
        """
        settings: dict[str, Any] = {"timeout": self.timeout}
        if transport is None:
            loopback, most = is_loopback(api_url), self.max_connections
            settings = {
                # Calls wait for a free connection without a limit, however many there are at once.
                "timeout": httpx.Timeout(self.timeout, pool=None),
                "limits": httpx.Limits(max_connections=most, max_keepalive_connections=most),
                "proxy": None if loopback else self.proxy,
                "verify": self._ssl_context(),
                "trust_env": not loopback,
            }
        try:
            return client(headers={"User-Agent": "lidarprep"}, transport=transport, **settings)
        except (ValueError, httpx.InvalidURL):
            problem = "a proxy of the environment (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) is not the URL of a proxy"
        except ImportError:
            problem = "a SOCKS proxy needs a library that is not installed: pip install 'httpx[socks]'"
        raise ParameterError(problem, fix="It looks like http://proxy.example.com:3128.")

    def _ssl_context(self) -> ssl.SSLContext:
        where, file = "ca_bundle", self.ca_bundle
        if file is None:
            where = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
            file = os.environ.get(where, "")
        try:
            if self.ca_bundle is None:
                context = httpx.create_ssl_context()
            elif Path(self.ca_bundle).is_dir():
                context = ssl.create_default_context(capath=fspath(self.ca_bundle))
            else:
                context = ssl.create_default_context(cafile=fspath(self.ca_bundle))
            if self.client_certificate is not None:
                where, file = "client_certificate", self.client_certificate
                key = None if self.client_key is None else fspath(self.client_key)
                # With a password given, OpenSSL does not ask for one at the terminal.
                context.load_cert_chain(fspath(file), key, "-")
        except (OSError, ValueError) as cause:  # ssl.SSLError is an OSError
            problem = f"{where}: {fspath(file)} cannot be used: {cause}"
        else:
            return context
        raise ParameterError(problem, fix="It must be a PEM file; a private key must not be encrypted.")


class Transport:
    """Sends requests with retries; neither errors nor logs show the key.

    Raises:
        ParameterError: retries is below 0.
    """

    def __init__(self, access: Access, request: HttpRequest, sleep: Sleep, retries: int) -> None:
        if retries < 0:
            raise ParameterError(f"retries is {retries}; it must be at least 0")
        self.api_url = access.api_url
        self.read = ResponseReader(access.key)
        self.sleep = sleep
        self._request = request
        self._auth = KeyAuth(access.key)
        self._retries = retries
        self._retrying = AsyncRetrying(
            sleep=sleep,
            stop=lambda state: state.attempt_number > self._most_retries(_failure(state)),
            wait=_wait_s,
            retry=retry_if_result(lambda outcome: isinstance(outcome, Failure) and outcome.retry),
            before_sleep=self._log_retry,
            retry_error_callback=lambda state: _failure(state),
        )
        keep_out_of_logs(access.key)
        if access.api_url.startswith("http://") and not is_loopback(access.api_url):
            log.warning("%s is not encrypted: the API key can be read on the way to it", access.api_url)

    async def send(
        self, request: ApiRequest, read: Callable[[ApiRequest, ApiResponse], Result | Failure], *, once: bool = False
    ) -> Result | Failure:
        """Send a request, retry it while that may help, and return the parsed response or the last Failure.

        `once` sends it without retries.

        All tries of a create carry one Idempotency-Key. Should the API have made the task and the response have got
        lost, it answers the next try with that task. But the API also saves responses that are errors, and repeats
        them for 24 hours. So a create that was answered 5xx is retried under a new key IF its unique_id rules out a
        second task. Without a unique_id the key is kept, though the same 5xx may come back each time: a failure is
        better than two tasks, and the error says what to do.
        """
        maybe_done = False

        async def attempt() -> Result | Failure:
            nonlocal request, maybe_done
            outcome = await self._send_once(request, read)
            if isinstance(outcome, Failure):
                outcome = replace(outcome, maybe_done=maybe_done)
                maybe_done = maybe_done or outcome.error.status not in (408, 429)  # these are refused unseen
                if isinstance(outcome.error, ServerError) and request.idempotency_key and request.has_unique_id:
                    request = replace(request, idempotency_key=str(uuid4()))
            return outcome

        # A copy for each call: tenacity keeps a call's state by thread, which all asynchronous calls share.
        return await attempt() if once else await self._retrying.copy()(attempt)

    async def _send_once(
        self, request: ApiRequest, read: Callable[[ApiRequest, ApiResponse], Result | Failure]
    ) -> Result | Failure:
        log.debug("%s %s", request.method, request.path)
        try:
            response = await self._request(
                request.method,
                request.url,
                content=request.body,
                headers=request.headers,
                auth=self._auth if request.with_key else None,
            )
        except NO_RESPONSE as cause:
            return self._no_response(request, cause)
        except BaseException as stopped:  # noqa: BLE001 — Ctrl-C too; all of it is raised again
            raise without_frames(stopped)  # noqa: B904 — it is the same exception
        log.debug("%s %s was answered %d", request.method, request.path, response.status_code)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return read(request, ApiResponse(response.status_code, headers, response.content))

    def _no_response(self, request: ApiRequest, cause: Exception) -> Failure:
        words = str(cause) or type(cause).__name__
        refused_here = is_loopback(request.url) and _was_refused(cause)
        return self.read.no_response(
            request,
            words,
            timed_out=isinstance(cause, httpx.TimeoutException),
            # A certificate problem does not pass in a second, and an address that is not valid never does.
            retry=isinstance(cause, httpx.RequestError | OSError) and "CERTIFICATE" not in words,
            most_retries=REFUSED_HERE_RETRIES if refused_here else None,
        )

    def _most_retries(self, failure: Failure) -> int:
        return self._retries if failure.most_retries is None else min(self._retries, failure.most_retries)

    def _log_retry(self, state: RetryCallState) -> None:
        wait_s = state.next_action.sleep if state.next_action else 0.0
        failure = _failure(state)
        most = self._most_retries(failure)
        log.warning("%s; trying again in %.1f s (%d of %d)", failure.error.message, wait_s, state.attempt_number, most)


_growing_wait = wait_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S) + wait_random(0, JITTER_S)


def _wait_s(state: RetryCallState) -> float:
    """Wait as long as the server asked for, or else ever longer; with jitter."""
    asked = _failure(state).after_s
    if asked is None:
        return _growing_wait(state)
    # Calls that were refused together are told the same time to come back. The jitter grows with each refusal.
    apart = random.uniform(0, JITTER_S * state.attempt_number)  # noqa: S311 — no secret
    return max(min(asked, LONGEST_RETRY_AFTER_S), 0.0) + apart


def _failure(state: RetryCallState) -> Failure:
    outcome = state.outcome.result() if state.outcome else None
    assert isinstance(outcome, Failure), "only failures are retried"  # noqa: S101
    return outcome


def _was_refused(error: BaseException | None) -> bool:
    """Whether its causes are refused connections, one for each of the host's addresses."""
    if error is None or isinstance(error, ConnectionRefusedError):
        return error is not None
    if isinstance(error, BaseExceptionGroup):
        return all(map(_was_refused, error.exceptions))
    return _was_refused(error.__cause__ or error.__context__)
