"""Typed parameters of every task type: one model a type, one module a family."""

from lidarprep.api.parameters.attributes import AnnotationAttribute, Conditions
from lidarprep.api.parameters.base import TaskParameters
from lidarprep.api.parameters.cuboids import LidarAnnotation
from lidarprep.api.parameters.dependents import DependentDefinition, DependentOptions
from lidarprep.api.parameters.general import (
    Annotation,
    AnnotationExample,
    AudioTranscription,
    Categorization,
    Comparison,
    DataCollection,
    Phonecall,
    Transcription,
)
from lidarprep.api.parameters.geometries import (
    Box,
    CameraIntrinsics,
    Connection,
    Ellipse,
    Geometries,
    Geometry,
    Line,
    PerspectiveCuboid,
    Point,
    Polygon,
    Quaternion,
)
from lidarprep.api.parameters.labels import Label
from lidarprep.api.parameters.linking import EventCameras, LidarLinking, LidarLinkingLayers
from lidarprep.api.parameters.multistage import Multistage
from lidarprep.api.parameters.segmentation import LidarSegmentation
from lidarprep.api.parameters.topdown import BaseAnnotations, LidarTopdown
from lidarprep.api.parameters.values import Strictness

__all__ = [
    "Annotation",
    "AnnotationAttribute",
    "AnnotationExample",
    "AudioTranscription",
    "BaseAnnotations",
    "Box",
    "CameraIntrinsics",
    "Categorization",
    "Comparison",
    "Conditions",
    "Connection",
    "DataCollection",
    "DependentDefinition",
    "DependentOptions",
    "Ellipse",
    "EventCameras",
    "Geometries",
    "Geometry",
    "Label",
    "LidarAnnotation",
    "LidarLinking",
    "LidarLinkingLayers",
    "LidarSegmentation",
    "LidarTopdown",
    "Line",
    "Multistage",
    "PerspectiveCuboid",
    "Phonecall",
    "Point",
    "Polygon",
    "Quaternion",
    "Strictness",
    "TaskParameters",
    "Transcription",
]
