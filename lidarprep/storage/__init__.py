"""Where attachments live: a local folder, or S3 and what speaks its language; and the manifest of what is there."""

from __future__ import annotations

import re
from typing import Any

from lidarprep.errors import RecipeError
from lidarprep.storage.local import LocalFolder
from lidarprep.storage.manifest import Manifest
from lidarprep.storage.s3.options import OF_OBJECTS, S3Options
from lidarprep.storage.store import Store, StoredObject

__all__ = ["LocalFolder", "Manifest", "Store", "StoredObject", "open_store"]


def open_store(
    destination: str,
    *,
    url_base: str | None = None,
    presign_hours: float | None = None,
    link_images: bool = False,
    **options: Any,
) -> Store:
    """The store at a folder's path or at s3://bucket/prefix.

    Args:
        destination: Where to store.
        url_base: Prefix of the URLs that are handed out, in place of the store's own.
        presign_hours: Sign the URLs that Scale fetches, valid for so many hours; S3 only.
        link_images: Whether pictures may become hard links to the files that they are taken from; a local folder only.
        options: How a bucket is reached and what its objects are stored with: the fields of
            `lidarprep.storage.s3.options.S3Options`.

    Raises:
        RecipeError: The destination is malformed, cannot be signed for, or cannot heed an option.
        StorageError: The store cannot be reached.
    """
    scheme, separator, _ = destination.partition("://")
    # "s3:/bucket" and "gs:/bucket" are mistyped, not names of folders; "C:" would be one letter.
    mistyped = re.match(r"[A-Za-z0-9+.-]{2,}:/", destination) if not separator else scheme.lower() != "s3"
    if mistyped or not destination:
        raise RecipeError(
            f"{destination!r} is no place that lidarprep can store at", fix="Name a folder, or s3://bucket/prefix."
        )
    s3_options = S3Options(**options)
    if separator:
        if link_images:
            raise RecipeError(
                f"link_images (--link-images) is for a local folder, and {destination} is none", fix="Leave that out."
            )
        from lidarprep.storage.s3.prefix import S3Prefix  # brings botocore

        return S3Prefix(
            f"s3://{destination[len(scheme) + len(separator) :]}",
            s3_options,
            url_base=url_base,
            presign_hours=presign_hours,
        )
    unheeded = [name for name in OF_OBJECTS if getattr(s3_options, name)]
    if unheeded:
        raise RecipeError(
            f"{', '.join(unheeded)}: that is for s3://bucket/prefix, and {destination} is a local folder",
            fix="Leave that out, or store at s3://bucket/prefix.",
        )
    return LocalFolder(destination, url_base=url_base, presign_hours=presign_hours, link_images=link_images)
