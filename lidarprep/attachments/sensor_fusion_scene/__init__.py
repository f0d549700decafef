"""Sensor Fusion Scene (.sfs), version "1.0": all frames, poses, pictures and radar returns of a recording in one file.

`container` and `container_reader` know the file: a JSON header and binary blocks.

`writer` makes a scene of frames, one frame in memory at a time: `frame_writer` and `point_blocks` write their arrays,
`sensors` describes them in the header. What it keeps of each frame (`parts`) lets another writer go on after it.
`reader` checks what a header says; `frames` puts it together to frames, whose points are made when they are asked for.
`clock`, `pose_path` and `cameras` convert what a scene has otherwise than the rest of the package: microseconds from an
offset, scalar-last quaternions, lists of distortion parameters.
"""

from lidarprep.attachments.sensor_fusion_scene.parts import ScenePart, count_sound
from lidarprep.attachments.sensor_fusion_scene.reader import decode
from lidarprep.attachments.sensor_fusion_scene.writer import (
    SceneWriter,
    WrittenScene,
    encode,
    encode_scene,
    header_room,
    write_scene,
)

__all__ = [
    "ScenePart",
    "SceneWriter",
    "WrittenScene",
    "count_sound",
    "decode",
    "encode",
    "encode_scene",
    "header_room",
    "write_scene",
]
