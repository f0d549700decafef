"""The API key is in no text that a person or a log may see."""

import base64
import copy
import logging
import pickle
import traceback
from urllib.parse import quote

import httpx
import pytest

from lidarprep.api import ScaleClient
from lidarprep.api.key import ApiKey
from lidarprep.errors import LidarprepError, ParameterError, UnauthorizedError

KEY = "live_s3cr3t+/0123456789"
ENCODED = base64.b64encode(f"{KEY}:".encode()).decode()


def leaks(text: str) -> bool:
    return any(form in text for form in (KEY, quote(KEY, safe=""), ENCODED, ENCODED.rstrip("=")))


def everything_about(error: BaseException) -> str:
    """The error as people may come to see it, a traceback that shows each frame's local variables included."""
    with_locals = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "\n".join([str(error), repr(error), repr(vars(error)), *with_locals.format(chain=True)])


def echoing(request: httpx.Request) -> httpx.Response:
    """A server that gives back what it was sent, as careless ones do."""
    text = f"{request.headers['authorization']} {KEY} {quote(KEY, safe='')}"
    status = int(request.url.path.rsplit("/", 1)[-1])
    return httpx.Response(status, json={"error": text}, headers={"Location": f"https://example.com/{KEY}"})


def client_that(transport: httpx.BaseTransport) -> ScaleClient:
    return ScaleClient(KEY, "https://api.example.com/v1", transport=transport, retries=1, sleep=lambda _: None)


@pytest.mark.parametrize("status", [200, 301, 400, 401, 402, 404, 409, 429, 500])
def test_no_error_or_log_has_it_though_the_server_echoes_it(status, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    with client_that(httpx.MockTransport(echoing)) as client, pytest.raises(LidarprepError) as raised:
        client.get_task(str(status))
    assert not leaks(everything_about(raised.value))
    assert caplog.records
    assert not leaks(caplog.text)
    assert not any(leaks(repr(vars(record))) for record in caplog.records)


def test_no_traceback_of_a_real_connection_that_fails_has_it(caplog) -> None:
    caplog.set_level(logging.DEBUG)
    # Port 9, "discard": nothing listens there.
    with (
        ScaleClient(KEY, "http://127.0.0.1:9/v1", retries=1, sleep=lambda _: None) as client,
        pytest.raises(LidarprepError) as raised,
    ):
        client.create_multistage(project="p", attachments=["s3://b/1.sfs"], scene_format="sensor_fusion")
    assert not leaks(everything_about(raised.value))
    assert not leaks(caplog.text)


def test_no_error_about_parameters_or_settings_has_it() -> None:
    with client_that(httpx.MockTransport(echoing)) as client, pytest.raises(ParameterError) as refused:
        client.create_multistage(api_key=KEY)
    assert KEY not in str(refused.value)
    with pytest.raises(ParameterError) as refused:
        ScaleClient(KEY, f"https://{quote(KEY, safe='')}@api.example.com/v1")
    assert not leaks(str(refused.value))


def test_no_repr_has_it() -> None:
    with client_that(httpx.MockTransport(echoing)) as client:
        assert repr(client) == "ScaleClient('https://api.example.com/v1')"
        assert not leaks(f"{client} {vars(client)!r} {vars(client._protocol)!r}")
    assert (str(ApiKey(KEY)), repr(ApiKey(KEY)), f"{ApiKey(KEY)}") == ("ApiKey(***)",) * 3


@pytest.mark.parametrize("key", [f"{KEY}:", f"{KEY}\n{KEY}", f"{KEY} x", f"{KEY}ß"])
def test_a_key_that_is_none_is_refused_without_being_shown(key) -> None:
    with pytest.raises(UnauthorizedError, match="a character that no key has") as refused:
        ApiKey(key)
    assert KEY not in f"{refused.value!r}{refused.value}"


def test_it_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(ApiKey(KEY))
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(ApiKey(KEY))


@pytest.mark.parametrize(("key", "mode"), [("live_x", "live"), ("test_x", "test"), ("scale_x", None)])
def test_its_prefix_tells_test_from_live(key, mode) -> None:
    assert ApiKey(key).mode == mode
