"""Access to the API: its address, the key, and whether using them costs money."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import httpx

from lidarprep.api._secrets import ApiKey, KeyMode, without_secrets
from lidarprep.errors import ApiError, MissingKeyError, ParameterError

DEFAULT_API_URL = "https://api.scale.com/v1"


def checked_api_url(url: str) -> str:
    """Check the API's address, and return it without a trailing slash.

    Raises:
        ParameterError: It is not the address of an API.
    """
    fix = f"The address looks like {DEFAULT_API_URL}; set it with SCALE_API_URL, --api-url or api_url."
    # The text before an @ may be the key, even in a text that is not a URL; or all of it is, given in its place.
    parts, shown = url_parts(url), repr(without_secrets(url.rpartition("@")[2]))
    if parts is None:
        raise ParameterError(f"the API address {shown} is not a URL", fix=fix)
    if parts.username is not None or parts.password is not None:
        # The user name is likely the key. Addresses end up in logs, so the key must not be in one, nor shown here.
        raise ParameterError(
            "the API address holds a user name", fix="Give the key by SCALE_API_KEY or api_key instead."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ParameterError(f"the API address {shown} does not begin with http:// or https:// and a host", fix=fix)
    if parts.query or parts.fragment:
        beginning = re.split(r"[?#]", url)[0]
        raise ParameterError(f"the API address goes on after its path: {beginning}…", fix=fix)
    return url.rstrip("/")


def api_url_of(given: str | None) -> str:
    """Return the API's address: the given one, or that of the environment (SCALE_API_URL), or Scale's own.

    Raises:
        ParameterError: It is not the address of an API.
    """
    return checked_api_url(given or os.environ.get("SCALE_API_URL") or DEFAULT_API_URL)


def is_web_address(url: str) -> bool:
    """Whether a request can be sent to `url`: a whole http or https URL with a host."""
    parts = url_parts(url)
    return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)


def url_parts(url: str) -> SplitResult | None:
    """Split a URL; None if it is not one, or its port is not valid."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # a bad port only shows when it is read
        _ = httpx.URL(url).host  # stricter than urlsplit: host names, control characters, lone surrogates
    except (ValueError, httpx.InvalidURL):
        return None
    return parts


def is_loopback(url: str) -> bool:
    """Whether `url` names this machine by its loopback address."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(url: str) -> bool:
    """Whether the host of `url` is an address that only a private network has: 10.0.0.0/8, link-local and the like."""
    try:
        address = ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return False
    return not address.is_global and not address.is_loopback


def requires_confirmation(key_mode: KeyMode | None, api_url: str) -> bool:
    """Whether to ask before a task is created: people do a live key's tasks, which costs money.

    The sandbox, or any server on this machine, costs nothing whatever the key. A key without a known prefix is taken
    for one that its user knows.
    """
    return key_mode == "live" and not is_loopback(api_url)


class Access:
    """The API's address and the key: given, or of the environment (SCALE_API_URL, SCALE_API_KEY)."""

    def __init__(self, key: ApiKey, api_url: str) -> None:
        self.key = key
        self.api_url = api_url

    @classmethod
    def read(cls, api_key: str | None, api_url: str | None) -> Access | MissingKeyError | ParameterError:
        """Check both, and return an error as a value.

        The caller drops the texts before it raises the error, whose traceback would show them. An address may hold the
        key too.
        """
        key = ApiKey.read(os.environ.get("SCALE_API_KEY") if api_key is None else api_key)
        if isinstance(key, MissingKeyError):
            return key
        try:
            return cls(key, api_url_of(api_url))
        except ParameterError as error:
            return error.with_traceback(None)


class ClientBase:
    """The API and the key of a client."""

    def __init__(self, access: Access) -> None:
        self._access = access

    @property
    def api_url(self) -> str:
        """The API's address."""
        return self._access.api_url

    @property
    def key_mode(self) -> KeyMode | None:
        """ "test" or "live" by the key's prefix, else None."""
        return self._access.key.mode

    @property
    def requires_confirmation(self) -> bool:
        """Whether to ask a person before creating tasks: with a live key they cost money."""
        return requires_confirmation(self.key_mode, self.api_url)

    def __repr__(self) -> str:
        # A traceback shows clients that are only half made, too.
        access = self.__dict__.get("_access")
        return f"{type(self).__name__}({access.api_url!r})" if access else f"{type(self).__name__}()"


@dataclass(frozen=True)
class WhoAmI:
    """A client's key, and whether the API accepts it.

    Args:
        api_url: The API's address.
        key_mode: "test" or "live" by the key's prefix, else None.
        masked_key: The key for display: only its mode.
        costs_money: Whether creating tasks with it costs money.
        total_tasks: Number of tasks that the API has for it, if it said.
        problem: Why the API did not answer, or refused the key; None if it accepted the key.
    """

    api_url: str
    key_mode: KeyMode | None
    masked_key: str
    costs_money: bool
    total_tasks: int | None = None
    problem: ApiError | None = None

    @property
    def answers(self) -> bool:
        """Whether the API answered and accepted the key."""
        return self.problem is None
