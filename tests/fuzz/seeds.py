"""Valid files that fuzzing starts from, and the findings that are kept.

    python -m tests.fuzz.seeds TARGET FOLDER

writes them to a folder, for a fuzzer that runs in a process without compiled kernels and so cannot make them.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np

from lidarprep.attachments import frame_json
from tests.attachments.frames import encode_scene, world_frame
from tests.attachments.mutations import SEEDS as LIDAR_FRAMES
from tests.attachments.mutations import mutated
from tests.attachments.sensor_fusion_scene.scenes import T0, camera_image, cloud, frame, radar
from tests.attachments.valid import SMALL_FRAME
from tests.pointfiles.surveys_and_tables import seeds as survey_or_table_files
from tests.pointfiles.written_by_others import seeds as point_files

FOUND = Path(__file__).parent / "found"

# Texts that our writer does not write, but others may.
_OTHER_JSON = [
    b'{"points":[],"device_position":{"x":0,"y":0,"z":0}}',
    b' { "device_position" : {"x":1e0,"y":-0.0E+1,"z":0.5e-3} ,\n"points" : [ {"i":0.5,"z":1,"y":2e2,"x":-3.25} ] } ',
    b'{"extra":{"points":[1,"]}",[[]]]},"points":[{"x":1,"y":2,"z":3,"\\u0078":4,"q":{"r":[null,true]}}],'
    b'"device_position":{"x":0,"y":0,"z":0},"device_heading":{"w":1,"x":0,"y":0,"z":0},"timestamp":9007199254740993}',
    b'{"points":[{"x":0.1000000000000000055511151231257827,"y":3.4028235e38,"z":1e-46,"t":-9223372036854775808,'
    b'"d":4294967295,"is_ground":false}],"device_position":{"x":0,"y":0,"z":0},"images":[]}',
]


# Delimited text that neither pandas nor NumPy writes.
_OTHER_TEXT = [
    b"//X Y Z R G B label\r\n1 2 3 255 0 9 car\r\n\r\n 4.5\t-5e3  nan 1 2 3 tree\r\n",
    b'\xef\xbb\xbf"x [m]";"y";"z";"t [ns]";"is_ground"\n"1";2;;1700000000123456789;true\n-.5;+2.;1.#QNAN;7;False\n',
    b"# x, y, z\n0.00012345678901234567, 1e-300, 123456789012345678901234567890\n1,2,3",
    b"2\n1 2 3 -5 255 0 9\n4 5 6 7 1 2 3\n",
    b"1,2,3,\r4,5,6,\r",
]


def seeds(target: str) -> list[bytes]:
    """Valid files for a target of `targets.TARGETS`."""
    if target == "frame_json":
        plain = world_frame([[1.5, -2.25, 1e-7], [4e9, 5, 6]], intensity=np.array([0.25, 1.0], np.float32))
        return [frame_json.encode(SMALL_FRAME), frame_json.encode(plain, precision=4), *_OTHER_JSON]
    if target == "lidar_frame":
        return [*LIDAR_FRAMES, *mutated(200, seed=1)]
    if target == "sfs":
        return _scenes()
    if target in ("csv", "pts"):
        texts = [data for name, data in point_files().items() if name.endswith((".csv", ".xyz", ".pts"))]
        return [*texts, *_OTHER_TEXT]
    if target in ("las", "laz", "parquet", "feather"):
        return survey_or_table_files(target)
    return [data for name, data in point_files().items() if name.endswith(f".{target}")]


def found(target: str) -> list[bytes]:
    """What fuzzing found once, and is mended."""
    folder = FOUND / target
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []


def _scenes() -> list[bytes]:
    timed = cloud(3, intensity=True, device=True, colour=True, timestamp=T0 + np.arange(3) * 1000)
    everything = frame(timed, radar=radar(2, sizes=np.ones(2), directions=np.eye(3)[:2]), images=(camera_image(),))
    return [
        encode_scene([frame(cloud(2))]),
        encode_scene([frame(cloud(0)), frame(cloud(1, intensity=True), index=1)]),
        encode_scene([everything, frame(cloud(2), index=1)], odometry=True),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for data in [*seeds(arguments.target), *found(arguments.target)]:
        (arguments.folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    main()
