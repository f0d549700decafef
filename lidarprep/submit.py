"""Submission of what a run stored: its manifest fills in the parameters of a task."""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lidarprep.attachments import get_format
from lidarprep.checks.codes import require_known
from lidarprep.errors import RecipeError, StorageError, UniqueIdConflictError, place_name
from lidarprep.recipe import Recipe, StorageOptions, TaskRecipe
from lidarprep.scene import RegionOfInterest3D
from lidarprep.scene.finding import refuse, refused
from lidarprep.signed_urls import expires_soon, renew
from lidarprep.storage import Manifest, store_of
from lidarprep.storage.cache import missing_objects
from lidarprep.storage.open import current_version, replace_manifest

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient, Task

log = logging.getLogger(__name__)

# In place of a unique_id: one that is made of the task's content.
AUTO = "auto"


def submit(
    manifest: Manifest,
    task_type: str,
    parameters: Mapping[str, Any],
    client: ScaleClient,
    *,
    unique_id: str | None = None,
    accept: Collection[str] = (),
    storage: StorageOptions | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Task:
    """Submit what a run stored as one task, after checking that all of it is there.

    Signed URLs are made now: those of attachments for the task. Those of images are part of the attachments, and are
    renewed in new attachments if they expire within the next hour.

    The manifest fills in what `parameters` leave out: the attachments and their type or scene_format, the
    labeling_sample_rate, a topdown task's region and device height.

    Args:
        manifest: What `prepare` stored.
        task_type: As in the API's path: "lidarannotation", "multistage", …
        parameters: The task's parameters, by the API's names.
        client: Where to submit it.
        unique_id: Id of your own that no other task may have; "auto" for the one that `unique_id_of` makes of the
            content. Where a task of the same content has it already, that task is returned and none is made.
        accept: Codes of findings that would ruin a task, and are accepted; the manifest records them.
        storage: How the store is reached.
        progress: Told how many attachments of how many have renewed URLs of their images.

    Raises:
        FindingsError: The recording has a finding that would ruin the task, and it is not accepted.
        RecipeError: Such a task does not take the manifest's format; there is no finding of an accepted code.
        StorageError: Something of what the run stored is gone; or it cannot be reached, or be signed.
        ParameterError: The parameters are refused before anything is sent.
        UniqueIdConflictError: Another task has the unique_id.
        ManifestConflictError: Signed URLs were to be renewed, and another run has ended at the destination.
        ApiError: The API, or the way to it, said no.
    """
    is_auto = unique_id == AUTO
    if is_auto:
        unique_id = unique_id_of(manifest, task_type, parameters)
    recipe = _resolved_recipe(manifest)
    task = TaskRecipe(type=task_type, params=dict(parameters), unique_id=unique_id)
    require_taken(recipe, task)
    urls: list[str] = []
    if takes_frames(task):
        manifest = accept_findings(manifest, accept, storage)
        if expires_soon(manifest):
            _check_content(recipe, manifest, task)  # before minutes are spent on it
            require_beside(manifest)
            manifest = renew(manifest, storage, progress=progress)
        require_all_there(manifest, storage)
        urls = fetch_urls(manifest, storage)
    filled_in = task_parameters(recipe, manifest.world_offset, task, urls)
    try:
        return client.create_task(task_type, filled_in)
    except UniqueIdConflictError as conflict:
        # Such an id says that the content is the same; renewed attachments have other URLs.
        if not is_auto or conflict.task_id is None:
            raise
        return client.get_task(conflict.task_id)
    except (KeyboardInterrupt, SystemExit) as stop:
        stop.add_note(
            "the task may have been made; the same command again finds it by its unique id."
            if "unique_id" in filled_in
            else "the task may have been made; without a unique id only `lidarprep tasks list` shows whether it was."
        )
        raise


def accept_findings(manifest: Manifest, accept: Collection[str], storage: StorageOptions | None = None) -> Manifest:
    """Return the manifest with the codes that are accepted now, recorded where it lies.

    Raises:
        FindingsError: A finding that would ruin a task is not accepted.
        RecipeError: There is no finding of such a code.
        StorageError, ManifestConflictError: The codes cannot be recorded.
    """
    require_known(accept, manifest.findings)
    bad = {one.code for one in refused(manifest.findings, accept=manifest.accepted)}
    refuse(manifest.findings, accept={*manifest.accepted, *accept})
    if not bad:
        return manifest
    store = store_of(manifest, storage)
    version = current_version(manifest, store)
    return replace_manifest(
        store, manifest.model_copy(update={"accepted": [*manifest.accepted, *sorted(bad)]}), version
    )


def unique_id_of(manifest: Manifest, task_type: str, parameters: Mapping[str, Any]) -> str:
    """Return a unique_id made of what a task is, so that the same task submitted again is found.

    It is "auto-" and the SHA-256, 64 hex digits, of the task's type, the SHA-256 of each attachment in order (of one
    that holds signed URLs of images: the unsigned_sha256), and every parameter by its name on the wire, as JSON with
    sorted keys. Where the attachments lie does not count, nor what signs a URL for a while: the id is the same on
    another machine and after URLs are renewed. Anything else that differs, be it a tag or the callback_url, makes
    another id, and so another task.

    Raises:
        RecipeError: Such a task does not take the manifest's format.
        ParameterError: The parameters are refused.
    """
    recipe = _resolved_recipe(manifest)
    task = TaskRecipe(type=task_type, params=dict(parameters))
    content = _check_content(recipe, manifest, task)
    content.pop("unique_id", None)
    if takes_frames(task):
        content["attachments"] = [record.unsigned_sha256 or record.sha256 for record in manifest.attachments]
    text = json.dumps([task_type, _unsigned(content)], sort_keys=True, separators=(",", ":"))
    return f"auto-{hashlib.sha256(text.encode()).hexdigest()}"


def _resolved_recipe(manifest: Manifest) -> Recipe:
    """Return the recipe of a run, with the device height that it has estimated."""
    recipe = Recipe(**manifest.recipe)
    return recipe if manifest.settings is None else recipe.with_device_height(manifest.settings.device_height)


def _check_content(recipe: Recipe, manifest: Manifest, task: TaskRecipe) -> dict[str, Any]:
    """Return what goes over the wire for a task, but for its attachments' URLs.

    Raises:
        RecipeError, ParameterError: As `unique_id_of`.
    """
    from lidarprep.api import Strictness, check_parameters

    filled_in = task_parameters(recipe, manifest.world_offset, task, ["https://example.com/attachment"])
    # Whether the server can take the parameters is for the submission to say.
    permissive = Strictness(local_files=True, unenforced_rules=False)
    return check_parameters(task.type, filled_in, permissive).to_wire()


def _unsigned(value: Any) -> Any:
    """Return JSON with its URLs without their signatures."""
    from lidarprep.api import unsigned

    if isinstance(value, Mapping):
        return {key: _unsigned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unsigned(item) for item in value]
    return unsigned(value) if isinstance(value, str) else value


def check_task(recipe: Recipe, task: TaskRecipe) -> None:
    """Check that a task could be submitted of what the recipe will make, before any of it is made.

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
    """Check that a task of prepared frames takes them in the recipe's format.

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
    """Tell whether a task is made of prepared frames, and not from a finished lidar task or over an aerial image."""
    return task.type in _TAKEN and not {"attachments", "attachment", "lidar_task"} & set(task.params)


def task_parameters(
    recipe: Recipe, world_offset: tuple[float, float, float], task: TaskRecipe, urls: Sequence[str]
) -> dict[str, Any]:
    """Return a task's parameters, by the API's names: the recipe's, and over them the task's own.

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
        # "auto" is only here before anything is prepared; "deviceHeight" is the wire's name for it.
        if isinstance(recipe.device_height, float) and "deviceHeight" not in task.params:
            parameters["device_height"] = recipe.device_height
    if task.unique_id is not None:
        parameters["unique_id"] = task.unique_id
    return parameters | task.params


def _shifted(region: RegionOfInterest3D, offset: tuple[float, float, float]) -> RegionOfInterest3D:
    """Return the region in the attachments' world frame, which is the recording's less the offset."""
    x, y, z = (place - shift for place, shift in zip(region.position, offset, strict=True))
    return replace(region, position=(x, y, z))


def fetch_urls(manifest: Manifest, storage: StorageOptions | None = None) -> list[str]:
    """Return the URLs that Scale is given for a manifest's attachments: signed now, where the run asked for that.

    Raises:
        StorageError: They are to be signed, and the manifest does not lie beside them.
    """
    if manifest.presign_hours is None:
        return manifest.urls
    require_beside(manifest)
    store = store_of(manifest, storage)
    return [store.fetch_url(key).url for key, _ in manifest.objects()[: len(manifest.attachments)]]


def require_beside(manifest: Manifest) -> None:
    """Check that a manifest whose URLs are to be signed lies beside its attachments.

    Raises:
        StorageError: It does not.
    """
    if not manifest.location.startswith("s3://") or not _lies_beside(manifest):
        raise StorageError(
            f"{place_name(manifest.location)}: its attachments are to be signed, and it does not lie beside them",
            fix="Name the manifest where it was stored: s3://bucket/prefix/manifest.json.",
        )


def require_all_there(manifest: Manifest, storage: StorageOptions | None = None) -> None:
    """Check by sizes that what a manifest names is there; nothing is read. Copies elsewhere cannot be checked.

    Credentials that may not list the destination are enough for a task: then it is a warning.

    Raises:
        StorageError: Something is gone, or of another size.
    """
    served = _is_served(manifest)
    if not served and not _lies_beside(manifest):
        return
    try:
        missing = missing_objects(manifest, store_of(manifest, storage))
    except StorageError as error:
        log.warning("it is not checked whether all that the task names is there: %s", error.message)
        return
    if not missing or (served and len(missing) == len(manifest.objects())):
        return  # what is served under a prefix of its own may lie elsewhere by now
    place = place_name(manifest.location)
    count = f"{len(missing)} of the {len(manifest.objects())} objects that it names"
    raise StorageError(
        f"{place}: {count} are gone, or of another size; the first is {missing[0]}",
        fix=f"Restore them: lidarprep verify {shlex.quote(place)} --repair RECORDING, opened as it was for the run."
        if manifest.settings is not None
        else "Prepare again with --overwrite: a run of lidarprep 0.1 cannot be repaired.",
    )


def _lies_beside(manifest: Manifest) -> bool:
    """Tell whether the attachments' URLs lead to where the manifest lies."""
    return all(url.startswith(manifest.resolve("")) for url in manifest.urls)


def _is_served(manifest: Manifest) -> bool:
    """Tell whether the attachments' URLs begin with a prefix that was given for them, and not with the store's own."""
    return all(url.startswith(("https://", "http://")) for url in manifest.urls)
