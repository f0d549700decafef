"""A small server of Google Cloud Storage: the part of its XML API that clients of objects use, in memory.

gcp-storage-emulator speaks the JSON API only, and obstore the XML API
(https://cloud.google.com/storage/docs/xml-api/overview). This server checks what a client may get wrong: tokens that a
service account signs itself, signed URLs (V4), Content-MD5, generations of conditional writes, parts of uploads.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import json
import re
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

EMAIL = "writer@project.iam.gserviceaccount.com"

_KEPT_HEADERS = ("content-type", "cache-control", "content-encoding", "x-goog-storage-class")


@dataclass
class StoredObject:
    """An object as it is stored.

    Args:
        generation: Larger for what is stored later.
        e_tag: The MD5 of its bytes, as the XML API gives it of what did not come in parts.
        modified: Seconds since the Unix epoch.
    """

    data: bytes
    headers: dict[str, str]
    generation: int
    e_tag: str
    modified: float = field(default_factory=time.time)


@dataclass
class Upload:
    """An upload in parts that is not complete."""

    key: str
    headers: dict[str, str]
    parts: dict[int, bytes]
    initiated: float = field(default_factory=time.time)


class Bucket:
    """A bucket: its objects and its uploads in parts, by key and by id."""

    def __init__(self) -> None:
        self.objects: dict[str, StoredObject] = {}
        self.uploads: dict[str, Upload] = {}


class GcsServer(ThreadingHTTPServer):
    """The server; it runs in a thread of its own until the process ends.

    Attributes:
        buckets: By name.
        requires_token: Whether requests need a token that the service account has signed.
        damages: Whether what is stored loses its last byte.
        hides_md5: Whether ETags are of the form that those of objects with a customer's own key have.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.buckets: dict[str, Bucket] = {}
        self.requires_token = self.damages = self.hides_md5 = False
        self.lock = threading.RLock()
        self.numbers = itertools.count(1_700_000_000_000_000)
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """The address, as STORAGE_EMULATOR_HOST has it."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def credentials(self) -> str:
        """Return the text of the service account's key file (GOOGLE_APPLICATION_CREDENTIALS)."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return json.dumps(
            {
                "type": "service_account",
                "private_key": pem.decode(),
                "private_key_id": "k",
                "client_email": EMAIL,
                "client_id": "1",
            }
        )

    def is_signed(self, signature: bytes, text: bytes) -> bool:
        """Tell whether the service account has signed a text (RSA with SHA-256, PKCS #1 v1.5)."""
        try:
            self.key.public_key().verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


class _Refused(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: GcsServer

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        parts = urlsplit(self.path)
        bucket, _, key = parts.path[1:].partition("/")
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        with self.server.lock:
            try:
                self._authorize(parts.path, parts.query)
                if bucket not in self.server.buckets:
                    raise _Refused(404, "NoSuchBucket")
                self.bucket, self.key = self.server.buckets[bucket], unquote(key)
                status, headers, body = self._answer()
            except _Refused as refused:
                status, headers = refused.status, {"Content-Type": "application/xml"}
                body = f"<?xml version='1.0'?><Error><Code>{refused.code}</Code><Message>No.</Message></Error>".encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def _answer(self) -> tuple[int, dict[str, str], bytes]:
        match self.command, self.key:
            case "GET", "" if "uploads" in self.query:
                return self._list_uploads()
            case "GET", "":
                return self._list()
            case (("GET" | "HEAD"), _):
                return self._get()
            case "PUT", _ if "uploadId" in self.query:
                upload = self._upload()
                upload.parts[int(self.query["partNumber"])] = self.body
                return 200, {"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'}, b""
            case "PUT", _:
                return self._put()
            case "POST", _ if "uploads" in self.query:
                number = str(next(self.server.numbers))
                self.bucket.uploads[number] = Upload(self.key, self._kept_headers(), {})
                return 200, {}, f"<R><UploadId>{number}</UploadId></R>".encode()
            case "POST", _ if "uploadId" in self.query:
                return self._complete()
            case "DELETE", _ if "uploadId" in self.query:
                self._upload()
                del self.bucket.uploads[self.query["uploadId"]]
                return 204, {}, b""
            case "DELETE", _:
                self._found()
                del self.bucket.objects[self.key]
                return 204, {}, b""
        raise _Refused(405, "MethodNotAllowed")

    def _found(self) -> StoredObject:
        try:
            return self.bucket.objects[self.key]
        except KeyError:
            raise _Refused(404, "NoSuchKey") from None

    def _upload(self) -> Upload:
        try:
            return self.bucket.uploads[self.query["uploadId"]]
        except KeyError:
            raise _Refused(404, "NoSuchUpload") from None

    def _kept_headers(self) -> dict[str, str]:
        named = {name.lower(): value for name, value in self.headers.items()}
        return {name: value for name, value in named.items() if name in _KEPT_HEADERS or name.startswith("x-goog-meta")}

    def _put(self) -> tuple[int, dict[str, str], bytes]:
        digest = hashlib.md5(self.body)
        claimed = self.headers.get("Content-MD5")
        if claimed and base64.b64decode(claimed) != digest.digest():
            raise _Refused(400, "BadDigest")
        self._check_generation()
        return self._store(self.body, self._kept_headers(), digest.hexdigest())

    def _complete(self) -> tuple[int, dict[str, str], bytes]:
        upload = self._upload()
        named = re.findall(rb"<PartNumber>(\d+)</PartNumber>", self.body)
        data = b"".join(upload.parts[int(number)] for number in named)
        del self.bucket.uploads[self.query["uploadId"]]
        status, headers, _ = self._store(data, upload.headers, f"parts-{len(named)}")
        return status, {}, f"<R><ETag>{headers['ETag']}</ETag></R>".encode()

    def _check_generation(self) -> None:
        wanted = self.headers.get("x-goog-if-generation-match")
        current = self.bucket.objects.get(self.key)
        if wanted is not None and int(wanted) != (current.generation if current else 0):
            raise _Refused(412, "PreconditionFailed")

    def _store(self, data: bytes, headers: dict[str, str], e_tag: str) -> tuple[int, dict[str, str], bytes]:
        if self.server.damages:
            data = data[:-1]
            e_tag = hashlib.md5(data).hexdigest()
        if self.server.hides_md5:
            e_tag = hashlib.md5(e_tag.encode()).hexdigest()
        stored = StoredObject(data, headers, next(self.server.numbers), f'"{e_tag}"')
        self.bucket.objects[self.key] = stored
        return 200, {"ETag": stored.e_tag, "x-goog-generation": str(stored.generation)}, b""

    def _get(self) -> tuple[int, dict[str, str], bytes]:
        stored = self._found()
        headers = stored.headers | {
            "ETag": stored.e_tag,
            "Last-Modified": formatdate(stored.modified, usegmt=True),
            "x-goog-generation": str(stored.generation),
            "Accept-Ranges": "bytes",
        }
        if self.headers.get("If-Match", stored.e_tag) != stored.e_tag:
            raise _Refused(412, "PreconditionFailed")
        if headers.get("content-encoding") == "gzip" and "gzip" not in self.headers.get("Accept-Encoding", ""):
            # https://cloud.google.com/storage/docs/transcoding: decompressed on its way, and whole.
            del headers["content-encoding"], headers["Accept-Ranges"]
            return 200, headers, gzip.decompress(stored.data)
        span = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if span is None or self.command == "HEAD":
            return 200, headers | {"Content-Length": str(len(stored.data))}, stored.data
        size = len(stored.data)
        start = int(span[1]) if span[1] else max(0, size - int(span[2]))
        stop = min(size, int(span[2]) + 1) if span[1] and span[2] else size
        if start >= size:
            raise _Refused(416, "InvalidRange")
        return 206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}, stored.data[start:stop]

    def _list(self) -> tuple[int, dict[str, str], bytes]:
        if self.query.get("list-type") != "2":
            raise _Refused(400, "InvalidArgument")
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter")
        after = max(self.query.get("start-after", ""), self.query.get("continuation-token", ""))
        most, found, last = int(self.query.get("max-keys", 1000)), dict[str, str](), ""
        for key in sorted(self.bucket.objects):
            if not key.startswith(prefix) or key <= after:
                continue
            inner, found_delimiter, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            folder = f"{prefix}{inner}{delimiter}"
            name = folder if found_delimiter else key
            if name not in found and len(found) == most:
                break
            last, stored = key, self.bucket.objects[key]
            found[name] = (
                f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
                if found_delimiter
                else f"<Contents><Key>{escape(key)}</Key><LastModified>{_iso(stored.modified)}</LastModified>"
                f"<Size>{len(stored.data)}</Size><ETag>{stored.e_tag}</ETag></Contents>"
            )
        is_cut = any(key > last and key.startswith(prefix) for key in self.bucket.objects) and len(found) == most
        more = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if is_cut else ""
        text = f"<ListBucketResult>{''.join(found.values())}{more}</ListBucketResult>"
        return 200, {"Content-Type": "application/xml"}, text.encode()

    def _list_uploads(self) -> tuple[int, dict[str, str], bytes]:
        prefix = self.query.get("prefix", "")
        items = "".join(
            f"<Upload><Key>{escape(one.key)}</Key><UploadId>{number}</UploadId>"
            f"<Initiated>{_iso(one.initiated)}</Initiated></Upload>"
            for number, one in self.bucket.uploads.items()
            if one.key.startswith(prefix)
        )
        text = f"<ListMultipartUploadsResult>{items}<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
        return 200, {"Content-Type": "application/xml"}, text.encode()

    def _authorize(self, path: str, query: str) -> None:
        if "X-Goog-Signature" in self.query:
            return self._check_signed_url(path, query)
        if not self.server.requires_token:
            return None
        text, _, signature = self.headers.get("Authorization", "").removeprefix("Bearer ").rpartition(".")
        if not text or not self.server.is_signed(base64.urlsafe_b64decode(signature + "=="), text.encode()):
            raise _Refused(401, "AuthenticationRequired")
        return None

    def _check_signed_url(self, path: str, query: str) -> None:
        """Check as https://cloud.google.com/storage/docs/authentication/canonical-requests says."""
        given = parse_qsl(query, keep_blank_values=True)
        signature = dict(given)["X-Goog-Signature"]
        canonical_query = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}"
            for name, value in sorted(given)
            if name != "X-Goog-Signature"
        )
        names = self.query["X-Goog-SignedHeaders"].split(";")
        # obstore signs for Google's own host, wherever it is told that the server is.
        named = dict(self.headers.items()) | {"host": "storage.googleapis.com"}
        headers = "".join(f"{name}:{named[name]}\n" for name in names)
        canonical = f"{self.command}\n{path}\n{canonical_query}\n{headers}\n{';'.join(names)}\nUNSIGNED-PAYLOAD"
        date = self.query["X-Goog-Date"]
        email, scope = self.query["X-Goog-Credential"].split("/", 1)
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"{self.query['X-Goog-Algorithm']}\n{date}\n{scope}\n{digest}"
        began = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if email != EMAIL or not self.server.is_signed(bytes.fromhex(signature), text.encode()):
            raise _Refused(403, "SignatureDoesNotMatch")
        if time.time() > began + int(self.query["X-Goog-Expires"]):
            raise _Refused(400, "ExpiredToken")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
