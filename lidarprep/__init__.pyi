# The public surface: every name that `import lidarprep` offers. __init__.py reads it to know where each one lives.

from .api import AsyncScaleClient, AsyncTask, Cuboid, FrameAnnotations, ScaleClient, Task, TaskPage, WhoAmI
from .attachments import FORMATS, get_format
from .conversion import convert
from .datasets import OpenOptions, known_layouts, open_scene
from .errors import (
    ApiError,
    BadRequestError,
    ConflictError,
    EncodingError,
    FormatError,
    LidarprepError,
    MissingExtraError,
    MissingKeyError,
    NotEnabledError,
    NotFoundError,
    ParameterError,
    RateLimitError,
    RecipeError,
    RequestTimeoutError,
    SceneError,
    ServerError,
    StorageError,
    TransportError,
    UnauthorizedError,
    WaitTimeoutError,
)
from .inspection import Inspection, inspect_scene
from .pipeline import prepare
from .pointfiles import read_points, write_points
from .recipe import Recipe, RunRecipe, StorageOptions, TaskRecipe
from .run import RunResult, run
from .sample import write_sample
from .scene import (
    Camera,
    CameraImage,
    Distortion,
    Frame,
    GpsPose,
    Intrinsics,
    Lidar,
    PointCloud,
    Pose,
    RadarPoints,
    RegionOfInterest3D,
    Scene,
    Trajectory,
)
from .storage import Manifest
from .submission import load_manifest, submit

__version__: str

__all__ = [
    "FORMATS",
    "ApiError",
    "AsyncScaleClient",
    "AsyncTask",
    "BadRequestError",
    "Camera",
    "CameraImage",
    "ConflictError",
    "Cuboid",
    "Distortion",
    "EncodingError",
    "FormatError",
    "Frame",
    "FrameAnnotations",
    "GpsPose",
    "Inspection",
    "Intrinsics",
    "Lidar",
    "LidarprepError",
    "Manifest",
    "MissingExtraError",
    "MissingKeyError",
    "NotEnabledError",
    "NotFoundError",
    "OpenOptions",
    "ParameterError",
    "PointCloud",
    "Pose",
    "RadarPoints",
    "RateLimitError",
    "Recipe",
    "RecipeError",
    "RegionOfInterest3D",
    "RequestTimeoutError",
    "RunRecipe",
    "RunResult",
    "ScaleClient",
    "Scene",
    "SceneError",
    "ServerError",
    "StorageError",
    "StorageOptions",
    "Task",
    "TaskPage",
    "TaskRecipe",
    "Trajectory",
    "TransportError",
    "UnauthorizedError",
    "WaitTimeoutError",
    "WhoAmI",
    "__version__",
    "convert",
    "get_format",
    "inspect_scene",
    "known_layouts",
    "load_manifest",
    "open_scene",
    "prepare",
    "read_points",
    "run",
    "submit",
    "write_points",
    "write_sample",
]
