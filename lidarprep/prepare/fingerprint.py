"""What results depend on, as digests: of one frame for the frame cache, of a whole run for its manifest.

Sizes and modification times of a frame's source files (`Frame.sources`) stand for their content: a scene of hundreds of
frames is compared in well under a second. A frame whose sources are unknown could be read from anything, and has no
fingerprint; nor has one that is read from a web server that tells neither time nor ETag.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np

from lidarprep.prepare.plan import FrameTask
from lidarprep.recipe import Recipe
from lidarprep.remote import as_path, is_url
from lidarprep.scene import CameraImage, Frame, Pose, Scene, Trajectory
from lidarprep.storage.manifest import Manifest, SettingsRecord, SourceRecord
from lidarprep.storage.options import StorageOptions

# Parts of a recipe that say which frames there are and what a run refuses, and change nothing of a frame's result.
_NOT_OF_A_FRAME = {
    "frames",
    "labeling_sample_rate",
    "only_labelled",
    "skip_bad_frames",
    "accept",
    "checks",
    "strict",
    "max_speed",
}

_IMAGE_FIELDS = tuple(field.name for field in fields_of(CameraImage) if field.name not in ("content", "path"))

# What a refusal lists before it counts the rest.
_LISTED = 6


def _recorded(recipe: Recipe) -> dict[str, Any]:
    """Return every field of a recipe, without the signature that a URL may have."""
    fields: dict[str, Any] = recipe.model_dump(mode="json")
    if recipe.prelabels is not None and is_url(recipe.prelabels):
        fields["prelabels"] = str(as_path(recipe.prelabels))
    return fields


@dataclass(frozen=True)
class RunIdentity:
    """What a run's result depends on.

    Args:
        lidarprep: This version.
        recipe: The recipe, every field.
        storage: The storage options that show in what is stored.
        shared: Digest of what every frame depends on: lidars, frame of reference, options of opening, the path that
            points are moved by.
        prelabels: Digest of the pre-labels' files; "" where there are none.
        world: Digest of what only the scene's settings depend on: the poses of all frames.
        frames: Digest of each frame, without its sources, by its id.
        sources: The source files of each frame, by its id; empty for one whose sources, or their versions, are unknown.
    """

    lidarprep: str
    recipe: Mapping[str, Any]
    storage: Mapping[str, Any]
    shared: str
    world: str
    frames: Mapping[str, str]
    sources: Mapping[str, Sequence[SourceRecord]]
    prelabels: str = ""

    @classmethod
    def of(
        cls,
        scene: Scene,
        recipe: Recipe,
        storage: StorageOptions,
        tasks: Sequence[FrameTask],
        prelabels: str = "",
    ) -> RunIdentity:
        """Return the identity of a run of these tasks."""
        # The poses around a frame move its points where they are deskewed, or put together of several lidars; where
        # the recording has no denser ones, these are other frames' poses.
        path = scene.device_path() if recipe.deskew or len(scene.lidars) > 1 else None
        return cls(
            lidarprep=version("lidarprep"),
            recipe=_recorded(recipe),
            storage=storage.shown(),
            shared=_digest(
                [scene.layout, scene.points_frame, scene.lidars, scene.motion_compensated, scene.opened_with, path]
            ),
            world=_digest([(frame.id, frame.world_from_ego) for frame in scene]),
            frames={task.frame.id: _digest(_described(task)) for task in tasks},
            sources={
                task.frame.id: source_records(task.frame, scene.source) if _has_versions(task.frame) else ()
                for task in tasks
            },
            prelabels=prelabels,
        )

    @cached_property
    def fingerprint(self) -> str | None:
        """Digest of all of it; None where the sources of a frame are unknown."""
        if not all(self.sources.values()):
            return None
        sources = [[record.model_dump() for record in records] for records in self.sources.values()]
        parts = [self.recipe, self.storage, self.shared, self.world, list(self.frames.items()), sources]
        return _digest([self.lidarprep, *parts, *([self.prelabels] if self.prelabels else [])])

    def is_of(self, manifest: Manifest) -> bool:
        """Tell whether a manifest is of the same recording and recipe, as far as that is known."""
        return self.fingerprint is not None and self.fingerprint == manifest.fingerprint

    def of_frame(self, frame_id: str, settings: SettingsRecord) -> str | None:
        """Return a frame's fingerprint, given the settings of the scene; None where its sources are unknown."""
        if not self.sources[frame_id]:
            return None
        recipe = {name: value for name, value in self.recipe.items() if name not in _NOT_OF_A_FRAME}
        run = [self.lidarprep, recipe, self.storage, self.shared, settings.offset, settings.intensity_scale]
        run += [settings.device_height, *([self.prelabels] if self.prelabels else [])]
        return _digest([run, self.frames[frame_id], [record.model_dump() for record in self.sources[frame_id]]])

    def differences_from(self, manifest: Manifest) -> list[str]:
        """Return what differs from an earlier run, a phrase each; file by file where the recording changed."""
        if manifest.settings is None:
            return ["it was made by lidarprep 0.1"]
        found = []
        if manifest.lidarprep != self.lidarprep:
            found.append(f"it was made by lidarprep {manifest.lidarprep}")
        found += _value_differences(manifest.recipe, self.recipe)
        found += _value_differences(manifest.storage or {}, self.storage)
        before = {result.record.id: result.record.sources for result in manifest.results()}
        if before.keys() != self.sources.keys():
            found.append(f"its {len(before)} frames are others than the {len(self.sources)} of this run")
        elif changed := _changed_files(before, self.sources):
            listed = ", ".join(changed[:_LISTED]) + (f", … ({len(changed)} in all)" if len(changed) > _LISTED else "")
            found.append(f"files of the recording have changed: {listed}")
        if self.prelabels and not found:
            return ["pre-labels, poses, calibration or times of the recording, or how it was opened, were others"]
        return found or ["poses, calibration or times of the recording, or how it was opened, were others"]


def source_records(frame: Frame, recording: str) -> list[SourceRecord]:
    """Return a frame's source files, named relative to the recording where they lie in it, so that it may be moved."""
    return [
        SourceRecord(
            location=source_location(source.location, recording),
            bytes=source.bytes,
            version=source.version,
        )
        for source in frame.sources
    ]


def _has_versions(frame: Frame) -> bool:
    """Tell whether every file of a frame that was found has a version."""
    return all(source.version or source.bytes is None for source in frame.sources)


def source_location(location: str, recording: str) -> str:
    """Return a path relative to the recording where it lies in it."""
    return location.removeprefix(f"{recording.rstrip(os.sep)}{os.sep}") if location != recording else "."


def _described(task: FrameTask) -> list[Any]:
    frame = task.frame
    images = [[getattr(image, name) for name in _IMAGE_FIELDS] for image in frame.images]
    return [frame.id, frame.index, frame.timestamp, frame.world_from_ego, frame.gps, images, task.image_stems]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, default=_plain, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    match value:
        case Pose():
            return [value.rotation.ravel().tolist(), value.translation.tolist()]
        case Trajectory():
            arrays = (value.timestamps, value.quaternions, value.translations)
            return [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays]
        case np.ndarray() | np.generic():
            return value.tolist()
        case Mapping():
            return dict(value)
    return [type(value).__name__, *(getattr(value, field.name) for field in fields_of(value))]


def _value_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = [name for name in {**now, **before} if before.get(name) != now.get(name)]
    return [f"{name} was {_shown(before.get(name))} and is {_shown(now.get(name))}" for name in names]


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _changed_files(
    before: Mapping[str, Sequence[SourceRecord]], now: Mapping[str, Sequence[SourceRecord]]
) -> list[str]:
    """Return the files that changed, came or went, each once, with what changed."""
    old = {record.location: record for records in before.values() for record in records}
    new = {record.location: record for records in now.values() for record in records}
    changed = []
    for location in old | new:
        if location not in new:
            changed.append(f"{location} (is not used any more)")
        elif location not in old:
            changed.append(f"{location} (is new)")
        elif old[location] != new[location]:
            sizes = (old[location].bytes, new[location].bytes)
            what = "modified" if sizes[0] == sizes[1] else f"{sizes[0]} bytes, now {sizes[1]}"
            changed.append(f"{location} ({what})")
    return changed
