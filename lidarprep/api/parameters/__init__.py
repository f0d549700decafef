"""Typed parameters of every task type: one model a type, one module a family."""

from lidarprep.api.parameters.base import TaskParameters
from lidarprep.api.parameters.lidar import LidarAnnotation, LidarLinking, LidarLinkingLayers, LidarSegmentation
from lidarprep.api.parameters.multistage import Multistage
from lidarprep.api.parameters.topdown import LidarTopdown
from lidarprep.api.parameters.values import Label, Strictness

__all__ = [
    "Label",
    "LidarAnnotation",
    "LidarLinking",
    "LidarLinkingLayers",
    "LidarSegmentation",
    "LidarTopdown",
    "Multistage",
    "Strictness",
    "TaskParameters",
]
