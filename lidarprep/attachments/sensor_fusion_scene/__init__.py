"""Sensor Fusion Scene (.sfs), version "1.0": all frames, poses, images and radar returns of a recording in one file.

`_container` is the file: a JSON header and arrays. `_conventions` converts times, poses and cameras. `_writer` writes
frames one at a time, `_sensors` their arrays and the header's sensors. `_reader` checks the header and makes frames of
it, whose points are read on demand. `_annotations` are labels, written and read.
"""

from lidarprep.attachments.sensor_fusion_scene._annotations import read_annotations
from lidarprep.attachments.sensor_fusion_scene._reader import decode
from lidarprep.attachments.sensor_fusion_scene._writer import SceneWriter

__all__ = ["SceneWriter", "decode", "read_annotations"]
