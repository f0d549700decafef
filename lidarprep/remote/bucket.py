"""Buckets of S3, Google Cloud Storage and Azure, with the credentials of each cloud's own tools."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from lidarprep.errors import StorageError
from lidarprep.remote.address import RemoteStat, StoreAddress
from lidarprep.remote.clouds import open_azure, open_gcs
from lidarprep.remote.faults import EXPIRED_CODES, NO_CREDENTIALS, code_of, reported
from lidarprep.remote.options import AccessOptions
from lidarprep.remote.store import RETRIES, RemoteStore, client_options, stat_of

Value = TypeVar("Value")

# Objects that come with one item of a listing's stream.
_LISTED_AT_ONCE = 1000


class Bucket(RemoteStore):
    """A bucket.

    Args:
        address: The bucket, and how it is reached.

    Raises:
        StorageError: There are no credentials that it could be reached by.
    """

    def __init__(self, address: StoreAddress) -> None:
        self._lock = threading.Lock()
        with reported(address.url(""), "be reached", address):
            self._store, endpoint = open_bucket(address)
        super().__init__(address, endpoint)

    def ask(
        self,
        key: str,
        what: str,
        request: Callable[[Any], Value],
        *,
        at_most_s: float | None = None,
        is_long: bool = False,
    ) -> Value:
        """Make a request that writes, again and again while it fails in passing.

        Args:
            key: The object, which an error names.
            what: What cannot be done with it if the request fails: "be stored".
            request: Makes it, of obstore's store.
            at_most_s: How long it is tried, if that is less than the options say.
            is_long: Whether one attempt may take longer than that.

        Raises:
            StorageError: It fails; also where there is no such object.
        """
        with reported(self.address.url(key), what, self.address):
            return self._budget.call(lambda: request(self._store), at_most_s=at_most_s, is_long=is_long)

    def close(self) -> None:
        """Try nothing again from now on."""
        self._budget.close()

    def _get(self, key: str, options: dict[str, Any] | None) -> Any:
        return self._store.get(key, options=options)

    def list_all(self, key: str) -> Iterator[tuple[str, RemoteStat]]:
        """List the objects below a folder; after a page that failed, the listing goes on from the last key."""
        stream: Iterator[Any] | None = None
        last: str | None = None

        def next_page() -> Sequence[Any]:
            nonlocal stream
            if stream is None:
                stream = self._store.list(key or None, offset=last, chunk_size=_LISTED_AT_ONCE)
            try:
                return next(stream, ())
            except Exception as error:
                stream = None  # it has ended
                self._raise_if_odd(error)
                raise

        try:
            while page := self._ask(key, "be listed", next_page):
                for meta in page:
                    yield meta["path"], stat_of(meta)
                last = page[-1]["path"]
        except _OddKeyError:
            for _, objects in self._pages_by_boto(key, {}):
                yield from objects.items()

    def list_folder(self, key: str) -> tuple[list[str], dict[str, RemoteStat | None]]:
        """List one folder, by a delimiter."""

        def list_it() -> Any:
            try:
                return self._store.list_with_delimiter(key or None)
            except Exception as error:
                self._raise_if_odd(error)
                raise

        skip = len(key) + 1 if key else 0
        try:
            found = self._ask(key, "be listed", list_it)
        except _OddKeyError:
            folders: list[str] = []
            of_folder: dict[str, RemoteStat | None] = {}
            for prefixes, objects in self._pages_by_boto(key, {"Delimiter": "/"}):
                folders += [prefix[skip:] for prefix in prefixes]
                of_folder |= {name[skip:]: stat for name, stat in objects.items()}
            return folders, of_folder
        if found is None:
            return [], {}
        folders = [prefix[skip:] for prefix in found["common_prefixes"]]
        return folders, {meta["path"][skip:]: stat_of(meta) for meta in found["objects"]}

    def _raise_if_odd(self, error: Exception) -> None:
        if type(error).__name__ == "InvalidPathError" and self.address.scheme == "s3":
            raise _OddKeyError from None

    def _pages_by_boto(self, key: str, options: dict[str, str]) -> Iterator[tuple[list[str], dict[str, RemoteStat]]]:
        """List by boto, page by page, and pass over keys that are no paths: obstore gives up at "a//b"."""
        from lidarprep.remote import boto_faults
        from lidarprep.remote.aws import pages_of

        access = self.address.access or AccessOptions()
        with boto_faults.reported(self.address.url(key), "be listed"):
            for page in pages_of(access, self.address.name, f"{key}/" if key else "", options):
                prefixes = [one["Prefix"].removesuffix("/") for one in page.get("CommonPrefixes", ())]
                objects = {
                    one["Key"]: RemoteStat.of(one["Size"], round(one["LastModified"].timestamp() * 1e9), one["ETag"])
                    for one in page.get("Contents", ())
                    if _is_path(one["Key"])
                }
                yield [prefix for prefix in prefixes if _is_path(prefix)], objects

    def _ask(self, key: str, what: str, request: Callable[[], Value]) -> Value | None:
        """Make a request; where the credentials have run out, once more with those that can be had now."""

        def with_renewal() -> Value:
            used = self._store
            try:
                return request()
            except Exception as error:
                if code_of(error) not in EXPIRED_CODES or not self._renew(used):
                    raise
                return request()

        try:
            return super()._ask(key, what, with_renewal)
        except StorageError as error:
            _raise_failure(self._store, self.address.url(key), what)
            if self.address.scheme == "s3" and self._store.credential_provider is None:
                raise StorageError(f"{error.message} (there are no AWS credentials)", fix=NO_CREDENTIALS) from None
            raise

    def _renew(self, used: Any) -> bool:
        """Open the bucket again if there are other credentials now than it was opened with."""
        with self._lock:
            if self._store is not used:
                return True  # another thread has done so
            if self.address.scheme != "s3" or not _has_new_credentials(self.address, used):
                return False
            self._store, _ = open_bucket(self.address)
            return True


class _OddKeyError(Exception):
    """A listing has a key that is no path."""


def _is_path(key: str) -> bool:
    return not any(part in ("", ".", "..") for part in key.split("/"))


def open_bucket(address: StoreAddress) -> tuple[Any, str]:
    """Open a bucket; return obstore's store, and the endpoint."""
    match address.scheme:
        case "s3":
            return _open_s3(address)
        case "gs":
            return open_gcs(address)
    return open_azure(address)


def _open_s3(address: StoreAddress) -> tuple[Any, str]:
    """Open a bucket of S3 with the credentials, region and endpoint that boto finds; unsigned where there are none."""
    from obstore.store import S3Store

    from lidarprep.remote import boto_faults
    from lidarprep.remote.aws import Credentials, shared_aws_session

    access = address.access or AccessOptions()
    with boto_faults.reported(address.url(""), "be reached"):
        aws = shared_aws_session(access)
        signs = aws.has_credentials() or access.role_arn is not None
        credentials = Credentials(aws) if signs else None  # what is wrong with them is said here
        try:
            client = aws.session().client("s3", endpoint_url=access.endpoint_url)
        except ValueError as error:  # what boto calls an endpoint that is not a URL
            raise StorageError(f"{address.url('')} cannot be reached: {error}", fix="Check --endpoint-url.") from error
    endpoint = str(client.meta.endpoint_url)
    region = client.meta.region_name
    virtual = _is_aws(endpoint) and not access.path_style and "." not in address.name
    at = endpoint.replace("://", f"://{address.name}.", 1) if virtual else endpoint
    store = S3Store(
        address.name,
        aws_endpoint_url_s3=at,
        region="us-east-1" if region in (None, "aws-global") else region,
        virtual_hosted_style_request=virtual,
        request_payer=access.requester_pays,
        client_options=client_options(at),
        retry_config=RETRIES,
        credential_provider=credentials,  # type: ignore[arg-type]  # typed too narrowly: a dict serves
        skip_signature=credentials is None,
    )
    return store, endpoint


def _has_new_credentials(address: StoreAddress, used: Any) -> bool:
    """Tell whether there are other credentials of S3 now than a store has used; look for them again."""
    from lidarprep.remote import boto_faults
    from lidarprep.remote.aws import Credentials, shared_aws_session

    if used.credential_provider is None:
        return False
    with boto_faults.reported(address.url(""), "be reached"):
        sessions = (shared_aws_session(address.access or AccessOptions(), again=again) for again in (False, True))
        return any(Credentials(session).current != used.credential_provider.current for session in sessions)


def _raise_failure(store: Any, place: str, what: str) -> None:
    """Raise what has kept a store of S3 from credentials, if something has."""
    failure = getattr(getattr(store, "credential_provider", None), "failure", None)
    if failure is not None:
        from lidarprep.remote import boto_faults

        with boto_faults.reported(place, what):
            raise failure


def _is_aws(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
