"""Exports of labelling tools whose points are read, and nothing else of them.

| tool               | its points, below a dataset's folder | what tells it                                  |
|--------------------|--------------------------------------|------------------------------------------------|
| Supervisely        | pointcloud/NAME.pcd                  | ann/, related_images/, key_id_map.json, …      |
| CVAT, as KITTI raw | velodyne_points/data/NAME.pcd        | point files of another kind than KITTI's .bin  |
| Datumaro           | point_clouds/SUBSET/NAME.pcd         | annotations/                                   |
| SUSTechPOINTS      | lidar/NAME.pcd                       | calib/ or label/                               |

The path is such a folder, or the one above it. The points are opened as a plain folder: poses may be given by
`--poses`. A finding names what lies beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from lidarprep.datasets.filenames import folders_in, path_below, visible
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.selection import listed, select_part
from lidarprep.datasets.unread import not_read
from lidarprep.pointfiles import is_point_file
from lidarprep.remote import AnyPath
from lidarprep.scene import Scene


@dataclass(frozen=True)
class Tool:
    """A labelling tool.

    Args:
        name: Its name, and that of the format where it has several.
        points: The folder of the points below that of a dataset; its last part may be *.
        marks: Names of which one lies in that folder; with ../ in the one above. Empty: the points alone tell.
        never: Names of which none lies there.
    """

    name: str
    points: str
    marks: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


_OF_TOOLKIT = ("poses", "cameras", "radar_points")

TOOLS = (
    Tool(
        "Supervisely",
        "pointcloud",
        ("ann", "related_images", "key_id_map.json", "frame_pointcloud_map.json", "../key_id_map.json", "../meta.json"),
        never=_OF_TOOLKIT,
    ),
    Tool("CVAT's KITTI raw", "velodyne_points/data"),
    Tool("Datumaro", "point_clouds/*", ("annotations",)),
    Tool("SUSTechPOINTS", "lidar", ("calib", "label"), never=_OF_TOOLKIT),
)

LOOKS_LIKE = (
    "an export of a labelling tool, its points only: Supervisely's pointcloud/, CVAT's velodyne_points/data/*.pcd, "
    "Datumaro's point_clouds/, SUSTechPOINTS' lidar/"
)


# How many folders `detect` looks into.
SEARCHED = 100


def detect(path: AnyPath) -> str | None:
    """Say why this is an export of a labelling tool; None if it is not."""
    found = next(_exports(path, SEARCHED), None)
    return None if found is None else f"it is laid out as an export of {found[0].name}"


def open(path: AnyPath, options: OpenOptions) -> Scene:
    """Open the points of an export.

    Raises:
        SceneError: There are several datasets and none is named; or what a plain folder is refused for.
    """
    from lidarprep.datasets import folder  # here, since every path is looked at by `detect`

    found = {path_below(points, path): (tool, top, points) for tool, top, points in _exports(path, None)}
    names = {name: points for name, (_, _, points) in found.items()}
    chosen = select_part(path, "dataset", names, options.scene, LOOKS_LIKE)
    tool, top, _ = found[path_below(chosen, path)]
    scene = folder.open(chosen, replace(options, scene=None))
    others = [entry.name + ("/" if entry.is_dir() else "") for entry in visible(top) if entry not in chosen.parents]
    others = [name for name in others if name.rstrip("/") != chosen.name]
    finding = not_read(
        top,
        f"an export of {tool.name}, of which only the points in {path_below(chosen, path)}/ are read: "
        f"not {listed(others)}",
        "to have images and poses, too, lay it out as a toolkit folder: pointcloud/, poses/, cameras/",
        found=tool.name,
    )
    return replace(scene, layout="labelling-export", findings=(finding, *scene.findings))


def _exports(path: AnyPath, searched: int | None) -> Iterator[tuple[Tool, AnyPath, AnyPath]]:
    """Yield tool, folder and folder of points of each dataset: of the path, or of the folders searched in it."""
    if not path.is_dir():
        return
    for top in islice((path, *folders_in(path)), searched):
        for tool in TOOLS:
            for points in _points_of(tool, top):
                yield tool, top, points


def _points_of(tool: Tool, top: AnyPath) -> list[AnyPath]:
    places = folders_in(top / tool.points[:-2]) if tool.points.endswith("/*") else [top / tool.points]
    if not any(place.is_dir() for place in places) or any((top / name).exists() for name in tool.never):
        return []
    if tool.marks and not any((top / name).exists() for name in tool.marks):
        return []
    return [place for place in places if place.is_dir() and _holds_clouds(place)]


def _holds_clouds(place: AnyPath) -> bool:
    """Return whether there are point files and none of KITTI's .bin."""
    names = [entry.name.lower() for entry in visible(place)]
    return any(map(is_point_file, names)) and not any(name.endswith(".bin") for name in names)
