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

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from itertools import chain
from os import PathLike
from os.path import abspath
from typing import Annotated, Any, Self, TypeVar

from pydantic import BeforeValidator, Field

from lidarprep.batch.expand import fits, is_pattern, matches
from lidarprep.batch.names import name_of, name_of_match, require_name
from lidarprep.batch.record import SceneRecord
from lidarprep.batch.scenes import BATCH_SIZE, NAME, Batch, BatchScene, require_template, root_of
from lidarprep.batch.tables import rows_of
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.span_list import ListedSpan, SelectedSpan, read_spans, select
from lidarprep.datasets.split import read_lengths, split
from lidarprep.errors import LidarprepError, RecipeError, SceneError, StorageError
from lidarprep.models import CheckedModel
from lidarprep.recipe import OpeningOptions, Recipe, TaskRecipe
from lidarprep.remote import as_path, is_url
from lidarprep.remote.options import AccessOptions
from lidarprep.scene import Span
from lidarprep.storage.options import StorageOptions
from lidarprep.yaml_files import parse_yaml

SUFFIXES = (".yaml", ".yml", ".json", ".csv", ".parquet")


class SceneEntry(CheckedModel, defer_build=True):
    """A line of the list of scenes: a recording, or a pattern of several, with what it has of its own.

    Args:
        recording: Path, URL, or pattern (`drives/*.mcap`).
        name: Its name, where that is not to be made of its path.
        split: Length of the parts that it is split into: "30s", or a number of frames.
        overlap: What two parts share, in the same unit.
        out: Its destination.
        layout: Its layout.
        opening: Options of opening, by their names.
        recipe: Fields of the recipe.
        storage: Storage options.
        task: Fields of the task; `params` are added to those of the default.
    """

    recording: str = Field(repr=False)
    name: str | None = None
    split: str | int | None = None
    overlap: str | int | None = None
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
        scenes: Recordings, patterns of them, or mappings with their own values. Where there are none, those that
            `select` names.
        split: Length of the parts that recordings are split into: "30s", or a number of frames. Each is a scene.
        overlap: What two parts share, in the same unit.
        select: A list of spans, CSV or Parquet: these parts of the recordings are the scenes, and nothing else.
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

    scenes: Annotated[tuple[SceneEntry, ...], BeforeValidator(_entries)] = ()
    split: str | int | None = None
    overlap: str | int | None = None
    select: str | None = None
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
        try:
            if file.suffix.lower() in (".csv", ".parquet"):
                with _named(str(file)):
                    return cls(scenes=tuple(_entry(row, place) for place, row in rows_of(file)))
            content = file.read_bytes()
        except OSError as error:
            raise RecipeError(f"{file}: the batch cannot be read: {error.strerror or error}") from error
        values = parse_yaml(content, file, "the batch")
        with _named(str(file)):
            return cls(**values)

    def batch(self) -> Batch:
        """Return the scenes: patterns are looked up, names and destinations made.

        Raises:
            RecipeError: A pattern matches nothing; names or destinations clash; a value makes no sense.
            StorageError: A store cannot be listed.
        """
        if self.out is None:
            raise RecipeError("the batch has no destination", fix=f"Give it: out: s3://bucket/{NAME}, or --out.")
        listed = None if self.select is None else read_spans(self.select, self.storage)
        found = self._found(listed)
        names = [_name(entry, shown) for entry, _, shown in found]
        _refuse_clashes(names, found)
        selected: dict[str, list[SelectedSpan]] | None = None
        if listed is not None and self.select is not None:
            selected = {name: [] for name in names}
            shown = {name: shown for name, (*_, shown) in zip(names, found, strict=True)}
            for one in select(listed, shown, self.select):
                selected[one.recording].append(one)
        scenes: list[BatchScene] = []
        from_common = 0
        for name, (entry, recording, _) in zip(names, found, strict=True):
            parts = self._parts(name, entry, recording, None if selected is None else selected[name])
            if entry.out is None:
                from_common += len(parts)
            else:
                require_template(entry.out, len(parts))
            scenes += parts
        require_template(self.out, from_common)
        if self.storage.url_base is not None:
            require_template(self.storage.url_base, len(scenes))
        return Batch(tuple(scenes), root_of(self.out), self.storage, self.batch_size)

    def batch_of(self, records: Iterable[SceneRecord]) -> Batch:
        """Return those of a ledger's scenes that the file describes; no recording is looked for.

        A scene is that of an entry with its name, or whose parts have names that begin with it; or else of the entry
        without a name that lists its recording.

        Raises:
            RecipeError: There is no destination; or a value makes no sense.
        """
        if self.out is None:
            raise RecipeError("the batch has no destination", fix=f"Give it: out: s3://bucket/{NAME}, or --out.")
        everything = [SceneEntry(recording="")] if self.select is not None and not self.scenes else []
        scenes = [
            self._scene(record.name, entry, record.recording)
            for record in records
            if (entry := next(iter(everything), None) or self._entry_of(record)) is not None
        ]
        return Batch(tuple(scenes), root_of(self.out), self.storage, self.batch_size)

    def _entry_of(self, record: SceneRecord) -> SceneEntry | None:
        named = [entry for entry in self.scenes if entry.name is not None]
        return next(
            chain(
                (entry for entry in named if entry.name == record.name),
                (entry for entry in named if record.name.startswith(f"{entry.name}-") and self._lists(entry, record)),
                (entry for entry in self.scenes if entry.name is None and self._lists(entry, record)),
            ),
            None,
        )

    def _lists(self, entry: SceneEntry, record: SceneRecord) -> bool:
        if is_pattern(entry.recording):
            return fits(entry.recording, record.recording, self.storage)
        return str(as_path(entry.recording, self.storage)) == str(as_path(record.recording, self.storage))

    def _found(self, listed: Sequence[ListedSpan] | None) -> list[tuple[SceneEntry, str, str]]:
        """Return the recordings with their entries: as they are opened, and as they are shown.

        Raises:
            RecipeError: There are none; or they are to be divided in several ways.
        """
        split = self.split is not None or any(one.split is not None for one in self.scenes)
        overlap = self.overlap is not None or any(one.overlap is not None for one in self.scenes)
        has_span = self.opening.span is not None or any("span" in one.opening for one in self.scenes)
        if listed is not None and (split or has_span):
            other = "split" if split else "span"
            raise RecipeError(f"recordings are divided by select and by {other}", fix="Give one of them.")
        if overlap and not split:
            raise RecipeError("overlap is given without split")
        if listed is None or self.scenes:
            if not self.scenes:
                raise RecipeError("the batch has no scenes", fix="List recordings, or patterns of them.")
            return [(entry, *one) for entry in self.scenes for one in self._recordings(entry)]
        entries = [SceneEntry(recording=one) for one in dict.fromkeys(row.recording for row in listed)]
        found = [(entry, *one) for entry in entries for one in self._recordings(entry)]
        return list({shown: (entry, recording, shown) for entry, recording, shown in found}.values())

    def _parts(
        self, name: str, entry: SceneEntry, recording: str, selected: Sequence[SelectedSpan] | None
    ) -> list[BatchScene]:
        """Return the scenes that a recording becomes: itself, or its parts.

        One that cannot be opened is a scene that is not prepared, but tells why: it stops no other.
        """
        if selected is not None:
            return [self._scene(one.name, entry, recording, one.span) for one in selected]
        whole = self._scene(name, entry, recording)
        length = self.split if entry.split is None else entry.split
        if length is None:
            return [whole]
        overlap = (self.overlap if entry.overlap is None else entry.overlap) or 0
        with _named(f"scene {name}"):
            read_lengths(length, overlap)
        from lidarprep.batch.opening import opened  # brings all that prepares: `status` does without

        try:
            parts = split(opened(whole), length, overlap, name=name)
        except StorageError:
            raise  # a scene of the whole recording would stay in the ledger
        except LidarprepError:
            return [whole.model_copy(update={"split": str(length), "overlap": str(overlap)})]
        return [self._scene(part.name, entry, recording, part.span) for part in parts]

    def _recordings(self, entry: SceneEntry) -> list[tuple[str, str]]:
        """Return the recordings of an entry: as they are opened, and as they are shown."""
        if not is_pattern(entry.recording):
            return [(entry.recording, str(as_path(entry.recording, self.storage)))]
        found = [str(path) for path in matches(entry.recording, self.storage)]
        if entry.name is not None and len(found) > 1:
            raise RecipeError(f"{entry.recording} matches {len(found)} recordings; they cannot all be {entry.name}")
        return [(path, path) for path in found]

    def _scene(self, name: str, entry: SceneEntry, recording: str, span: Span | None = None) -> BatchScene:
        with _named(f"scene {name}" if entry.name is None else name):
            storage = _merged(self.storage, entry.storage)
            if storage.url_base is not None:
                storage = storage.model_copy(update={"url_base": storage.url_base.replace(NAME, name)})
            return BatchScene(
                name=name,
                scene=recording,
                out=(entry.out or self.out or "").replace(NAME, name),
                layout=entry.layout or self.layout,
                opening=_opened(self.opening, entry.opening if span is None else entry.opening | {"span": str(span)}),
                recipe=_merged(self.recipe, entry.recipe),
                storage=storage,
                task=_task(self.task, entry.task),
                overwrite=self.overwrite,
            )


def _name(entry: SceneEntry, shown: str) -> str:
    """Return the name of a recording: that of its entry, or made of what lists it."""
    if entry.name is not None:
        return require_name(entry.name)
    return name_of_match(entry.recording, shown) if is_pattern(entry.recording) else name_of(shown)


def _refuse_clashes(names: Sequence[str], found: Sequence[tuple[SceneEntry, str, str]]) -> None:
    """Refuse names that two recordings have, and recordings that are listed twice without names of their own.

    Raises:
        RecipeError: There are such.
    """
    of_name: dict[str, str] = {}
    unnamed: set[str] = set()
    for name, (entry, _, shown) in zip(names, found, strict=True):
        place = shown.rstrip("/") if is_url(shown) else abspath(shown)  # noqa: PTH100  # links stay
        if entry.name is None and place in unnamed:
            raise RecipeError(f"{shown} is listed twice", fix="List each recording once, or give each scene a name.")
        if (other := of_name.get(name.lower())) is not None:
            raise RecipeError(
                f"two scenes are named {name}: {other} and {shown}",
                fix="Give each scene a name in a batch file; or use a pattern, in quotes, with wildcards from the part "
                "on that tells them apart: drives/*/scene.mcap names them by both.",
            )
        of_name[name.lower()] = shown
        if entry.name is None:
            unnamed.add(place)


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
