"""The Scale client: typed task parameters, requests with retries, tasks.

    with ScaleClient() as client:                      # SCALE_API_KEY, SCALE_API_URL
        task = client.create_lidar_annotation(attachments=urls, attachment_type="protobuf", labels=["car"])

`parameters/` has a model for each task type, task_types.py the table of them, protocol.py what is said to the API and
how its answers are understood, client.py what sends it.
"""

from lidarprep.api.address import DEFAULT_API_URL
from lidarprep.api.client import ScaleClient
from lidarprep.api.parameters import (
    Label,
    LidarAnnotation,
    LidarLinking,
    LidarLinkingLayers,
    LidarSegmentation,
    LidarTopdown,
    Multistage,
    Strictness,
    TaskParameters,
)
from lidarprep.api.parameters.text import parse_param, parse_params
from lidarprep.api.task import Task
from lidarprep.api.task_types import TASK_TYPES, TaskType, check_parameters, read_parameters, task_type_named

__all__ = [
    "DEFAULT_API_URL",
    "TASK_TYPES",
    "Label",
    "LidarAnnotation",
    "LidarLinking",
    "LidarLinkingLayers",
    "LidarSegmentation",
    "LidarTopdown",
    "Multistage",
    "ScaleClient",
    "Strictness",
    "Task",
    "TaskParameters",
    "TaskType",
    "check_parameters",
    "parse_param",
    "parse_params",
    "read_parameters",
    "task_type_named",
]
