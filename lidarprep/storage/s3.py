"""S3, and stores that speak its language, as store."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import boto3
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

from lidarprep.errors import RecipeError, StorageError
from lidarprep.storage.store import StoredObject, describe, describe_file, is_of_the_disk, under_base

# Frames are stored from as many threads as there are workers; boto's own limit of 10 connections would queue them.
_CONNECTIONS = 50


class S3Prefix:
    """A store in a bucket, under a prefix.

    Args:
        destination: s3://bucket or s3://bucket/prefix.
        endpoint_url: Address of an S3-compatible store; AWS where it is None.
        profile: Profile of the AWS tools' configuration; credentials are found as those tools find them.
        region: AWS region.
        url_base: Prefix of the URLs that are handed out, in place of s3://.
        presign_hours: Hours that the URLs which Scale fetches are signed for; None for unsigned ones.

    Raises:
        RecipeError: The destination is malformed.
        StorageError: The profile does not exist.
    """

    stages = False

    def __init__(
        self,
        destination: str,
        *,
        endpoint_url: str | None = None,
        profile: str | None = None,
        region: str | None = None,
        url_base: str | None = None,
        presign_hours: float | None = None,
    ) -> None:
        try:
            parts = urlsplit(destination, allow_fragments=False)
        except ValueError as error:
            raise RecipeError(f"{destination!r} is not an S3 destination: {error}") from None
        if parts.scheme != "s3" or not parts.netloc or parts.query:
            raise RecipeError(f"{destination!r} is not an S3 destination", fix="Write it s3://bucket/prefix.")
        self.bucket = parts.netloc
        self.prefix = parts.path.strip("/")
        self.url_base = url_base
        self.presign_hours = presign_hours
        with self._reported("be reached"):
            session = boto3.Session(profile_name=profile, region_name=region)
            self._client: Any = session.client(
                "s3",
                endpoint_url=endpoint_url,
                config=Config(
                    max_pool_connections=_CONNECTIONS, retries={"mode": "adaptive"}, signature_version="s3v4"
                ),
            )

    def __repr__(self) -> str:
        return f"S3Prefix(s3://{self.bucket}/{self.prefix})"

    def check(self) -> None:
        """Sees that the bucket is there and may be reached.

        Raises:
            StorageError: It is not, or may not.
        """
        with self._reported("be reached"):
            self._client.head_bucket(Bucket=self.bucket)

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        """Puts the bytes as one object, with a checksum that the store verifies."""
        with self._reported(f"take {key}"):
            self._client.put_object(Bucket=self.bucket, Key=self._name(key), Body=data, ContentType=content_type)
        return describe(key, self.url(key), data)

    @contextmanager
    def spool(self, key: str) -> Iterator[BinaryIO]:
        """A file in the system's folder for temporary ones."""
        try:
            with tempfile.NamedTemporaryFile(prefix="lidarprep-") as file:
                yield file  # type: ignore[misc]  # a file but for its class
        except OSError as error:
            if not is_of_the_disk(error):
                raise
            raise StorageError(
                f"{tempfile.gettempdir()} cannot take {key} before it is sent: {error.strerror or error}",
                fix="Make room there, or name another folder by the environment variable TMPDIR.",
            ) from error

    def put_file(self, key: str, file: BinaryIO, content_type: str) -> StoredObject:
        """Sends the file, a large one in parts of which each is read from the disk when its turn comes."""
        file.flush()
        stored = describe_file(key, self.url(key), file)
        # By the file's name: parts of an open file would be kept in memory.
        config = TransferConfig(preferred_transfer_client="classic")
        with self._reported(f"take {key}"), create_transfer_manager(self._client, config) as manager:
            sent = manager.upload(file.name, self.bucket, self._name(key), {"ContentType": content_type})
            sent.result()
        return stored

    def get(self, key: str) -> bytes:
        """The bytes under `key`."""
        with self._reported(f"give {key}"):
            data: bytes = self._client.get_object(Bucket=self.bucket, Key=self._name(key))["Body"].read()
        return data

    def existing(self, keys: Collection[str]) -> set[str]:
        """Which of the keys have an object under them: one listing of the prefix, however many keys there are."""
        names = {self._name(key): key for key in keys}
        with self._reported("be listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._name(""))
            found = {item["Key"] for page in pages for item in page.get("Contents", [])}
        return {key for name, key in names.items() if name in found}

    def discard(self, keys: Collection[str]) -> None:
        """Deletes the objects; S3 passes over what is not there."""
        with self._reported("delete what was stored"):
            for key in keys:
                self._client.delete_object(Bucket=self.bucket, Key=self._name(key))

    def staged(self, run: str) -> S3Prefix:
        """This store itself: S3 cannot rename, so objects stand at once, and are deleted when a run is taken back."""
        return self

    def commit(self, keys: Collection[str]) -> None:
        """Does nothing: the objects stand already."""

    def roll_back(self, keys: Collection[str]) -> None:
        """Deletes the objects."""
        self.discard(keys)

    def url(self, key: str) -> str:
        """`key` under the prefix of `url_base`, or as s3://bucket/prefix/key."""
        return under_base(self.url_base, key) if self.url_base else self.location(key)

    def location(self, key: str) -> str:
        """The object's own URL, s3://…"""
        return f"s3://{self.bucket}/{self._name(key)}"

    def fetch_url(self, key: str) -> str:
        """The URL for Scale: signed where that was asked for. A signed one is a secret: it is never recorded."""
        if self.presign_hours is None:
            return self.url(key)
        with self._reported(f"sign a URL for {key}"):
            url: str = self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self.bucket, "Key": self._name(key)},
                ExpiresIn=round(self.presign_hours * 3600),
            )
        return url

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    @contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        """Turns what boto raises into one StorageError that says what failed, and what to do about it."""
        place = f"s3://{self.bucket}"
        try:
            yield
        except NoCredentialsError as error:
            raise StorageError(
                f"{place} cannot {what}: there are no AWS credentials",
                fix="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in and name a profile with --profile.",
            ) from error
        except ProfileNotFound as error:
            raise StorageError(f"{place} cannot {what}: {error}", fix="Name another with --profile.") from error
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            code = error.response.get("Error", {}).get("Code", "")
            message = error.response.get("Error", {}).get("Message", "")
            fix = _FIXES.get(code) or _FIXES.get(str(status))
            raise StorageError(f"{place} cannot {what}: {code} {message}".rstrip(), fix=fix) from error
        except (BotoCoreError, ValueError) as error:
            raise StorageError(
                f"{place} cannot {what}: {error}", fix="Check --endpoint-url and the network."
            ) from error


_FIXES = {
    "404": "There is no such bucket: make it, or check its name, --region and --endpoint-url.",
    "NoSuchKey": "Nothing is stored under that name: check it.",
    "NoSuchBucket": "There is no such bucket: make it, or check its name, --region and --endpoint-url.",
    "403": "The credentials may not do that: check them, the bucket's policy and --profile.",
    "AccessDenied": "The credentials may not do that: check them, the bucket's policy and --profile.",
    "ExpiredToken": "The credentials have run out: log in again.",
    "301": "The bucket is in another region: name it with --region.",
    "400": "Check --region, --endpoint-url and the credentials.",
}
