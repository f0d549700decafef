"""The file of a batch: YAML with defaults and scenes, or CSV or Parquet with a row a scene.

    out: s3://bucket/fleet/{name}
    recipe: {voxel: 0.1}
    task: {type: lidarannotation, params: {project: fleet, labels: [car]}}
    scenes:
      - s3://bucket/drives/*
      - recording: other/drive.mcap
        name: other
        recipe: {voxel: 0.05}

A scene's own values come before the defaults, key by key. Columns of a table are the same keys, the inner ones with a
dot: `recording`, `name`, `recipe.voxel`, `task.params.project`. An inner key that only one of recipe, opening and
storage has may be written alone: `voxel`. Paths are relative to the current folder, as on the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from os import PathLike
from typing import Annotated, Any, Self, TypeVar

from pydantic import BeforeValidator, Field

from lidarprep.batch.expand import is_pattern, matches
from lidarprep.batch.names import require_name, shortest_names
from lidarprep.batch.scenes import BATCH_SIZE, NAME, Batch, BatchScene, require_template, root_of
from lidarprep.batch.tables import rows_of
from lidarprep.datasets.options import OpenOptions
from lidarprep.errors import RecipeError, SceneError
from lidarprep.models import CheckedModel
from lidarprep.recipe import OpeningOptions, Recipe, TaskRecipe
from lidarprep.remote import as_path
from lidarprep.remote.options import AccessOptions
from lidarprep.storage.options import StorageOptions
from lidarprep.yaml_files import parse_yaml

SUFFIXES = (".yaml", ".yml", ".json", ".csv", ".parquet")


class SceneEntry(CheckedModel, defer_build=True):
    """A line of the list of scenes: a recording, or a pattern of several, with what it has of its own.

    Args:
        recording: Path, URL, or pattern (`drives/*.mcap`).
        name: Its name, where that is not to be made of its path.
        out: Its destination.
        layout: Its layout.
        opening: Options of opening, by their names.
        recipe: Fields of the recipe.
        storage: Storage options.
        task: Fields of the task; `params` are added to those of the default.
    """

    recording: str = Field(repr=False)
    name: str | None = None
    out: str | None = None
    layout: str | None = None
    opening: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    storage: dict[str, Any] = Field(default_factory=dict)
    task: dict[str, Any] = Field(default_factory=dict)


def _entries(value: Any) -> Any:
    """Read entries one by one, so that an error says which of them it is about; a text is a recording."""
    if not isinstance(value, list | tuple):
        return value
    return tuple(_entry(entry, f"scene {row}") for row, entry in enumerate(value, 1))


def _entry(value: Any, place: str) -> SceneEntry:
    if isinstance(value, SceneEntry):
        return value
    if isinstance(value, str | PathLike):
        return SceneEntry(recording=str(value))
    if not isinstance(value, dict):
        raise RecipeError(f"{place} is {value!r}; expected a recording, or a mapping with one")
    with _named(place):
        return SceneEntry(**{str(key): inner for key, inner in value.items()})


class BatchFile(CheckedModel, defer_build=True):
    """Scenes, and what they have in common.

    Args:
        scenes: Recordings, patterns of them, or mappings with their own values.
        out: Template of the destinations: a folder, or s3://bucket/prefix, with {name} in it. `url_base` of the storage
            options is one, too.
        layout: The recordings' layout; guessed where it is left out.
        opening: What the recordings don't say themselves.
        recipe: How they are prepared.
        storage: How recordings and destinations are reached.
        task: The task of each.
        batch_size: Tasks in a batch at Scale, which is finalized once it is full; 0 for no batches.
        overwrite: Whether to replace manifests of other runs.
    """

    scenes: Annotated[tuple[SceneEntry, ...], BeforeValidator(_entries), Field(min_length=1)]
    out: str | None = None
    layout: str | None = None
    opening: OpeningOptions = OpenOptions()
    recipe: Recipe = Recipe()
    storage: StorageOptions = StorageOptions()
    task: TaskRecipe | None = None
    batch_size: Annotated[int, Field(ge=0)] = BATCH_SIZE
    overwrite: bool = False

    @classmethod
    def read(cls, path: str | PathLike[str], access: AccessOptions | None = None) -> Self:
        """Read a batch from a YAML, JSON, CSV or Parquet file, wherever it lies.

        Raises:
            RecipeError: It cannot be read, or holds what a batch does not know.
            StorageError: Its store cannot be reached.
        """
        file = as_path(path, access)
        with _named(str(file)):
            try:
                if file.suffix.lower() in (".csv", ".parquet"):
                    return cls(scenes=tuple(_entry(row, place) for place, row in rows_of(file)))
                return cls(**parse_yaml(file.read_text(encoding="utf-8"), "the batch"))
            except OSError as error:
                raise RecipeError(f"the batch cannot be read: {error.strerror or error}") from error
            except UnicodeDecodeError as error:
                raise RecipeError(f"the batch is not UTF-8: {error}") from error

    def batch(self) -> Batch:
        """Return the scenes: patterns are looked up, names and destinations made.

        Raises:
            RecipeError: A pattern matches nothing; names or destinations clash; a value makes no sense.
            StorageError: A store cannot be listed.
        """
        if self.out is None:
            raise RecipeError("the batch has no destination", fix=f"Give it: out: s3://bucket/{NAME}, or --out.")
        found = [(entry, *one) for entry in self.scenes for one in self._recordings(entry)]  # as opened, as shown
        require_template(self.out, sum(entry.out is None for entry, *_ in found))
        if self.storage.url_base is not None:
            require_template(self.storage.url_base, len(found))
        unnamed = iter(shortest_names([shown for entry, _, shown in found if entry.name is None]))
        names = [next(unnamed) if entry.name is None else require_name(entry.name) for entry, *_ in found]
        scenes = [self._scene(name, *one) for name, one in zip(names, found, strict=True)]
        return Batch(tuple(scenes), root_of(self.out), self.storage, self.batch_size)

    def _recordings(self, entry: SceneEntry) -> list[tuple[str, str]]:
        """Return the recordings of an entry: as they are opened, and as they are shown."""
        if not is_pattern(entry.recording):
            return [(entry.recording, str(as_path(entry.recording, self.storage)))]
        found = [str(path) for path in matches(entry.recording, self.storage)]
        if entry.name is not None and len(found) > 1:
            raise RecipeError(f"{entry.recording} matches {len(found)} recordings; they cannot all be {entry.name}")
        return [(path, path) for path in found]

    def _scene(self, name: str, entry: SceneEntry, recording: str, shown: str) -> BatchScene:
        with _named(f"scene {name}" if entry.name is None else name):
            storage = _merged(self.storage, entry.storage)
            if storage.url_base is not None:
                storage = storage.model_copy(update={"url_base": storage.url_base.replace(NAME, name)})
            return BatchScene(
                name=name,
                scene=recording,
                out=(entry.out or self.out or "").replace(NAME, name),
                layout=entry.layout or self.layout,
                opening=_opened(self.opening, entry.opening),
                recipe=_merged(self.recipe, entry.recipe),
                storage=storage,
                task=_task(self.task, entry.task),
                overwrite=self.overwrite,
            )


Options = TypeVar("Options", Recipe, StorageOptions)


def _merged(common: Options, own: dict[str, Any]) -> Options:
    """Return options with some replaced; the same object where there are none, which thousands of scenes share."""
    if not own:
        return common
    given = {name: getattr(common, name) for name in common.model_fields_set}
    return type(common)(**(given | own))


def _opened(common: OpenOptions, own: dict[str, Any]) -> Any:
    """Return options of opening as the model of a scene takes them."""
    if not own:
        return common
    given = {one.name: getattr(common, one.name) for one in fields(common)}
    return {name: value for name, value in given.items() if value != getattr(OpenOptions, name)} | own


def _task(common: TaskRecipe | None, own: dict[str, Any]) -> TaskRecipe | None:
    if not own:
        return common
    given = {} if common is None else {name: getattr(common, name) for name in common.model_fields_set}
    params = given.get("params", {}) | own.get("params", {})
    return TaskRecipe(**(given | own | {"params": params}))


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Name the place in an error of a request."""
    try:
        yield
    except (RecipeError, SceneError) as error:
        raise RecipeError(f"{place}: {error.message}", fix=error.fix) from None
