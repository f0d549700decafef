"""The options of a store: how it is reached, how its objects are stored, and how they are named to Scale."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from lidarprep.remote.options import AccessOptions
from lidarprep.remote.options import option as _option


def _plain_url(name: str, url: str | None, example: str) -> None:
    """Refuse what is not a URL, and secrets in one: it is recorded, or shown when it cannot be reached."""
    if url is None:
        return
    try:
        parts = urlsplit(url)
        sound = bool(parts.scheme and parts.hostname) and "://" in url and parts.port != 0
    except ValueError:
        raise ValueError(f"{name} must be a URL, like {example}") from None
    if not sound:
        raise ValueError(f"{name} must be a URL, like {example}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"{name} must be a URL without user, password, query and fragment, like {example}")


def _tags(value: Any) -> Any:
    """Read tags from a mapping, or from texts KEY=VALUE, as pairs."""
    if isinstance(value, dict):
        return tuple((str(key), str(text)) for key, text in value.items())
    if isinstance(value, list | tuple) and any(isinstance(tag, str) for tag in value):
        if not all(isinstance(tag, str) and "=" in tag for tag in value):
            raise ValueError("each tag is written KEY=VALUE")
        return tuple(tuple(tag.split("=", 1)) for tag in value)
    return value


# What S3 takes as tags.
_TAG_KEY = re.compile(r"(?!aws:)[\w +\-=.:/@]{1,128}")
_TAG_VALUE = re.compile(r"[\w +\-=.:/@]{0,256}")
_MOST_TAGS = 10

# Objects of these classes must be restored before they can be fetched, which takes hours.
_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")

# Options on how S3 is reached, and what it verifies: other clouds have other ways.
ACCESS_OPTIONS = ("endpoint_url", "profile", "region", "role_arn", "path_style", "requester_pays", "checksums")

# Options on how objects are stored. A local folder cannot heed them.
OBJECT_OPTIONS = ("gzip", "cache_control", "sse", "kms_key", "acl", "storage_class", "tags", "requester_pays")

# Options that show in the stored objects or their URLs; the others say how a store is reached, and how fast.
SHOWN_OPTIONS = (*OBJECT_OPTIONS[:-1], "url_base", "presign_hours")


class StorageOptions(AccessOptions):
    """How a store is reached, how its objects are stored, and how they are named to Scale.

    Only url_base and link_images mean something to a local folder; options on how objects are stored are refused there.
    Google Cloud Storage and Azure have no access options, and heed cache_control and storage_class; Azure also tags.
    Signed URLs hold no longer than the credentials that sign them. Objects that are stored compressed (gzip, Frame JSON
    only) have the header Content-Encoding: HTTP decompresses them, S3's own interface, which s3:// URLs are read
    through, does not. Hard links are one file with two names: a change of one is a change of both.
    """

    checksums: Literal["sha256", "crc32", "when_required"] = _option(
        "bucket",
        "What S3 verifies; when_required (Content-MD5) for older stores.",
        default="sha256",
        metavar="sha256|crc32|when_required",
    )
    url_base: str | None = _option("urls", "Prefix of the URLs, in place of the bucket's own or a path.", metavar="URL")
    presign_hours: Annotated[float | None, Field(gt=0, le=168)] = _option(
        "urls", "Sign the URLs that Scale gets, for so many hours.", metavar="HOURS", flag="--presign"
    )
    gzip: bool = _option("urls", "Store Frame JSON compressed; needs --presign or --url-base.", default=False)
    link_images: bool = _option(
        "urls", "In a local folder, images are hard links to the recording's files where possible.", default=False
    )
    cache_control: Annotated[str | None, Field(pattern=r"^[ -~]+$")] = _option(
        "objects", "Cache-Control header of attachments and images.", metavar="TEXT"
    )
    sse: Literal["AES256", "aws:kms"] | None = _option("objects", "Server-side encryption.", metavar="AES256|aws:kms")
    kms_key: Annotated[str | None, Field(pattern=r"^[ -~]+$")] = _option(
        "objects", "Id or ARN of the key of aws:kms; the account's own if left out.", metavar="KEY"
    )
    acl: (
        Literal["private", "public-read", "authenticated-read", "bucket-owner-read", "bucket-owner-full-control"] | None
    ) = _option("objects", "Canned ACL, like bucket-owner-full-control.", metavar="NAME")
    storage_class: Annotated[str | None, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] = _option(
        "objects", "Like INTELLIGENT_TIERING, NEARLINE or COOL.", metavar="CLASS"
    )
    tags: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_tags)] = _option(
        "objects", "A tag of each object. Repeatable.", default=(), metavar="KEY=VALUE", flag="--tag"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _plain_url("url_base", self.url_base, "https://data.example.com/scene-1")
        _plain_url("endpoint_url", self.endpoint_url, "https://storage.example.com")
        if self.url_base is not None and self.presign_hours is not None:
            raise ValueError("url_base and presign_hours exclude one another: only the store's own URLs can be signed")
        if self.kms_key is not None and self.sse != "aws:kms":
            raise ValueError("kms_key is for the encryption aws:kms; give sse: aws:kms (--sse aws:kms) with it")
        if self.gzip and self.url_base is None and self.presign_hours is None:
            raise ValueError(
                "gzip needs url_base or presign_hours: what is read by a bucket's own URLs is not decompressed"
            )
        if self.storage_class in _ARCHIVES:
            raise ValueError(f"objects of the storage_class {self.storage_class} cannot be fetched for hours")
        self._check_tags()
        return self

    def _check_tags(self) -> None:
        if len(self.tags) > _MOST_TAGS:
            raise ValueError(f"there are {len(self.tags)} tags; S3 takes {_MOST_TAGS}")
        for key, value in self.tags:
            if not _TAG_KEY.fullmatch(key) or not _TAG_VALUE.fullmatch(value):
                raise ValueError(
                    f"{key!r}: {value!r} is no tag of S3: up to 128 and 256 letters, digits, spaces and + - = . _ : / @"
                )
        if len({key for key, _ in self.tags}) < len(self.tags):
            raise ValueError("two tags have the same key")

    def shown(self) -> dict[str, Any]:
        """Return the options that show in what is stored, those that are not the defaults; nothing secret."""
        return self.model_dump(mode="json", include=set(SHOWN_OPTIONS), exclude_defaults=True)
