"""The Scale client: typed task parameters, requests with retries, tasks.

    with ScaleClient() as client:                      # SCALE_API_KEY, SCALE_API_URL
        task = client.create_lidar_annotation(attachments=urls, attachment_type="protobuf", labels=["car"])
        frames = task.wait().annotations()

`parameters/` has a model for each task type, and task_types.py the table of them. The rules know no network:
protocol.py has what is said to the API, answers.py how its answers are understood, flows.py what takes several requests
(creating exactly once, waiting, following links). methods.py lists what a client can do; client.py and
async_client.py carry it out, one blocking and one awaited.
"""

from lidarprep.api.address import DEFAULT_API_URL
from lidarprep.api.annotations import Cuboid, FrameAnnotations
from lidarprep.api.async_client import AsyncScaleClient
from lidarprep.api.client import ScaleClient
from lidarprep.api.connection import WhoAmI
from lidarprep.api.listing import TaskFilters, TaskPage
from lidarprep.api.parameters import (
    Annotation,
    AudioTranscription,
    Categorization,
    Comparison,
    DataCollection,
    DependentDefinition,
    DependentOptions,
    Geometries,
    Label,
    LidarAnnotation,
    LidarLinking,
    LidarLinkingLayers,
    LidarSegmentation,
    LidarTopdown,
    Multistage,
    Phonecall,
    Strictness,
    TaskParameters,
    Transcription,
)
from lidarprep.api.parameters.text import parse_param, parse_params
from lidarprep.api.task import AsyncTask, Task
from lidarprep.api.task_types import (
    TASK_TYPES,
    TaskType,
    check_dependents,
    check_parameters,
    read_dependents,
    read_parameters,
    task_type_at,
    task_type_named,
)

__all__ = [
    "DEFAULT_API_URL",
    "TASK_TYPES",
    "Annotation",
    "AsyncScaleClient",
    "AsyncTask",
    "AudioTranscription",
    "Categorization",
    "Comparison",
    "Cuboid",
    "DataCollection",
    "DependentDefinition",
    "DependentOptions",
    "FrameAnnotations",
    "Geometries",
    "Label",
    "LidarAnnotation",
    "LidarLinking",
    "LidarLinkingLayers",
    "LidarSegmentation",
    "LidarTopdown",
    "Multistage",
    "Phonecall",
    "ScaleClient",
    "Strictness",
    "Task",
    "TaskFilters",
    "TaskPage",
    "TaskParameters",
    "TaskType",
    "Transcription",
    "WhoAmI",
    "check_dependents",
    "check_parameters",
    "parse_param",
    "parse_params",
    "read_dependents",
    "read_parameters",
    "task_type_at",
    "task_type_named",
]
