"""Where attachments live: a local folder, or S3 and what speaks its language; and the manifest of what is there."""

from __future__ import annotations

import re

from lidarprep.errors import RecipeError
from lidarprep.storage.local import LocalFolder
from lidarprep.storage.manifest import Manifest
from lidarprep.storage.store import Store, StoredObject

__all__ = ["LocalFolder", "Manifest", "Store", "StoredObject", "open_store"]


def open_store(
    destination: str,
    *,
    endpoint_url: str | None = None,
    profile: str | None = None,
    region: str | None = None,
    url_base: str | None = None,
    presign_hours: float | None = None,
) -> Store:
    """The store at a folder's path or at s3://bucket/prefix.

    Args:
        destination: Where to store.
        endpoint_url: Address of an S3-compatible store; AWS where it is None.
        profile: Profile of the AWS tools' configuration.
        region: AWS region.
        url_base: Prefix of the URLs that are handed out, in place of the store's own.
        presign_hours: Sign the URLs that Scale fetches, valid for so many hours; S3 only.

    Raises:
        RecipeError: The destination is malformed, or cannot be signed for.
        StorageError: The store cannot be reached.
    """
    scheme, separator, _ = destination.partition("://")
    # "s3:/bucket" and "gs:/bucket" are mistyped, not names of folders; "C:" would be one letter.
    mistyped = re.match(r"[A-Za-z0-9+.-]{2,}:/", destination) if not separator else scheme.lower() != "s3"
    if mistyped or not destination:
        raise RecipeError(
            f"{destination!r} is no place that lidarprep can store at", fix="Name a folder, or s3://bucket/prefix."
        )
    if separator:
        from lidarprep.storage.s3 import S3Prefix  # brings boto3

        return S3Prefix(
            f"s3://{destination[len(scheme) + len(separator) :]}",
            endpoint_url=endpoint_url,
            profile=profile,
            region=region,
            url_base=url_base,
            presign_hours=presign_hours,
        )
    return LocalFolder(destination, url_base=url_base, presign_hours=presign_hours)
