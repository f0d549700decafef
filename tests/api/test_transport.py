"""How the API is reached: certificates, proxies and limits, of both clients; and who one is there."""

import asyncio
import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lidarprep.api import AsyncScaleClient, ScaleClient
from lidarprep.api._access import requires_confirmation
from lidarprep.errors import ParameterError, RateLimitError, TransportError, UnauthorizedError

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


class Certificates(NamedTuple):
    """PEM files: an authority, and a certificate of it with its key, for the server and its client alike."""

    authority: Path
    certificate: Path
    key: Path
    encrypted_key: Path


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)

    def signed(subject: str, public: Any, is_authority: bool) -> x509.Certificate:
        usage = x509.KeyUsage(not is_authority, False, False, False, False, is_authority, is_authority, False, False)
        return (
            x509.CertificateBuilder(named("authority"), named(subject), public, x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .add_extension(usage, critical=True)
            .sign(authority_key, hashes.SHA256())
        )

    files = Certificates(*(folder / name for name in ("authority.pem", "one.pem", "one.key", "encrypted.key")))
    files.authority.write_bytes(signed("authority", authority_key.public_key(), True).public_bytes(PEM))
    files.certificate.write_bytes(signed("localhost", key.public_key(), False).public_bytes(PEM))
    files.key.write_bytes(key.private_bytes(PEM, PKCS8, serialization.NoEncryption()))
    locked = serialization.BestAvailableEncryption(b"sesame")
    files.encrypted_key.write_bytes(key.private_bytes(PEM, PKCS8, locked))
    return files


class TaskHandler(BaseHTTPRequestHandler):
    """Answers with a task, whatever it is asked; also as a proxy."""

    def do_GET(self) -> None:
        body = b'{"task_id": "abc", "instruction": "%s"}' % self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        pass  # handshakes are meant to fail


def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    with QuietServer(("127.0.0.1", 0), TaskHandler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def tls_url(certificates: Certificates) -> Iterator[str]:
    """A server that shows its certificate, and asks for the client's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    context.load_verify_locations(certificates.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    for port in serving(context):
        yield f"https://localhost:{port}/v1"


@pytest.fixture(scope="module")
def proxy() -> Iterator[str]:
    for port in serving():
        yield f"http://127.0.0.1:{port}"


Get = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def get(request) -> Get:
    """Gets a task by a client with these settings."""

    def get(url: str, **settings: Any) -> Any:
        settings = {"retries": 0, **settings}
        if request.param == "sync":
            with ScaleClient("test_key", url, **settings) as client:
                return client.get_task("abc")

        async def got() -> Any:
            async with AsyncScaleClient("test_key", url, **settings) as client:
                return await client.get_task("abc")

        return asyncio.run(got())

    return get


def test_authority_and_client_certificate_are_used(get, tls_url, certificates) -> None:
    settings = {"ca_bundle": certificates.authority, "client_certificate": certificates.certificate}
    assert get(tls_url, **settings, client_key=certificates.key).id == "abc"


def test_the_authority_may_come_from_the_environment(get, tls_url, certificates, monkeypatch, tmp_path) -> None:
    both = tmp_path / "both.pem"  # certificate and key may be in one file
    both.write_bytes(certificates.certificate.read_bytes() + certificates.key.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    assert get(tls_url, client_certificate=str(both)).id == "abc"


def test_a_server_that_is_not_trusted_is_told(get, tls_url, certificates) -> None:
    with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
        get(tls_url, client_certificate=certificates.certificate, client_key=certificates.key)


def test_a_server_that_misses_the_clients_certificate_is_told(get, tls_url, certificates) -> None:
    with pytest.raises(TransportError):
        get(tls_url, ca_bundle=certificates.authority)


@pytest.mark.parametrize(
    ("reason", "tries"), [("TLSV13_ALERT_CERTIFICATE_REQUIRED", 1), ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", 3)]
)
def test_an_error_of_tls_that_the_http_library_lets_through_is_no_answer(api, call, reason, tries) -> None:
    api.answers = [ssl.SSLError(1, f"[SSL: {reason}] (_ssl.c:2580)")]
    with pytest.raises(TransportError, match=reason):
        call("get_task", "abc", settings={"retries": 2})
    assert len(api.requests) == tries


@pytest.mark.parametrize("client", [ScaleClient, AsyncScaleClient])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ca_bundle": "nowhere.pem"}, "ca_bundle: there is no file nowhere.pem"),
        ({"client_certificate": "nowhere.pem"}, "client_certificate: there is no file nowhere.pem"),
        ({"client_certificate": "certificate", "client_key": "nowhere"}, "client_key: there is no file nowhere"),
        ({"client_key": "key"}, "client_key is given without"),
        ({"ca_bundle": "key"}, "ca_bundle: .* cannot be used"),
        ({"client_certificate": "certificate"}, "client_certificate: .* cannot be used"),
        ({"client_certificate": "certificate", "client_key": "encrypted_key"}, "client_certificate: .* cannot be used"),
        ({"proxy": "proxy.example.com:3128"}, "proxy is not the URL"),
        ({"proxy": "http://user:sesame@host:port"}, "proxy is not the URL"),
        ({"max_connections": 0}, "max_connections is 0"),
    ],
)
def test_options_that_can_not_be_used_are_refused(client, certificates, settings, message) -> None:
    files = certificates._asdict()
    with pytest.raises(ParameterError, match=message) as refused:
        client("test_key", **{name: files.get(value, value) for name, value in settings.items()})
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize("client", [ScaleClient, AsyncScaleClient])
def test_an_environment_that_can_not_be_used_is_named(client, certificates, monkeypatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.key))
    with pytest.raises(ParameterError, match=r"SSL_CERT_FILE: .*one\.key cannot be used"):
        client("test_key")
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://sesame")
    with pytest.raises(ParameterError, match="a proxy of the environment") as refused:
        client("test_key")
    assert "sesame" not in str(refused.value)


def test_a_proxy_is_asked_if_one_is_given(get, proxy) -> None:
    assert get("http://api.example.com/v1", proxy=proxy).instruction == "http://api.example.com/v1/task/abc"


def test_a_proxy_of_the_environment_is_asked(get, proxy, monkeypatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    assert get("http://api.example.com/v1").instruction == "http://api.example.com/v1/task/abc"


def test_no_proxy_is_asked_for_this_very_machine(get, proxy, monkeypatch) -> None:
    # The server is the proxy's own, asked directly: it sees a path and no whole URL.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert get(f"{proxy}/v1", proxy="http://127.0.0.1:9").instruction == "/v1/task/abc"


@pytest.mark.parametrize(
    ("mode", "url", "asked"),
    [
        ("live", "https://api.scale.com/v1", True),
        ("test", "https://api.scale.com/v1", False),
        (None, "https://api.scale.com/v1", False),
        ("live", "http://127.0.0.1:8080/v1", False),
    ],
)
def test_a_person_is_asked_before_a_live_key_costs_money(mode, url, asked) -> None:
    assert requires_confirmation(mode, url) is asked
    with ScaleClient(f"{mode or 'other'}_x", url) as client:
        assert (client.key_mode, client.requires_confirmation) == (mode, asked)


def test_whoami_tells_the_key_and_whether_it_is_taken(api, call) -> None:
    api.answers = [httpx.Response(200, json={"docs": [{"task_id": "a"}], "total": 220})]
    who = call("whoami", settings={"api_key": "live_abcdef"})
    assert (who.api_url, who.key_mode, who.masked_key) == ("https://api.example.com/v1", "live", "live_***")
    assert (who.costs_money, who.answers, who.problem, who.total_tasks) == (True, True, None, 220)
    assert [str(request.url) for request in api.requests] == ["https://api.example.com/v1/tasks?limit=1"]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (httpx.Response(401), UnauthorizedError),
        (httpx.Response(429), RateLimitError),
        (httpx.ConnectError("refused"), TransportError),
    ],
    ids=str,
)
def test_whoami_tells_why_it_is_not(api, call, answer, problem) -> None:
    api.answers = [answer]
    who = call("whoami", settings={"retries": 1})
    assert (who.answers, who.total_tasks, type(who.problem)) == (False, None, problem)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_refuses_on_this_machine_is_tried_for_as_long_as_it_may_take_to_start(host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://{host}:{taken.getsockname()[1]}/v1"
    waits_s: list[float] = []

    async def sleep(seconds: float) -> None:
        waits_s.append(seconds)

    async def ask() -> None:
        async with AsyncScaleClient("test_key", url, sleep=sleep) as client:
            await client.get_task("abc")

    with ScaleClient("test_key", url, sleep=waits_s.append) as client, pytest.raises(TransportError):
        client.get_task("abc")
    assert len(waits_s) == 3
    with pytest.raises(TransportError):
        asyncio.run(ask())
    assert len(waits_s) == 6


def test_fewer_tries_than_that_stay_fewer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    waits_s: list[float] = []
    with ScaleClient("test_key", url, retries=1, sleep=waits_s.append) as client, pytest.raises(TransportError):
        client.get_task("abc")
    assert len(waits_s) == 1
