"""From what a run stored to a task: reads its manifest, fills in what that knows, and submits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
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

# In place of a unique_id: one that is made of the task's content.
AUTO = "auto"


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
        unique_id: Id of your own that no other task may have; "auto" for the one that `unique_id_of` makes of the
            content. Where a task of the same content has it already, that task is returned and none is made.
        storage: How the store is reached, where URLs are to be signed.

    Raises:
        RecipeError: Such a task does not take the manifest's format.
        ParameterError: The parameters are refused before anything is sent.
        ConflictError: Another task has the unique_id.
        ApiError: The API, or the way to it, said no.
    """
    if unique_id == AUTO:
        unique_id = unique_id_of(manifest, task_type, parameters)
    recipe = Recipe(**manifest.recipe)
    task = TaskRecipe(type=task_type, params=dict(parameters), unique_id=unique_id)
    require_taken(recipe, task)
    urls = fetch_urls(manifest, storage) if takes_frames(task) else []
    return client.create_task(task_type, task_parameters(recipe, manifest.world_offset, task, urls))


def unique_id_of(manifest: Manifest, task_type: str, parameters: Mapping[str, Any]) -> str:
    """A unique_id made of what a task is, so that the same task submitted again is found rather than made twice.

    It is "auto-" and the SHA-256, 64 hex digits, of the task's type, the SHA-256 of each attachment in order, and
    every parameter by its name on the wire, as JSON with sorted keys. Where the attachments lie does not count, nor
    what signs a URL for a while: the id is the same on another machine and after signing anew. Anything else that
    differs, be it a tag or the callback_url, makes another id, and so another task.

    Raises:
        RecipeError: Such a task does not take the manifest's format.
        ParameterError: The parameters are refused.
    """
    from lidarprep.api import Strictness, check_parameters

    recipe = Recipe(**manifest.recipe)
    task = TaskRecipe(type=task_type, params=dict(parameters))
    filled_in = task_parameters(recipe, manifest.world_offset, task, ["https://example.com/attachment"])
    # Whether the server can take the parameters is for the submission to say.
    permissive = Strictness(local_files=True, unenforced_rules=False)
    content = check_parameters(task_type, filled_in, permissive).to_wire()
    content.pop("unique_id", None)
    if takes_frames(task):
        content["attachments"] = [attachment.sha256 for attachment in manifest.attachments]
    text = json.dumps([task_type, _unsigned(content)], sort_keys=True, separators=(",", ":"))
    return f"auto-{hashlib.sha256(text.encode()).hexdigest()}"


def _unsigned(value: Any) -> Any:
    """JSON, its URLs without what signs them for a while."""
    from lidarprep.api.conflicts import unsigned

    if isinstance(value, Mapping):
        return {key: _unsigned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unsigned(item) for item in value]
    return unsigned(value) if isinstance(value, str) else value


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
    if recipe.format in taken or not takes_frames(task):
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
    return task.type in _TAKEN and not {"attachments", "attachment", "lidar_task"} & set(task.params)


def task_parameters(
    recipe: Recipe, world_offset: tuple[float, float, float], task: TaskRecipe, urls: Sequence[str]
) -> dict[str, Any]:
    """A task's parameters, by the API's names: what the recipe knows, and over it what the task says itself.

    Raises:
        RecipeError: Such a task does not take the recipe's format, or two unique ids are given.
    """
    require_taken(recipe, task)
    if task.unique_id is not None and task.params.get("unique_id", task.unique_id) != task.unique_id:
        raise RecipeError(
            f"the parameters hold the unique_id {task.params['unique_id']!r}, and {task.unique_id!r} was asked for",
            fix="Give one of them.",
        )
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

    The URLs of pictures stand in the attachments, signed when those were made: they cannot be signed anew here.

    Raises:
        StorageError: They are to be signed, and the manifest does not lie beside them; those of pictures have run out.
    """
    if manifest.presign_hours is None:
        return manifest.urls
    if manifest.images_have_expired and manifest.images_expire_at is not None:
        ran_out = datetime.fromtimestamp(manifest.images_expire_at, UTC)
        raise StorageError(
            f"{manifest.location}: the signed URLs of its pictures ran out at {ran_out:%Y-%m-%d %H:%M} UTC",
            fix="Prepare again with --overwrite, and submit within the hours that --presign says.",
        )
    options = (storage or StorageOptions()).model_copy(update={"presign_hours": manifest.presign_hours})
    prefix = manifest.location.removesuffix(MANIFEST_KEY)
    if not prefix.startswith("s3://") or not all(url.startswith(prefix) for url in manifest.urls):
        raise StorageError(
            f"{manifest.location}: its attachments are to be signed, and it does not lie beside them",
            fix="Name the manifest where it was stored: s3://bucket/prefix/manifest.json.",
        )
    store = open_store(prefix.rstrip("/"), **options.model_dump())
    return [store.fetch_url(url.removeprefix(prefix)) for url in manifest.urls]
