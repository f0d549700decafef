"""The lidars of a bag, and which clouds make a frame: one of the first lidar, with those of the others nearest in time.

A cloud belongs to one frame at most. Each is placed where its lidar sits on the device at the message's time;
several_lidars says what becomes of the way that the device made between the clouds of one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.association import paired
from lidarprep.datasets.multi_lidar import CloudTransform as WayToFrame
from lidarprep.datasets.multi_lidar import cloud_transforms as ways_to_frames
from lidarprep.datasets.multi_lidar import motion_note
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.ros.clouds import CloudSource
from lidarprep.datasets.ros.headers import Series, message_source, place_of
from lidarprep.datasets.ros.point_cloud2 import has_point_times
from lidarprep.datasets.ros.transforms import TransformTree
from lidarprep.datasets.selection import listed
from lidarprep.scene import Lidar, Pose, Trajectory

Placed = tuple[tuple[Lidar, ...], list[tuple[CloudSource, ...]], list[str]]


def placed_clouds(
    path: Path,
    found: Sequence[Series],
    tree: TransformTree,
    ego: str,
    device: Trajectory | None,
    options: OpenOptions,
) -> Placed:
    """The lidars of a bag and the clouds of each frame.

    Args:
        path: The bag.
        found: The lidars' clouds by their headers; the first lidar's make the frames.
        tree: The transforms.
        ego: The device's frame.
        device: world_from_ego over time; None where it is not known.
        options: For the tolerance, the widest gap, and points that are in the world already.

    Returns:
        The lidars; for each cloud of the first the clouds of its frame, none where it cannot be placed; and notes.

    Raises:
        SceneError: No transform leads from a lidar to the device.
        FormatError: A transform is no transform.
    """
    lidars = []
    of_frame: list[list[CloudSource]] = [[] for _ in range(len(found[0]))]
    notes = []
    for index, series in enumerate(found):
        extrinsics = {} if options.points_frame == "world" else _extrinsics(tree, series, ego)
        first = extrinsics.get(series.frame_ids[0])
        lidar = Lidar(series.name, index, first if isinstance(first, Pose) else None)
        lidars.append(lidar)
        rows = paired(found[0].timestamps, series.timestamps, options.image_tolerance_ns)
        if index == 0:
            rows = np.arange(len(series))
        matched = np.flatnonzero(rows >= 0)
        stamps, times = series.timestamps[rows[matched]].tolist(), found[0].timestamps[matched].tolist()
        ways = ways_to_frames(stamps, times, device, options)
        made: list[WayToFrame] = []
        unplaced = 0
        for frame, row, way in zip(matched.tolist(), rows[matched].tolist(), ways, strict=True):
            if index and not of_frame[frame]:
                continue
            stamp = way.stamp
            pose = extrinsics.get(series.frame_ids[row])
            if isinstance(pose, Trajectory):
                pose = pose.at(stamp, max_gap_ns=options.max_pose_gap_ns)
                if pose is None:
                    unplaced += 1
                    continue
            placed = replace(lidar, ego_from_lidar=pose)
            of_frame[frame].append(CloudSource(message_source(path, series, row), stamp, placed, way))
            made.append(way)
        notes += _cloud_notes(series, rows, unplaced, len(set(series.frame_ids)), options)
        if options.points_frame != "world":
            messages = series.messages
            have_times = has_point_times(path, place_of(messages, 0), series.fronts[0], messages.wire)
            notes += motion_note(f"clouds of {series.name}", made, have_times)
    return tuple(lidars), [tuple(sources) for sources in of_frame], notes


def _extrinsics(tree: TransformTree, series: Series, ego: str) -> dict[str, Pose | Trajectory]:
    """ego_from_lidar by the frames that the messages name; none for clouds in ego."""
    frames = [name for name in dict.fromkeys(series.frame_ids) if name and name != ego]
    return {name: tree.between(ego, name) for name in frames}


def _cloud_notes(
    series: Series, rows: NDArray[np.int64], unplaced: int, frames: int, options: OpenOptions
) -> list[str]:
    notes = []
    missing = int((rows < 0).sum())
    if missing:
        notes.append(
            f"{series.name}: {missing} of {len(rows)} frames have no cloud of it within {options.image_tolerance:g} s "
            "(--image-tolerance)"
        )
    if unplaced:
        notes.append(f"{series.name}: {unplaced} clouds are left out: no transform is known for their times")
    if frames > 1:
        notes.append(
            f"{series.name}: its clouds are in {frames} frames: {listed(list(dict.fromkeys(series.frame_ids)))}"
        )
    return notes
