"""Plain typed data of a recording: poses, points, cameras, frames. No files, no network, no Numba."""

from lidarprep.scene.camera import Camera, CameraImage, CameraModel, Distortion, Intrinsics
from lidarprep.scene.finding import Finding, Severity, Subject
from lidarprep.scene.frame import Frame, GpsPose, Lidar, Scene, SourceFile, Stream
from lidarprep.scene.labels import Boxes2D, Cuboids, LabelledFrame, Labels, LabelsFrame, PointLabels, Shapes
from lidarprep.scene.points import PointCloud, RadarPoints, ReferenceFrame
from lidarprep.scene.pose import Pose
from lidarprep.scene.region import RegionOfInterest3D
from lidarprep.scene.span import Span
from lidarprep.scene.trajectory import Trajectory

__all__ = [
    "Boxes2D",
    "Camera",
    "CameraImage",
    "CameraModel",
    "Cuboids",
    "Distortion",
    "Finding",
    "Frame",
    "GpsPose",
    "Intrinsics",
    "LabelledFrame",
    "Labels",
    "LabelsFrame",
    "Lidar",
    "PointCloud",
    "PointLabels",
    "Pose",
    "RadarPoints",
    "ReferenceFrame",
    "RegionOfInterest3D",
    "Scene",
    "Severity",
    "Shapes",
    "SourceFile",
    "Span",
    "Stream",
    "Subject",
    "Trajectory",
]
