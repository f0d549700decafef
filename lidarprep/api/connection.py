"""How the API is reached: time limits, proxy, certificates, connections; and whether using it costs money."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from lidarprep.api.address import is_loopback
from lidarprep.api.key import KeyMode
from lidarprep.errors import ApiError, ParameterError

HttpClient = TypeVar("HttpClient", httpx.Client, httpx.AsyncClient)

PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True)
class ConnectionOptions:
    """How the API is reached.

    What is not given comes from the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY; SSL_CERT_FILE and
    SSL_CERT_DIR. An API on this very machine is never asked through a proxy: the proxy would look for it on itself.

    Args:
        timeout: Seconds to wait for a connection, and for each part of an answer.
        max_connections: How many connections are open at a time. Further calls wait for one, as long as it takes.
        proxy: URL of a proxy: http://, https:// or socks5://.
        ca_bundle: PEM file, or folder of hashed ones, with the authorities to trust in place of the usual ones.
        client_certificate: PEM file with the certificate to show, and the key too if client_key is not given.
        client_key: PEM file with the certificate's private key, not encrypted.

    Raises:
        ParameterError: One of them makes no sense, or a file is not there.
    """

    timeout: float = 30.0
    max_connections: int = 100
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
        if self.proxy is not None and _scheme(self.proxy) not in PROXY_SCHEMES:
            # The rest is not shown: it may hold a password.
            raise ParameterError("proxy is no URL of a proxy", fix="It looks like http://proxy.example.com:3128.")

    def httpx_settings(self, api_url: str) -> Mapping[str, Any]:
        """The same as arguments of httpx's clients.

        Raises:
            ParameterError: A certificate cannot be used.
        """
        loopback = is_loopback(api_url)
        return {
            # Waiting for one of the connections to be free is no failure, however many calls are made at once.
            "timeout": httpx.Timeout(self.timeout, pool=None),
            "limits": httpx.Limits(
                max_connections=self.max_connections, max_keepalive_connections=self.max_connections
            ),
            "proxy": None if loopback else self.proxy,
            "verify": self._ssl_context(),
            "trust_env": not loopback,
        }

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


def opened(
    client: Callable[..., HttpClient], options: ConnectionOptions, api_url: str, transport: object | None
) -> HttpClient:
    """An HTTP client of httpx with these options.

    Args:
        client: httpx.Client or httpx.AsyncClient.
        options: How the API is reached.
        api_url: The API's address.
        transport: What carries the requests, in place of the network; None for the network.

    Raises:
        ParameterError: A certificate, or a proxy of the environment, cannot be used.
    """
    settings = options.httpx_settings(api_url) if transport is None else {"timeout": options.timeout}
    try:
        return client(headers={"User-Agent": "lidarprep"}, transport=transport, **settings)
    except (ValueError, httpx.InvalidURL):
        problem = "a proxy of the environment (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) is no URL of one"
    except ImportError:
        problem = "a SOCKS proxy needs a library that is not installed: pip install 'httpx[socks]'"
    raise ParameterError(problem, fix="It looks like http://proxy.example.com:3128.")


def _scheme(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts.scheme if parts.hostname else None


def requires_confirmation(key_mode: KeyMode | None, api_url: str) -> bool:
    """Whether to ask before a task is created: a live key's tasks are done by people and cost money.

    The sandbox, or anything else on this machine, costs nothing whatever the key. A key whose prefix tells nothing is
    taken for one that its user knows.
    """
    return key_mode == "live" and not is_loopback(api_url)


@dataclass(frozen=True)
class WhoAmI:
    """Which key a client has, and whether the API takes it.

    Args:
        api_url: The API's address.
        key_mode: "test" or "live" where the key's prefix tells, else None.
        masked_key: The key to be shown: nothing of it but its mode.
        costs_money: Whether creating tasks with it does.
        total_tasks: How many tasks the API has for it, if it said.
        problem: Why the API did not answer, or refused the key; None if it took it.
    """

    api_url: str
    key_mode: KeyMode | None
    masked_key: str
    costs_money: bool
    total_tasks: int | None = None
    problem: ApiError | None = None

    @property
    def answers(self) -> bool:
        """Whether the API answered and took the key."""
        return self.problem is None
