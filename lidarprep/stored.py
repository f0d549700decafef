"""What a run has stored, found again by its manifest: the store that it lies in, and what of it is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lidarprep.errors import RecipeError, StorageError, place_name
from lidarprep.recipe import StorageOptions
from lidarprep.storage import LocalFolder, Manifest, Store, open_store
from lidarprep.storage.journal import journal_of
from lidarprep.storage.s3.options import OF_OBJECTS
from lidarprep.storage.store import MANIFEST_KEY

# The options that objects are stored with; who pays for a request does not show in them.
_KEPT = tuple(name for name in OF_OBJECTS if name != "requester_pays")


def recorded(options: StorageOptions) -> dict[str, Any]:
    """What a manifest records of the options that a run stores with: what shows in its objects, unless it is default.

    How the store is reached is not recorded, nor anything secret.
    """
    return options.model_dump(mode="json", include=set(_KEPT), exclude_defaults=True)


def store_of(manifest: Manifest, options: StorageOptions | None = None, *, to_write: bool = False) -> Store:
    """The store that a manifest lies in, which stores as its run did.

    Args:
        manifest: As it was loaded from beside its objects.
        options: How S3 is reached; and, where the manifest does not say it, what objects are stored with.
        to_write: Whether something is to be stored: then options that contradict the manifest are refused.

    Raises:
        RecipeError: They do; or the manifest has options that there are not.
    """
    if manifest.location.startswith("file://"):
        return LocalFolder(Path(place_name(manifest.location)).parent)
    given = options or StorageOptions()
    # Not checked together with the others: compressed attachments may be signed, or not be signed this time.
    kept: dict[str, Any] = {"gzip": False} if manifest.storage is None else _kept(manifest)
    if to_write and manifest.storage is not None:
        _refuse_others(given, kept)
    prefix = manifest.location.removesuffix(MANIFEST_KEY).rstrip("/")
    update = {**kept, "url_base": None, "presign_hours": manifest.presign_hours}
    return open_store(prefix, **given.model_copy(update=update).model_dump())


def _kept(manifest: Manifest) -> dict[str, Any]:
    """The options that the manifest's objects are stored with, all of them."""
    said = {name: value for name, value in (manifest.storage or {}).items() if name in _KEPT}
    compressed = said.pop("gzip", False) is True
    checked = StorageOptions(**said)
    return {name: getattr(checked, name) for name in _KEPT} | {"gzip": compressed}


def _refuse_others(given: StorageOptions, kept: dict[str, Any]) -> None:
    """Refuses options that were given and are not those that objects are stored with.

    Raises:
        RecipeError: There are such.
    """
    for name in recorded(given):
        if getattr(given, name) != kept[name]:
            was = "without it" if not kept[name] else f"with {kept[name]!r}"
            raise RecipeError(
                f"{name} is {getattr(given, name)!r}, and the run stored its objects {was}",
                fix="Leave that out: what is stored again is stored as the run did.",
            )


def gaps(manifest: Manifest, store: Store) -> list[str]:
    """The keys of what a manifest names that is gone, or of another size; nothing of it is read.

    Of what is compressed, and of attachments that are being signed anew, no size is known.

    Raises:
        FormatError: The manifest names what could not lie beside it.
        StorageError: That cannot be told.
    """
    objects = manifest.objects()
    keys = [key for key, _ in objects]
    if manifest.storage is None or manifest.storage.get("gzip") or manifest.is_being_signed:
        there = store.existing(keys)
        return [key for key in keys if key not in there]
    sizes = store.sizes(keys)
    return [key for key, record in objects if sizes.get(key) != record.bytes]


def require_current(manifest: Manifest, store: Store) -> None:
    """Sees, by who holds the lock, that the manifest stands as it was loaded, and that no unfinished run does.

    Raises:
        StorageError: It does not, or one does.
    """
    if journal_of(store).read() is not None:
        raise StorageError(
            f"an unfinished run stands at {place_name(store.location('')).rstrip('/')}",
            fix="Run its `prepare` command again, or another with --overwrite; then this one.",
        )
    if current(manifest, store) != manifest:
        raise StorageError(
            f"{place_name(manifest.location)} is no longer the manifest that was read: another run has ended there",
            fix="Run the same command again.",
        )


def current(manifest: Manifest, store: Store) -> Manifest:
    """The manifest that stands by now where this one was loaded from.

    Raises:
        StorageError: None does.
        FormatError: What stands there is none.
    """
    if not store.existing([MANIFEST_KEY]):
        raise StorageError(f"{place_name(manifest.location)} is gone since it was read", fix="Look at what is there.")
    return Manifest.from_json(store.get(MANIFEST_KEY), location=manifest.location)
