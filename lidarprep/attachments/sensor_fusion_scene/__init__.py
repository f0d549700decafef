"""Sensor Fusion Scene (.sfs), version "1.0": all frames, poses, pictures and radar returns of a recording in one file.

`container` knows the file: a JSON header and binary blocks.

`writer` makes a scene of frames, one frame in memory at a time: `point_blocks` writes their arrays, `sensors` describes
them in the header. `reader` checks what a header says; `frames` puts it together to frames, whose points are made when
they are asked for. `clock`, `pose_path` and `cameras` convert what a scene has otherwise than the rest of the package:
microseconds from an offset, scalar-last quaternions, lists of distortion parameters.
"""

from lidarprep.attachments.sensor_fusion_scene.reader import decode
from lidarprep.attachments.sensor_fusion_scene.writer import (
    SceneWriter,
    WrittenScene,
    encode,
    encode_scene,
    header_room,
    write_scene,
)

__all__ = ["SceneWriter", "WrittenScene", "decode", "encode", "encode_scene", "header_room", "write_scene"]
