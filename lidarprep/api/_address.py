"""Addresses: that of the API, and whether a URL names this machine."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

import httpx

from lidarprep.errors import ParameterError

DEFAULT_API_URL = "https://api.scale.com/v1"


def checked_api_url(url: str) -> str:
    """Check the API's address, and return it without a trailing slash.

    Raises:
        ParameterError: It is not the address of an API.
    """
    fix = f"The address looks like {DEFAULT_API_URL}; set it with SCALE_API_URL, --api-url or api_url."
    # The text before an @ may be the key, even in a text that is not a URL.
    parts, shown = _parts(url), repr(url.rpartition("@")[2])
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


def is_web_address(url: str) -> bool:
    """Whether a request can be sent to `url`: a whole http or https URL with a host."""
    parts = _parts(url)
    return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)


def _parts(url: str) -> SplitResult | None:
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
