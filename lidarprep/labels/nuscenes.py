"""nuScenes: the tables of one scene in v1.0-labels/, as the development kit loads them.

Translations are of the box's centre in the global frame, which is the recording's world; sizes are (width, length,
height); rotations are quaternions (w, x, y, z) of a box that looks along its own +x. Lidar and ego are one frame here:
the recording's points are in ego. The file names of sample_data are those that the layout has: the points themselves
are not written. With labels of points, lidarseg/ holds a class for each point; the kit knows the colours of nuScenes'
own classes only, and takes others by its argument `colormap`.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from lidarprep.errors import FormatError, RecipeError
from lidarprep.labels.points import class_names, lidarseg_bytes
from lidarprep.scene import Cuboids, LabelledFrame, Labels, Pose
from lidarprep.scene.labels import UNKNOWN, euler_angles
from lidarprep.scene.pose import matrices

VERSION = "v1.0-labels"
CHANNEL = "LIDAR_TOP"
MAP = "maps/blank.png"

# The class of points without a label, as the kit's own colours name it.
NO_LABEL = "noise"

_Record = dict[str, Any]
_VISIBILITIES = ("v0-40", "v40-60", "v60-80", "v80-100")


def write_nuscenes(labels: Labels, names: Sequence[str], scene_name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the tables, and lidarseg files.

    Raises:
        RecipeError: The labels are in ego: nuScenes has them in the world.
        EncodingError: There are more classes of points than 255.
    """
    if labels.frame == "ego":
        raise RecipeError("nuScenes has labels in the world, not in ego", fix="Leave --frame out.")
    tables = _Tables(scene_name)
    tables.add_frames(labels, names)
    if labels.cuboids is not None:
        tables.add_cuboids(labels.cuboids)
    lidarseg: list[_Record] = []
    classes: list[str] = []
    if labels.points is not None:
        classes = class_names(labels.points)
        for number, name in enumerate([NO_LABEL, *classes[1:]]):
            tables.category(name)["index"] = number
        for row, values in enumerate(labels.points.values):
            if values is None:
                continue
            data = tables.records["sample_data"][row]["token"]
            filename = f"lidarseg/{VERSION}/{names[row]}_lidarseg.bin"
            yield filename, lidarseg_bytes(labels.points, classes, values)
            lidarseg.append({"token": data, "sample_data_token": data, "filename": filename})
        others = [record for record in tables.records["category"] if "index" not in record]
        for number, record in enumerate(others, len(classes)):
            record["index"] = number
        tables.records["lidarseg"] = lidarseg
    yield MAP, _blank_image()
    for table, records in tables.records.items():
        yield f"{VERSION}/{table}.json", orjson.dumps(records, option=orjson.OPT_INDENT_2) + b"\n"


def _blank_image() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("L", (1, 1)).save(out, "PNG")
    return out.getvalue()


def token_of(*parts: object) -> str:
    """Return a token, 32 hex digits, the same for the same parts."""
    return hashlib.md5("\0".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


class _Tables:
    """The records of all tables."""

    def __init__(self, scene_name: str) -> None:
        self.scene = scene_name
        names = ("category", "attribute", "visibility", "instance", "sensor", "calibrated_sensor", "ego_pose", "log")
        self.records: dict[str, list[_Record]] = {
            name: [] for name in (*names, "scene", "sample", "sample_data", "sample_annotation", "map")
        }
        self.records["visibility"] = [
            {"token": str(number), "level": level, "description": f"visibility is {level[1:]} %"}
            for number, level in enumerate(_VISIBILITIES, 1)
        ]
        self.records["visibility"].append({"token": "", "level": "", "description": "visibility is not known"})
        self.categories: dict[str, _Record] = {}
        self.attributes: dict[str, str] = {}

    def add_frames(self, labels: Labels, names: Sequence[str]) -> None:
        scene, sensor, calibrated = (token_of(self.scene, what) for what in ("scene", "sensor", "calibrated"))
        log = token_of(self.scene, "log")
        offset = np.array(labels.world_offset) if labels.frame == "attachment" else np.zeros(3)
        samples = [token_of(self.scene, "sample", frame.id) for frame in labels.frames]
        # The layout's own frames are named by the tokens of their data.
        data = [
            frame.id if re.fullmatch("[0-9a-f]{32}", frame.id) else token_of(self.scene, "data", frame.id)
            for frame in labels.frames
        ]
        for row, (frame, name) in enumerate(zip(labels.frames, names, strict=True)):
            pose = (frame.world_from_ego or Pose.identity()).translated(-offset)
            time_us = frame.index * 100_000 if frame.timestamp is None else frame.timestamp // 1000
            links = {"prev": "" if row == 0 else row - 1, "next": "" if row == len(samples) - 1 else row + 1}
            placed = {"rotation": pose.quaternion.tolist(), "translation": pose.translation.tolist()}
            ego = token_of(self.scene, "ego", frame.id)
            self.records["ego_pose"].append({"token": ego, "timestamp": time_us, **placed})
            self.records["sample"].append(
                {
                    "token": samples[row],
                    "timestamp": time_us,
                    "scene_token": scene,
                    **{key: link if link == "" else samples[int(link)] for key, link in links.items()},
                }
            )
            self.records["sample_data"].append(
                {
                    "token": data[row],
                    "sample_token": samples[row],
                    "ego_pose_token": ego,
                    "calibrated_sensor_token": calibrated,
                    "timestamp": time_us,
                    "fileformat": "pcd",
                    "is_key_frame": True,
                    "height": 0,
                    "width": 0,
                    "filename": f"samples/{CHANNEL}/{name}.pcd.bin",
                    "lidarprep_frame": frame.id,
                    **{key: link if link == "" else data[int(link)] for key, link in links.items()},
                }
            )
        self.records["sensor"].append({"token": sensor, "channel": CHANNEL, "modality": "lidar"})
        on_ego = {"translation": [0.0, 0.0, 0.0], "rotation": [1.0, 0.0, 0.0, 0.0], "camera_intrinsic": []}
        self.records["calibrated_sensor"].append({"token": calibrated, "sensor_token": sensor, **on_ego})
        first = labels.frames[0].timestamp if labels.frames else None
        date = "" if first is None else datetime.fromtimestamp(first / 1e9, UTC).date().isoformat()
        self.records["log"].append(
            {"token": log, "logfile": self.scene, "vehicle": "", "date_captured": date, "location": ""}
        )
        # The kit asks for a map of each log, and that its image is there; this one shows nothing.
        self.records["map"].append(
            {"token": token_of(log, "map"), "log_tokens": [log], "category": "semantic_prior", "filename": MAP}
        )
        self.records["scene"].append(
            {
                "token": scene,
                "log_token": log,
                "nbr_samples": len(samples),
                "first_sample_token": samples[0] if samples else "",
                "last_sample_token": samples[-1] if samples else "",
                "name": self.scene,
                "description": "",
            }
        )

    def add_cuboids(self, cuboids: Cuboids) -> None:
        quaternions = cuboids.quaternion
        by_track: dict[str, list[int]] = {}
        for row in np.argsort(cuboids.frame, kind="stable").tolist():
            by_track.setdefault(cuboids.track[row], []).append(row)
        for track, rows in by_track.items():
            tokens = [token_of(self.scene, "annotation", track, cuboids.frame[row], row) for row in rows]
            instance = token_of(self.scene, "instance", track)
            self.records["instance"].append(
                {
                    "token": instance,
                    "category_token": self.category(cuboids.label[rows[0]])["token"],
                    "nbr_annotations": len(rows),
                    "first_annotation_token": tokens[0],
                    "last_annotation_token": tokens[-1],
                    "lidarprep_track": track,
                }
            )
            for at, row in enumerate(rows):
                length, width, height = cuboids.size[row].tolist()
                self.records["sample_annotation"].append(
                    {
                        "token": tokens[at],
                        "sample_token": self.records["sample"][int(cuboids.frame[row])]["token"],
                        "instance_token": instance,
                        "visibility_token": "",
                        "attribute_tokens": [
                            self.attribute(f"{name}.{value}") for name, value in cuboids.attributes[row].items()
                        ],
                        "translation": cuboids.position[row].tolist(),
                        "size": [width, length, height],
                        "rotation": quaternions[row].tolist(),
                        "prev": tokens[at - 1] if at else "",
                        "next": tokens[at + 1] if at + 1 < len(tokens) else "",
                        "num_lidar_pts": max(0, int(cuboids.points[row])),
                        "num_radar_pts": 0,
                    }
                )

    def category(self, name: str) -> _Record:
        if name not in self.categories:
            self.categories[name] = {"token": token_of("category", name), "name": name, "description": ""}
            self.records["category"].append(self.categories[name])
        return self.categories[name]

    def attribute(self, name: str) -> str:
        if name not in self.attributes:
            self.attributes[name] = token_of("attribute", name)
            self.records["attribute"].append({"token": self.attributes[name], "name": name, "description": ""})
        return self.attributes[name]


def read_nuscenes(tables: Mapping[str, bytes], name: str) -> Labels:
    """Read the annotations of all scenes, in the world.

    Frames are named by the tokens of the lidar's keyframes, as the layout nuscenes names them.

    Args:
        tables: sample, sample_data, sample_annotation, instance, category and attribute, by their names.
        name: Names the folder in errors.

    Raises:
        FormatError: A table is not JSON, or a record lacks a key.
    """

    def records(table: str) -> list[_Record]:
        try:
            found = orjson.loads(tables[table])
        except KeyError:
            raise FormatError(name, found=f"no {table}.json", expected="the tables of nuScenes") from None
        except orjson.JSONDecodeError as error:
            raise FormatError(f"{name}/{table}.json", found=f"no JSON ({error})"[:200]) from None
        if not isinstance(found, list):
            raise FormatError(f"{name}/{table}.json", found="no list of records")
        return found

    try:
        categories = {one["token"]: one["name"] for one in records("category")}
        attributes = {one["token"]: one["name"] for one in records("attribute")}
        instances = {one["token"]: one for one in records("instance")}
        samples = sorted(records("sample"), key=lambda one: one["timestamp"])
        frames, row_of = [], {}
        data: dict[str, _Record] = {}
        for one in records("sample_data"):
            if one["is_key_frame"] and (CHANNEL in one["filename"] or one["fileformat"] in ("pcd", "bin")):
                better = CHANNEL in one["filename"] or one["sample_token"] not in data
                if better:
                    data[one["sample_token"]] = one
        for row, sample in enumerate(samples):
            keyframe = data.get(sample["token"], {})
            frame_id = keyframe.get("lidarprep_frame") or keyframe.get("token") or sample["token"]
            time_us = int((keyframe or sample)["timestamp"])
            frames.append(LabelledFrame(frame_id, UNKNOWN, time_us * 1000))
            row_of[sample["token"]] = row
        rows = []
        for one in records("sample_annotation"):
            instance = instances[one["instance_token"]]
            width, length, height = one["size"]
            yaw, pitch, roll = euler_angles(matrices(np.array([one["rotation"]], dtype=np.float64)))
            named = [attributes[token] for token in one.get("attribute_tokens", [])]
            rows.append(
                {
                    "track": instance.get("lidarprep_track", instance["token"]),
                    "label": categories[instance["category_token"]],
                    "frame": row_of[one["sample_token"]],
                    "position": one["translation"],
                    "size": (length, width, height),
                    "yaw": float(yaw[0]),
                    "pitch": float(pitch[0]),
                    "roll": float(roll[0]),
                    "points": int(one.get("num_lidar_pts", UNKNOWN)),
                    "attributes": {key: value for key, _, value in (word.rpartition(".") for word in named) if key},
                }
            )
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(name, found=f"a record that is not nuScenes' ({type(error).__name__}: {error})") from None
    return Labels(tuple(frames), cuboids=Cuboids.of_rows(rows))
