# The public surface: every name that `import lidarprep` offers. __init__.py reads it to know where each one lives.

from .api import AsyncScaleClient, AsyncTask, Cuboid, FrameAnnotations, ScaleClient, Task, TaskPage, WhoAmI
from .attachments import FORMATS, get_format
from .checks import CheckOptions
from .convert import convert
from .datasets import OpenOptions, known_layouts, open_scene
from .errors import (
    ApiError,
    BadRequestError,
    ConflictError,
    EncodingError,
    FindingsError,
    FormatError,
    LidarprepError,
    ManifestConflictError,
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
    SourceChangedError,
    StorageError,
    TransportError,
    UnauthorizedError,
    UniqueIdConflictError,
    WaitTimeoutError,
)
from .inspect import Inspection, inspect_scene
from .pointfiles import read_points, write_points
from .prepare import Progress, prepare
from .prune import Pruning, prune
from .recipe import Recipe, RunRecipe, TaskRecipe
from .repair import Repair, repair
from .report.page import write_report
from .run import RunResult, run
from .sample import write_sample
from .scene import (
    Camera,
    CameraImage,
    Distortion,
    Finding,
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
from .storage import Manifest, StorageOptions, load_manifest
from .submit import submit
from .verify import DamagedObject, Verification, verify

__version__: str

__all__ = [
    "FORMATS",
    "ApiError",
    "AsyncScaleClient",
    "AsyncTask",
    "BadRequestError",
    "Camera",
    "CameraImage",
    "CheckOptions",
    "ConflictError",
    "Cuboid",
    "DamagedObject",
    "Distortion",
    "EncodingError",
    "Finding",
    "FindingsError",
    "FormatError",
    "Frame",
    "FrameAnnotations",
    "GpsPose",
    "Inspection",
    "Intrinsics",
    "Lidar",
    "LidarprepError",
    "Manifest",
    "ManifestConflictError",
    "MissingExtraError",
    "MissingKeyError",
    "NotEnabledError",
    "NotFoundError",
    "OpenOptions",
    "ParameterError",
    "PointCloud",
    "Pose",
    "Progress",
    "Pruning",
    "RadarPoints",
    "RateLimitError",
    "Recipe",
    "RecipeError",
    "RegionOfInterest3D",
    "Repair",
    "RequestTimeoutError",
    "RunRecipe",
    "RunResult",
    "ScaleClient",
    "Scene",
    "SceneError",
    "ServerError",
    "SourceChangedError",
    "StorageError",
    "StorageOptions",
    "Task",
    "TaskPage",
    "TaskRecipe",
    "Trajectory",
    "TransportError",
    "UnauthorizedError",
    "UniqueIdConflictError",
    "Verification",
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
    "prune",
    "read_points",
    "repair",
    "run",
    "submit",
    "verify",
    "write_points",
    "write_report",
    "write_sample",
]
