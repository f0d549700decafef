"""From what a run stored to a task: reads its manifest, fills in what that knows, and submits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from lidarprep.errors import RecipeError, StorageError
from lidarprep.recipe import Recipe, StorageOptions
from lidarprep.scene import RegionOfInterest3D
from lidarprep.storage import Manifest, open_store
from lidarprep.storage.store import MANIFEST_KEY

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient, Task


def load_manifest(path: str | PathLike[str], storage: StorageOptions | None = None) -> Manifest:
    """Reads a manifest from a file, from the folder that holds it, or from s3://bucket/prefix[/manifest.json].

    Raises:
        StorageError: It cannot be read.
        FormatError: It is not a manifest.
    """
    location = fspath(path)
    if not location.startswith("s3://"):
        return Manifest.load(location)
    prefix = location.removesuffix(MANIFEST_KEY).rstrip("/")
    store = open_store(prefix, **(storage or StorageOptions()).model_dump())
    return Manifest.from_json(store.get(MANIFEST_KEY), location=f"{prefix}/{MANIFEST_KEY}")


def submit(
    manifest: Manifest,
    task_type: str,
    parameters: Mapping[str, Any],
    client: ScaleClient,
    *,
    unique_id: str | None = None,
    storage: StorageOptions | None = None,
) -> Task:
    """Submits what a run stored as one task.

    What the manifest knows is filled in where `parameters` leave it out: the attachments and their type, the
    labeling_sample_rate, a topdown task's region and device height.

    Args:
        manifest: What `prepare` stored.
        task_type: As in the API's path: "lidarannotation", "multistage", …
        parameters: The task's parameters, by the API's names.
        client: Where to submit it.
        unique_id: Id of your own that no other task may have.
        storage: How the store is reached, where URLs are to be signed.

    Raises:
        ParameterError: The parameters are refused before anything is sent.
        ApiError: The API, or the way to it, said no.
    """
    filled = manifest_parameters(manifest, task_type)
    if "deviceHeight" in parameters:  # the wire's name of what the manifest fills in as device_height
        filled.pop("device_height", None)
    filled |= parameters
    # Tasks that are made from a finished lidar task, or over an aerial picture, take no frames.
    if not {"attachments", "attachment", "lidar_task"} & set(filled):
        filled["attachments"] = fetch_urls(manifest, storage)
    if "attachments" not in filled:
        filled.pop("attachment_type", None)
    if unique_id is not None:
        filled["unique_id"] = unique_id
    return client.create_task(task_type, filled)


def manifest_parameters(manifest: Manifest, task_type: str) -> dict[str, Any]:
    """What a manifest says of a task's parameters, by the API's names; all but the attachments."""
    recipe = Recipe(**manifest.recipe)
    parameters: dict[str, Any] = {}
    if task_type in ("lidarannotation", "lidarsegmentation"):
        parameters["attachment_type"] = manifest.format
    if task_type == "lidarannotation" and recipe.labeling_sample_rate is not None and not recipe.only_labelled:
        parameters["labeling_sample_rate"] = recipe.labeling_sample_rate
    if task_type == "multistage":
        if manifest.format != "json":
            raise RecipeError(
                f"a multistage task takes Frame JSON; this manifest's attachments are {manifest.format}",
                fix="Prepare again with --format json.",
            )
        parameters["scene_format"] = "split_base64"
    if task_type == "lidartopdown":
        if recipe.region_of_interest_3d is not None:
            parameters["region_of_interest_3d"] = _shifted(recipe.region_of_interest_3d, manifest.world_offset).to_api()
        if recipe.device_height is not None:
            parameters["device_height"] = recipe.device_height
    return parameters


def _shifted(region: RegionOfInterest3D, offset: tuple[float, float, float]) -> RegionOfInterest3D:
    """The region in the attachments' world frame, which is the recording's less the offset."""
    x, y, z = (place - shift for place, shift in zip(region.position, offset, strict=True))
    return replace(region, position=(x, y, z))


def fetch_urls(manifest: Manifest, storage: StorageOptions | None = None) -> list[str]:
    """The URLs that Scale is given for a manifest's attachments: signed now, where the run asked for that."""
    if manifest.presign_hours is None:
        return manifest.urls
    options = (storage or StorageOptions()).model_copy(update={"presign_hours": manifest.presign_hours})
    prefix = manifest.location.removesuffix(MANIFEST_KEY).rstrip("/")
    if not prefix.startswith("s3://"):
        raise StorageError(
            f"{manifest.location}: its attachments are to be signed, and it does not lie beside them",
            fix="Name the manifest where it was stored: s3://bucket/prefix/manifest.json.",
        )
    store = open_store(prefix, **options.model_dump())
    return [store.fetch_url(url.removeprefix(f"{prefix}/")) for url in manifest.urls]
