"""From what a run stored to a task: reads its manifest, fills in what that knows, and submits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from lidarprep.attachments import get_format
from lidarprep.errors import RecipeError, StorageError
from lidarprep.recipe import Recipe, StorageOptions, TaskRecipe
from lidarprep.scene import RegionOfInterest3D
from lidarprep.storage import Manifest, open_store
from lidarprep.storage.store import MANIFEST_KEY

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient, Task


def load_manifest(path: str | PathLike[str], storage: StorageOptions | None = None) -> Manifest:
    """Reads a manifest from a file, from the folder that holds it, or from s3://bucket/prefix[/manifest.json].

    Raises:
        StorageError: It cannot be fetched from S3.
        FormatError: It cannot be read, or is not a manifest.
    """
    location = fspath(path)
    if location.startswith("file://"):
        location = unquote(urlsplit(location).path)
    if "://" not in location:
        return Manifest.load(location)
    prefix = location.removesuffix(f"/{MANIFEST_KEY}").rstrip("/")
    store = open_store(prefix, **(storage or StorageOptions()).model_dump())
    return Manifest.from_json(store.get(MANIFEST_KEY), location=store.location(MANIFEST_KEY))


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

    What the manifest knows is filled in where `parameters` leave it out: the attachments and their type or
    scene_format, the labeling_sample_rate, a topdown task's region and device height.

    Args:
        manifest: What `prepare` stored.
        task_type: As in the API's path: "lidarannotation", "multistage", …
        parameters: The task's parameters, by the API's names.
        client: Where to submit it.
        unique_id: Id of your own that no other task may have.
        storage: How the store is reached, where URLs are to be signed.

    Raises:
        RecipeError: Such a task does not take the manifest's format.
        ParameterError: The parameters are refused before anything is sent.
        ApiError: The API, or the way to it, said no.
    """
    recipe = Recipe(**manifest.recipe)
    task = TaskRecipe(type=task_type, params=dict(parameters), unique_id=unique_id)
    require_taken(recipe, task)
    urls = fetch_urls(manifest, storage) if takes_frames(task) else []
    return client.create_task(task_type, task_parameters(recipe, manifest.world_offset, task, urls))


def check_task(recipe: Recipe, task: TaskRecipe) -> None:
    """Sees that a task could be submitted of what the recipe will make, before any of it is made.

    Raises:
        ParameterError, RecipeError: It could not.
    """
    from lidarprep.api import check_parameters

    check_parameters(task.type, task_parameters(recipe, (0.0, 0.0, 0.0), task, ["https://example.com/frame"]))


# Which attachments a task takes, and what a multistage task calls them.
_TAKEN = {
    "lidarannotation": ("json", "protobuf"),
    "lidarsegmentation": ("json", "protobuf"),
    "lidartopdown": ("json", "protobuf"),
    "multistage": ("sfs", "json"),
}
_SCENE_FORMATS = {"sfs": "sensor_fusion", "json": "split_base64"}


def require_taken(recipe: Recipe, task: TaskRecipe) -> None:
    """Sees that a task of prepared frames takes them in the recipe's format.

    Raises:
        RecipeError: It does not.
    """
    taken = _TAKEN.get(task.type, ())
    if not taken or recipe.format in taken or not takes_frames(task):
        return
    titles = " or ".join(get_format(name).title for name in taken)
    flags = ", or ".join(f"--format {name}" for name in taken)
    advice = f"Prepare again with {flags}"
    if recipe.format == "sfs":
        advice += ", or make a multistage task"
    raise RecipeError(
        f"a {task.type} task takes {titles}; what was prepared is {get_format(recipe.format).title}", fix=f"{advice}."
    )


def takes_frames(task: TaskRecipe) -> bool:
    """Whether a task is made of prepared frames, and not from a finished lidar task or over an aerial picture."""
    return not {"attachments", "attachment", "lidar_task"} & set(task.params)


def task_parameters(
    recipe: Recipe, world_offset: tuple[float, float, float], task: TaskRecipe, urls: Sequence[str]
) -> dict[str, Any]:
    """A task's parameters, by the API's names: what the recipe knows, and over it what the task says itself.

    Raises:
        RecipeError: Such a task does not take the recipe's format.
    """
    require_taken(recipe, task)
    parameters: dict[str, Any] = {}
    if takes_frames(task):
        parameters["attachments"] = list(urls)
        if task.type in ("lidarannotation", "lidarsegmentation"):
            parameters["attachment_type"] = recipe.format
    if task.type == "lidarannotation" and recipe.labeling_sample_rate is not None and not recipe.only_labelled:
        parameters["labeling_sample_rate"] = recipe.labeling_sample_rate
    if task.type == "multistage" and recipe.format in _SCENE_FORMATS:
        parameters["scene_format"] = _SCENE_FORMATS[recipe.format]
    if task.type == "lidartopdown":
        if recipe.region_of_interest_3d is not None:
            parameters["region_of_interest_3d"] = _shifted(recipe.region_of_interest_3d, world_offset).to_api()
        if recipe.device_height is not None and "deviceHeight" not in task.params:  # the wire's name for it
            parameters["device_height"] = recipe.device_height
    if task.unique_id is not None:
        parameters["unique_id"] = task.unique_id
    return parameters | task.params


def _shifted(region: RegionOfInterest3D, offset: tuple[float, float, float]) -> RegionOfInterest3D:
    """The region in the attachments' world frame, which is the recording's less the offset."""
    x, y, z = (place - shift for place, shift in zip(region.position, offset, strict=True))
    return replace(region, position=(x, y, z))


def fetch_urls(manifest: Manifest, storage: StorageOptions | None = None) -> list[str]:
    """The URLs that Scale is given for a manifest's attachments: signed now, where the run asked for that.

    Raises:
        StorageError: They are to be signed, and the manifest does not lie beside them.
    """
    if manifest.presign_hours is None:
        return manifest.urls
    options = (storage or StorageOptions()).model_copy(update={"presign_hours": manifest.presign_hours})
    prefix = manifest.location.removesuffix(MANIFEST_KEY)
    if not prefix.startswith("s3://") or not all(url.startswith(prefix) for url in manifest.urls):
        raise StorageError(
            f"{manifest.location}: its attachments are to be signed, and it does not lie beside them",
            fix="Name the manifest where it was stored: s3://bucket/prefix/manifest.json.",
        )
    store = open_store(prefix.rstrip("/"), **options.model_dump())
    return [store.fetch_url(url.removeprefix(prefix)) for url in manifest.urls]
