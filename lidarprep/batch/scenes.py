"""The scenes of a batch, each with its own destination: `BatchScene`, and `Batch`, which holds them.

A destination is made of a template: `s3://bucket/fleet/{name}`. The ledger lies in the folder above the first brace.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from lidarprep.batch.names import require_name
from lidarprep.errors import RecipeError
from lidarprep.recipe import RunRecipe
from lidarprep.remote import as_path
from lidarprep.storage.options import StorageOptions

NAME = "{name}"
LEDGER_KEY = "batch.jsonl"

# Tasks in a batch at Scale.
BATCH_SIZE = 200


class BatchScene(RunRecipe, defer_build=True):
    """One scene of a batch: what `run` takes, with a name.

    Args:
        name: Its name, which no other scene of the batch has; safe as part of keys and ids.
        scene: Path or URL of its recording. A URL may hold a signature: `recording` is without it.
        task: The task that is submitted, if the batch is.
        split: Length of the parts that its recording was to be split into, and could not be: it is not prepared whole.
        overlap: What such parts were to share.
    """

    name: str
    scene: str = Field(repr=False)
    split: str | None = None
    overlap: str | None = None

    @property
    def recording(self) -> str:
        """The path or URL of its recording, without what is secret in a URL."""
        return str(as_path(self.scene, self.storage))


@dataclass(frozen=True)
class Batch:
    """Scenes that are prepared together.

    Args:
        scenes: The scenes, in the order of the file or of the command line; names and destinations are unique.
        root: The folder, or s3://bucket/prefix, that the ledger lies in.
        storage: How it is reached.
        batch_size: Tasks in a batch at Scale; 0 for no batches.

    Raises:
        RecipeError: Two scenes have one name or one destination; or a name is not safe.
    """

    scenes: tuple[BatchScene, ...]
    root: str
    storage: StorageOptions
    batch_size: int = BATCH_SIZE

    def __post_init__(self) -> None:
        for scene in self.scenes:
            require_name(scene.name)
        _refuse_twice("named", [(scene.name.lower(), scene.name) for scene in self.scenes])
        _refuse_twice("stored at", [(scene.out.rstrip("/"), scene.out) for scene in self.scenes])

    @property
    def ledger(self) -> str:
        """Where the ledger lies."""
        return f"{self.root.rstrip('/')}/{LEDGER_KEY}"

    def to_file(self) -> dict[str, Any]:
        """Return the batch as a batch file has it, with each scene by its name; without what is secret in URLs."""
        storage = self.storage.model_dump(mode="json")
        return {
            "out": f"{self.root}/{NAME}",
            "batch_size": self.batch_size,
            "storage": self.storage.model_dump(mode="json", exclude_defaults=True),
            "scenes": [_entry_of(scene, storage) for scene in self.scenes],
        }

    def __len__(self) -> int:
        return len(self.scenes)

    def __iter__(self) -> Iterator[BatchScene]:
        return iter(self.scenes)


def _entry_of(scene: BatchScene, common: dict[str, Any]) -> dict[str, Any]:
    """Return a scene as a batch file has it, with storage options where they differ from the common ones."""
    left_out = {"scene", "overwrite", "workers", "storage"}
    entry: dict[str, Any] = {"recording": scene.recording}
    entry |= scene.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
    if scene.recipe.prelabels is not None:
        entry["recipe"]["prelabels"] = str(as_path(scene.recipe.prelabels, scene.storage))
    own = scene.storage.model_dump(mode="json")
    if storage := {name: value for name, value in own.items() if value != common[name]}:
        entry["storage"] = storage
    return entry


def require_template(template: str, scenes: int) -> str:
    """Check a template of destinations.

    Raises:
        RecipeError: It has another field than {name}, or none for several scenes; or names buckets by it.
    """
    others = [found for found in re.findall(r"{[^{}]*}|[{}]", template) if found != NAME]
    if others:
        raise RecipeError(f"{template!r} has {others[0]}; a destination's only field is {NAME}")
    if NAME not in template and scenes > 1:
        raise RecipeError(
            f"{scenes} scenes would all be stored at {template}", fix=f"Write where each is: {template}/{NAME}"
        )
    if re.match(r"[a-z0-9+.-]+://[^/]*{", template):
        raise RecipeError(f"{template!r} has {NAME} in the bucket's name", fix=f"Write it s3://bucket/{NAME}.")
    return template


def root_of(template: str) -> str:
    """Return the folder above the first field of a template, where the ledger lies; the same where there is none."""
    before, brace, _ = template.partition("{")
    if not brace:
        return template
    folder = before.rpartition("/")[0]
    return folder or ("/" if before.startswith("/") else ".")


def _refuse_twice(what: str, keys: Sequence[tuple[str, str]]) -> None:
    seen: set[str] = set()
    for key, shown in keys:
        if key in seen:
            raise RecipeError(f"two scenes are {what} {shown}", fix="Give each a name, or a destination, of its own.")
        seen.add(key)
