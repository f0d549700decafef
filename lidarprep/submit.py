"""Submission of what a run stored: its manifest fills in the parameters of a task."""

from __future__ import annotations

import logging
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lidarprep.checks.codes import require_known
from lidarprep.errors import RecipeError, StorageError, place_name
from lidarprep.recipe import Recipe, StorageOptions, TaskRecipe
from lidarprep.scene.finding import refuse, refused
from lidarprep.signed_urls import expires_soon, renew
from lidarprep.storage import Manifest, open_store, store_of
from lidarprep.storage.cache import missing_objects
from lidarprep.storage.open import BUCKETS, current_version, destination_of, replace_manifest
from lidarprep.task_batches import create_in_batch, require_project
from lidarprep.uploads import planned_urls, upload_attachments

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient, Task

log = logging.getLogger(__name__)

# In place of a unique_id: one that is made of the task's content; none at all.
AUTO = "auto"
NONE = "none"


@dataclass(frozen=True)
class TaskRequest:
    """A task as it is about to be submitted.

    Args:
        type: As in the API's path.
        parameters: By the API's names; the attachments' URLs are unsigned until the task is sent.
        id_is_content: Its unique_id is made of its content.
        manifest: What it is made of; None for a task of its parameters alone.
    """

    type: str
    parameters: Mapping[str, Any]
    id_is_content: bool
    manifest: Manifest | None = None

    @classmethod
    def of(cls, task_type: str, parameters: Mapping[str, Any], *, unique_id: str | None = AUTO) -> TaskRequest:
        """Return the request of a task of its parameters alone; `unique_id` as in `submit`.

        Raises:
            ParameterError: The parameters are refused.
            RecipeError: Two unique ids are given.
        """
        from lidarprep.api import Strictness, check_parameters, content_unique_id

        filled = _with_unique_id(parameters, unique_id)
        is_auto = unique_id == AUTO and "unique_id" not in filled
        if is_auto:
            permissive = Strictness(local_files=True, unenforced_rules=False)
            content = check_parameters(task_type, filled, permissive).to_wire()
            filled["unique_id"] = content_unique_id(task_type, content)
        return cls(task_type, filled, is_auto)

    @property
    def unique_id(self) -> str | None:
        """Its unique_id, if it has one."""
        found = self.parameters.get("unique_id")
        return found if isinstance(found, str) and found else None

    def summary(self) -> list[tuple[str, str]]:
        """Say what it is, for people: names and values."""
        given = self.parameters
        rows = [("type", self.type)]
        rows += [(name, str(given[name])) for name in ("project", "batch") if given.get(name)]
        attachments = self.manifest.attachments if self.manifest is not None else []
        listed = given.get("attachments")
        if isinstance(listed, (list, tuple)):
            frames = sum(len(one.frames) for one in attachments) or len(listed)
            rows.append(("frames", f"{frames:,}"))
            rows.append(("labelled frames", f"{self._labelled(frames):,}"))
        if labels := labels_of(given):
            rows.append(("labels", ", ".join(labels)))
        if self.manifest is not None and (counts := Counter(one.severity for one in self.manifest.findings)):
            rows.append(("findings", ", ".join(f"{count} of severity {name}" for name, count in counts.items())))
        rows.append(("unique id", self.unique_id or "none: the same again makes another task"))
        return rows

    def as_sent(self, api_url: str | None = None) -> dict[str, Any]:
        """Return the request as JSON, but for its headers and what signs its URLs; it is checked as when it is sent.

        Raises:
            ParameterError: A parameter, or the API's address, is refused.
        """
        return request_as_json(self.type, self.parameters, api_url)

    def _labelled(self, frames: int) -> int:
        from lidarprep.steps.sampling import labelled_rows  # brings NumPy

        rate = self.parameters.get("labeling_sample_rate")
        return len(labelled_rows(frames, rate)) if isinstance(rate, int) and rate >= 1 else frames


def request_as_json(task_type: str, parameters: Mapping[str, Any], api_url: str | None = None) -> dict[str, Any]:
    """Return the request that creates a task as JSON, but for its headers; no key is needed.

    Raises:
        ParameterError: A parameter, or the API's address, is refused.
    """
    import json

    from lidarprep.api import api_url_of, create_request

    request = create_request(api_url_of(api_url), task_type, parameters)
    return {"method": request.method, "url": request.url, "body": json.loads(request.body or b"{}")}


def labels_of(parameters: Mapping[str, Any]) -> list[str]:
    """Return the names of a task's labels, of its geometries too; subchoices are not listed."""
    listed = parameters.get("labels")
    found = list(listed) if isinstance(listed, (list, tuple)) else []
    geometries = parameters.get("geometries")
    for geometry in geometries.values() if isinstance(geometries, Mapping) else ():
        objects = geometry.get("objects_to_annotate") if isinstance(geometry, Mapping) else None
        found += objects if isinstance(objects, (list, tuple)) else []
    return [str(one.get("choice", "?") if isinstance(one, Mapping) else getattr(one, "choice", one)) for one in found]


def task_request(
    manifest: Manifest,
    task_type: str,
    parameters: Mapping[str, Any],
    *,
    unique_id: str | None = AUTO,
    upload: str | None = None,
    accept: Collection[str] = (),
    batch: str | None = None,
) -> TaskRequest:
    """Return the task that `submit` would submit; nothing is sent, signed or written.

    Args, Raises: As `submit`.
    """
    from lidarprep.api import Prepared, fill_in

    _require_typed(task_type)
    own = {name: value for name, value in parameters.items() if name != "coordinates"}
    coordinates = str(parameters.get("coordinates", "recording"))
    content = _content(manifest, task_type, own, coordinates)
    if _takes_frames(task_type, own):
        require_known(accept, manifest.findings)
        refuse(manifest.findings, accept={*manifest.accepted, *accept})
    urls = None if upload is None else planned_urls(manifest, upload)
    filled = _with_unique_id(fill_in(task_type, own, Prepared.of(manifest, urls), coordinates), unique_id)
    is_auto = unique_id == AUTO and "unique_id" not in filled
    if is_auto:
        filled["unique_id"] = _unique_id(manifest, task_type, content)
    if batch is not None:
        require_project(filled)
        filled["batch"] = batch
    return TaskRequest(task_type, filled, is_auto, manifest)


def _with_unique_id(parameters: Mapping[str, Any], asked: str | None) -> dict[str, Any]:
    """Return parameters with a unique_id that was asked for beside them.

    Raises:
        RecipeError: They hold another.
    """
    filled = {name: value for name, value in parameters.items() if name != "unique_id" or value is not None}
    if asked in (None, AUTO, NONE):
        return filled
    given = filled.setdefault("unique_id", asked)
    if given != asked:
        raise RecipeError(
            f"the parameters hold the unique_id {given!r}, and {asked!r} was asked for", fix="Give one of them."
        )
    return filled


def submit(
    manifest: Manifest,
    task_type: str,
    parameters: Mapping[str, Any],
    client: ScaleClient,
    *,
    unique_id: str | None = AUTO,
    resubmit: bool = False,
    upload: str | None = None,
    accept: Collection[str] = (),
    batch: str | None = None,
    storage: StorageOptions | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    on_request: Callable[[TaskRequest], None] = lambda request: None,
) -> Task:
    """Submit what a run stored as one task, after checking that all of it is there.

    Signed URLs are made now: those of attachments for the task. Those of images are part of the attachments, and are
    renewed in new attachments if they expire within the next hour.

    The manifest fills in what `parameters` leave out: the attachments and their type or scene_format, the
    labeling_sample_rate, a topdown task's region and device height (in whole metres). The task's metadata says, under
    "lidarprep", which manifest it is of.

    Args:
        manifest: What `prepare` stored.
        task_type: As in the API's path: "lidarannotation", "multistage", …
        parameters: The task's parameters, by the API's names. A region and base annotations lie in the recording's
            world, and are shifted as its points were; "coordinates": "attachment" among them says otherwise.
        client: Where to submit it.
        unique_id: Id of your own that no other task may have; "auto" for the one that `unique_id_of` makes of the
            content. Where a task of the same content has it already, that task is returned and none is made. "none"
            or None for no id: then the same again makes another task.
        resubmit: Where the task that has the unique_id is canceled or in error, free the id and make the task again.
        upload: Project to upload images and attachments to by Scale's Files API, at most 80 MB each, in place of
            handing out their own URLs; `uploads/` beside the manifest records what was uploaded.
        accept: Codes of findings that would ruin a task, and are accepted; the manifest records them.
        batch: Batch at Scale that it is put into. It is made if there is none. One that is finalized takes no more
            tasks, so the next is taken: BATCH-2, BATCH-3, …. Unlike a batch among the parameters, it is no part of a
            unique_id that is made of the content: the same task is found in whatever batch it is.
        storage: How the store is reached.
        progress: Told how many files of how many are uploaded, or attachments have renewed URLs of their images.
        on_request: Told what will be submitted, before anything is sent.

    Raises:
        FindingsError: The recording has a finding that would ruin the task, and it is not accepted.
        RecipeError: Such a task does not take the manifest's format; there is no finding of an accepted code.
        StorageError: Something of what the run stored is gone; or it cannot be reached, or be signed.
        ParameterError: The parameters are refused before anything is sent.
        TaskEndedError: The task that has the unique_id is canceled or in error.
        UniqueIdConflictError: Another task has the unique_id.
        ManifestConflictError: Signed URLs were to be renewed, and another run has ended at the destination.
        ApiError: The API, or the way to it, said no.
    """
    request = task_request(
        manifest, task_type, parameters, unique_id=unique_id, upload=upload, accept=accept, batch=batch
    )
    on_request(request)
    filled = dict(request.parameters)
    if _takes_frames(task_type, parameters):
        manifest = accept_findings(manifest, accept, storage)
        if upload is None and expires_soon(manifest):
            require_beside(manifest, storage)
            manifest = renew(manifest, storage, progress=progress)
        require_all_there(manifest, storage)
        filled["attachments"] = (
            fetch_urls(manifest, storage)
            if upload is None
            else upload_attachments(manifest, client, upload, storage, progress=progress)
        )
    try:
        # Such an id says that the content is the same; renewed attachments have other URLs.
        how: dict[str, Any] = {"resubmit": resubmit, "id_is_content": request.id_is_content}
        if batch is not None:
            return create_in_batch(client, task_type, filled, batch, **how)
        return client.create_task(task_type, filled, **how)
    except (KeyboardInterrupt, SystemExit) as stop:
        stop.add_note(
            "the task may have been made; the same command again finds it by its unique id."
            if request.unique_id
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
    own = {name: value for name, value in parameters.items() if name != "coordinates"}
    coordinates = str(parameters.get("coordinates", "recording"))
    return _unique_id(manifest, task_type, _content(manifest, task_type, own, coordinates))


def _unique_id(manifest: Manifest, task_type: str, content: Mapping[str, Any]) -> str:
    from lidarprep.api import content_unique_id

    content = {name: value for name, value in content.items() if name != "unique_id"}
    if content.get("attachments") == _STAND_IN:
        content["attachments"] = [record.unsigned_sha256 or record.sha256 for record in manifest.attachments]
    return content_unique_id(task_type, content)


# In place of the attachments' URLs, while the rest of a task is checked.
_STAND_IN = ["https://example.com/attachment"]


def _content(manifest: Manifest, task_type: str, parameters: Mapping[str, Any], coordinates: str) -> dict[str, Any]:
    """Return what goes over the wire for a task, but for its attachments' URLs and where its manifest lies.

    Raises:
        RecipeError, ParameterError: As `unique_id_of`.
    """
    from lidarprep.api import Prepared, Strictness, check_parameters, fill_in

    prepared = replace(Prepared.of(manifest, _STAND_IN), metadata={})
    # Whether the server can take the parameters is for the submission to say.
    permissive = Strictness(local_files=True, unenforced_rules=False)
    return check_parameters(task_type, fill_in(task_type, parameters, prepared, coordinates), permissive).to_wire()


def _require_typed(task_type: str) -> None:
    """Refuse a type without a model: nothing of a manifest would be filled in."""
    from lidarprep.api import TASK_TYPES

    if task_type not in TASK_TYPES:
        raise RecipeError(
            f"there is no task type {task_type!r} that a manifest fills in; known are {', '.join(TASK_TYPES)}",
            fix="`lidarprep tasks create` makes tasks of other types.",
        )


def _takes_frames(task_type: str, parameters: Mapping[str, Any]) -> bool:
    from lidarprep.api import takes_frames

    return takes_frames(task_type, parameters)


def check_task(recipe: Recipe, task: TaskRecipe) -> None:
    """Check that a task could be submitted of what the recipe will make, before any of it is made.

    Raises:
        ParameterError, RecipeError: It could not.
    """
    from lidarprep.api import Prepared, check_parameters, fill_in

    _require_typed(task.type)
    prepared = Prepared(
        urls=["https://example.com/frame"],
        format=recipe.format,
        region_of_interest_3d=recipe.region_of_interest_3d,
    )
    own = {name: value for name, value in task.params.items() if name != "coordinates"}
    if task.batch is not None:
        require_project(own)
    coordinates = str(task.params.get("coordinates", "recording"))
    check_parameters(task.type, fill_in(task.type, own, prepared, coordinates))


def fetch_urls(manifest: Manifest, storage: StorageOptions | None = None) -> list[str]:
    """Return the URLs that Scale is given for a manifest's attachments: signed now, where the run asked for that.

    Raises:
        StorageError: They are to be signed, and the manifest does not lie beside them.
    """
    if manifest.presign_hours is None:
        return manifest.urls
    require_beside(manifest, storage)
    store = store_of(manifest, storage)
    return [store.fetch_url(key).url for key, _ in manifest.objects()[: len(manifest.attachments)]]


def require_beside(manifest: Manifest, storage: StorageOptions | None = None) -> None:
    """Check that a manifest whose URLs are to be signed lies beside its attachments.

    Raises:
        StorageError: It does not.
    """
    if urlsplit(manifest.location).scheme not in BUCKETS or not _lies_beside(manifest, storage):
        raise StorageError(
            f"{place_name(manifest.location)}: its attachments are to be signed, and it does not lie beside them",
            fix="Name the manifest where it was stored: BUCKET/prefix/manifest.json.",
        )


def require_all_there(manifest: Manifest, storage: StorageOptions | None = None) -> None:
    """Check by sizes that what a manifest names is there; nothing is read. Copies elsewhere cannot be checked.

    Credentials that may not list the destination are enough for a task: then it is a warning.

    Raises:
        StorageError: Something is gone, or of another size.
    """
    try:
        beside = _lies_beside(manifest, storage)
        served = not beside and _is_served(manifest)
        if not served and not beside:
            return
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


def _lies_beside(manifest: Manifest, storage: StorageOptions | None = None) -> bool:
    """Tell whether the attachments' URLs lead to where the manifest lies."""
    beside = manifest.resolve("")
    if beside.startswith("az://"):  # Scale is given https://ACCOUNT…, and which account it is, the store knows
        beside = open_store(destination_of(manifest), storage).url("")
    return all(url.startswith(beside) for url in manifest.urls)


def _is_served(manifest: Manifest) -> bool:
    """Tell whether the attachments' URLs begin with a prefix that was given for them, and not with the store's own."""
    return all(url.startswith(("https://", "http://")) for url in manifest.urls)
