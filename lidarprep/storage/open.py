"""Opening a store: by the destination that a user names, or by the manifest that lies in it."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Any

from lidarprep.errors import FormatError, ManifestConflictError, RecipeError, place_name
from lidarprep.remote import as_path
from lidarprep.storage.folder import FolderStore
from lidarprep.storage.manifest import Manifest
from lidarprep.storage.options import OBJECT_OPTIONS, SHOWN_OPTIONS, StorageOptions
from lidarprep.storage.store import MANIFEST_KEY, Store

# What destinations in buckets begin with, without ://.
BUCKETS = ("s3", "gs", "az")


def open_store(destination: str, options: StorageOptions | None = None) -> Store:
    """Open the store at a folder's path, or at s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.

    Raises:
        RecipeError: The destination is malformed, cannot be signed for, or cannot heed an option.
        StorageError: The store cannot be reached.
        MissingExtraError: It needs an extra that is not installed.
    """
    options = options or StorageOptions()
    scheme, separator, rest = destination.partition("://")
    # "s3:/bucket" and "gs:/bucket" are mistyped, not names of folders; "C:" would be one letter.
    mistyped = re.match(r"[A-Za-z0-9+.-]{2,}:/", destination) if not separator else scheme.lower() not in BUCKETS
    if scheme.lower() == "scale" and separator:
        raise RecipeError(
            f"{destination!r} is not a place that lidarprep can store at: Scale keeps files, and no manifest",
            fix=f"Prepare into a folder, and submit it with --upload {rest or 'PROJECT'}.",
        )
    if mistyped or not destination:
        raise RecipeError(
            f"{destination!r} is not a place that lidarprep can store at",
            fix="Name a folder, or s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.",
        )
    if not separator:
        return FolderStore(destination, options)
    if options.link_images:
        raise RecipeError(
            f"link_images (--link-images) is for a local folder, and {destination} is none", fix="Leave that out."
        )
    if scheme.lower() == "s3":
        from lidarprep.storage.s3 import S3Store  # brings boto3

        return S3Store(rest, options)
    from lidarprep.storage.object_store import CloudStore  # brings obstore

    return CloudStore(destination, options)


def load_manifest(path: str | PathLike[str], storage: StorageOptions | None = None) -> Manifest:
    """Read a manifest from a file, or from the folder that holds it, on the disk or by a URL.

    That of a web server can be looked at and submitted; nothing is stored there.

    Raises:
        StorageError: It cannot be fetched.
        FormatError: It cannot be read, or is not a manifest.
    """
    location = place_name(path)
    if "://" not in location:
        return Manifest.load(path)
    if location.lower().startswith(("http://", "https://")):
        return Manifest.load(as_path(path, storage))
    store = open_store(location.removesuffix(f"/{MANIFEST_KEY}").rstrip("/"), storage)
    found = store.read_current(MANIFEST_KEY)
    location = store.location(MANIFEST_KEY)
    if found is None:
        raise FormatError(location, found="nothing is there", fix="Name the manifest that `prepare` wrote.")
    return Manifest.from_json(found[0], location=location)


def store_of(manifest: Manifest, options: StorageOptions | None = None, *, to_write: bool = False) -> Store:
    """Open the store that a manifest lies in, to store as its run did.

    Args:
        manifest: As it was loaded from beside its objects.
        options: How the store is reached; and, where the manifest does not say it, what objects are stored with.
        to_write: Whether something is to be stored: then options that contradict the manifest are refused.

    Raises:
        RecipeError: They do; or the manifest has options that there are not.
    """
    return open_store(destination_of(manifest), options_of(manifest, options, to_write=to_write))


def current_version(manifest: Manifest, store: Store) -> str:
    """Return the version that a manifest has at its destination, for compare-and-swap.

    Raises:
        ManifestConflictError: It was replaced or deleted since it was loaded.
    """
    found = store.read_current(MANIFEST_KEY)
    location = manifest.location
    if found is None or Manifest.from_json(found[0], location=location) != manifest:
        raise ManifestConflictError(location)
    return found[1]


def replace_manifest(store: Store, manifest: Manifest, version: str | None) -> Manifest:
    """Write a manifest over the one that had this version, or where there was none; return it with its location.

    Raises:
        ManifestConflictError: Another was written meanwhile.
    """
    store.replace(MANIFEST_KEY, manifest.to_json(), if_version=version)
    return manifest.at(store.location(MANIFEST_KEY))


def destination_of(manifest: Manifest) -> str:
    """Return the destination that a manifest lies at, as a user names it."""
    if manifest.location.startswith("file://"):
        return str(Path(place_name(manifest.location)).parent)
    return manifest.location.removesuffix(MANIFEST_KEY).rstrip("/")


def options_of(manifest: Manifest, given: StorageOptions | None = None, *, to_write: bool = False) -> StorageOptions:
    """Return the options that a manifest's run stored with, and those given on how the store is reached.

    Raises:
        RecipeError: As `store_of`.
    """
    given = given or StorageOptions()
    recorded: dict[str, Any] = {}
    if manifest.storage is not None:
        known = {name: value for name, value in manifest.storage.items() if name in SHOWN_OPTIONS}
        # Not checked together: 0.1 did not record the URLs' prefix, which compressed attachments need.
        checked = StorageOptions(**{name: value for name, value in known.items() if name != "gzip"})
        recorded = {name: getattr(checked, name) for name in SHOWN_OPTIONS} | {"gzip": bool(known.get("gzip"))}
    if to_write and recorded:
        _refuse_others(given, recorded)
    if manifest.location.startswith("file://"):  # perhaps copied there from a bucket
        recorded = {name: value for name, value in recorded.items() if name not in (*OBJECT_OPTIONS, "presign_hours")}
        return given.model_copy(update=recorded)
    return given.model_copy(update={**recorded, "presign_hours": manifest.presign_hours})


def _refuse_others(given: StorageOptions, recorded: dict[str, Any]) -> None:
    """Refuse options that were given and are not those that the run stored with."""
    for name in given.shown():
        if getattr(given, name) != recorded[name]:
            was = "without it" if not recorded[name] else f"with {recorded[name]!r}"
            raise RecipeError(
                f"{name} is {getattr(given, name)!r}, and the run stored its objects {was}",
                fix="Leave that out: what is stored again is stored as the run did.",
            )
