"""The Scale client: typed task parameters, requests with retries, tasks.

    with ScaleClient() as client:                      # SCALE_API_KEY, SCALE_API_URL
        task = client.create_lidar_annotation(attachments=urls, attachment_type="protobuf", labels=["car"])
        frames = task.wait().annotations()

`parameters/` has a model for each task type, and _task_types.py the table of them. Requests and responses are values
(_requests.py, _responses.py), which _transport.py exchanges with retries. _operations.py has the clients' operations,
written once as coroutines; _client.py has the two clients: one runs them to their end, the other is awaited.
"""

from lidarprep.api._access import DEFAULT_API_URL, WhoAmI, api_url_of, checked_api_url, is_loopback, is_web_address
from lidarprep.api._annotations import Cuboid, FrameAnnotations
from lidarprep.api._client import AsyncScaleClient, ScaleClient
from lidarprep.api._conflicts import content_unique_id
from lidarprep.api._listing import TaskFilters, TaskPage, task_query
from lidarprep.api._projects import MAX_FILE_BYTES, Batch, BatchPage, BatchStatus, Project, StoredFile
from lidarprep.api._requests import checked_metadata, create_request
from lidarprep.api._secrets import ApiKey
from lidarprep.api._task import AsyncTask, Task
from lidarprep.api._task_types import (
    TASK_TYPES,
    TaskType,
    check_dependents,
    check_parameters,
    parse_param,
    parse_params,
    read_dependents,
    read_parameters,
    task_type_at,
    task_type_named,
)
from lidarprep.api.parameters import (
    MAX_TAGS,
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
    SensorFusion,
    Strictness,
    TaskParameters,
    Transcription,
    UntypedTask,
)
from lidarprep.api.parameters._prepared import METADATA_KEY, Prepared, fill_in, require_taken, takes_frames

__all__ = [
    "DEFAULT_API_URL",
    "MAX_FILE_BYTES",
    "MAX_TAGS",
    "METADATA_KEY",
    "TASK_TYPES",
    "Annotation",
    "ApiKey",
    "AsyncScaleClient",
    "AsyncTask",
    "AudioTranscription",
    "Batch",
    "BatchPage",
    "BatchStatus",
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
    "Prepared",
    "Project",
    "ScaleClient",
    "SensorFusion",
    "StoredFile",
    "Strictness",
    "Task",
    "TaskFilters",
    "TaskPage",
    "TaskParameters",
    "TaskType",
    "Transcription",
    "UntypedTask",
    "WhoAmI",
    "api_url_of",
    "check_dependents",
    "check_parameters",
    "checked_api_url",
    "checked_metadata",
    "content_unique_id",
    "create_request",
    "fill_in",
    "is_loopback",
    "is_web_address",
    "parse_param",
    "parse_params",
    "read_dependents",
    "read_parameters",
    "require_taken",
    "takes_frames",
    "task_query",
    "task_type_at",
    "task_type_named",
]
