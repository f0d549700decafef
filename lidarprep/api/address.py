"""Where the API is, and whether that is this very machine."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import httpx

from lidarprep.errors import ParameterError

DEFAULT_API_URL = "https://api.scale.com/v1"


def checked_api_url(url: str) -> str:
    """`url` without a slash at its end.

    Raises:
        ParameterError: It is not the address of an API.
    """
    fix = f"The address looks like {DEFAULT_API_URL}; set it with SCALE_API_URL, --api-url or api_url."
    try:
        parts = urlsplit(url)
        _ = parts.port  # a bad port only shows when it is asked for
        httpx.URL(url)  # stricter than urlsplit: host names, control characters
    except (ValueError, httpx.InvalidURL):
        raise ParameterError(f"the API address {url!r} is not a URL", fix=fix) from None
    if parts.username is not None or parts.password is not None:
        # Not shown: what stands there is likely the key. Addresses end up in logs, so the key has no place in one.
        raise ParameterError(
            "the API address holds a user name", fix="Give the key by SCALE_API_KEY or api_key instead."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ParameterError(f"the API address {url!r} does not begin with http:// or https:// and a host", fix=fix)
    if parts.query or parts.fragment:
        beginning = re.split(r"[?#]", url)[0]
        raise ParameterError(f"the API address goes on after its path: {beginning}…", fix=fix)
    return url.rstrip("/")


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
