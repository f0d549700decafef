from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Point(_message.Message):
    __slots__ = ("x", "y", "z", "i", "d", "t", "is_ground")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    Z_FIELD_NUMBER: _ClassVar[int]
    I_FIELD_NUMBER: _ClassVar[int]
    D_FIELD_NUMBER: _ClassVar[int]
    T_FIELD_NUMBER: _ClassVar[int]
    IS_GROUND_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    z: float
    i: float
    d: int
    t: float
    is_ground: bool
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., z: _Optional[float] = ..., i: _Optional[float] = ..., d: _Optional[int] = ..., t: _Optional[float] = ..., is_ground: bool = ...) -> None: ...

class Vector3(_message.Message):
    __slots__ = ("x", "y", "z")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    Z_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    z: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., z: _Optional[float] = ...) -> None: ...

class Quaternion(_message.Message):
    __slots__ = ("w", "x", "y", "z")
    W_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    Z_FIELD_NUMBER: _ClassVar[int]
    w: float
    x: float
    y: float
    z: float
    def __init__(self, w: _Optional[float] = ..., x: _Optional[float] = ..., y: _Optional[float] = ..., z: _Optional[float] = ...) -> None: ...

class GPSPose(_message.Message):
    __slots__ = ("lat", "long", "bearing")
    LAT_FIELD_NUMBER: _ClassVar[int]
    LONG_FIELD_NUMBER: _ClassVar[int]
    BEARING_FIELD_NUMBER: _ClassVar[int]
    lat: float
    long: float
    bearing: float
    def __init__(self, lat: _Optional[float] = ..., long: _Optional[float] = ..., bearing: _Optional[float] = ...) -> None: ...

class RadarPoint(_message.Message):
    __slots__ = ("position", "direction", "size")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    position: Vector3
    direction: Vector3
    size: float
    def __init__(self, position: _Optional[_Union[Vector3, _Mapping]] = ..., direction: _Optional[_Union[Vector3, _Mapping]] = ..., size: _Optional[float] = ...) -> None: ...

class BrownConradyIntrinsics(_message.Message):
    __slots__ = ("fx", "fy", "cx", "cy", "skew", "k1", "k2", "p1", "p2", "k3")
    FX_FIELD_NUMBER: _ClassVar[int]
    FY_FIELD_NUMBER: _ClassVar[int]
    CX_FIELD_NUMBER: _ClassVar[int]
    CY_FIELD_NUMBER: _ClassVar[int]
    SKEW_FIELD_NUMBER: _ClassVar[int]
    K1_FIELD_NUMBER: _ClassVar[int]
    K2_FIELD_NUMBER: _ClassVar[int]
    P1_FIELD_NUMBER: _ClassVar[int]
    P2_FIELD_NUMBER: _ClassVar[int]
    K3_FIELD_NUMBER: _ClassVar[int]
    fx: float
    fy: float
    cx: float
    cy: float
    skew: float
    k1: float
    k2: float
    p1: float
    p2: float
    k3: float
    def __init__(self, fx: _Optional[float] = ..., fy: _Optional[float] = ..., cx: _Optional[float] = ..., cy: _Optional[float] = ..., skew: _Optional[float] = ..., k1: _Optional[float] = ..., k2: _Optional[float] = ..., p1: _Optional[float] = ..., p2: _Optional[float] = ..., k3: _Optional[float] = ...) -> None: ...

class FisheyeIntrinsics(_message.Message):
    __slots__ = ("fx", "fy", "cx", "cy", "skew", "k1", "k2", "k3", "k4")
    FX_FIELD_NUMBER: _ClassVar[int]
    FY_FIELD_NUMBER: _ClassVar[int]
    CX_FIELD_NUMBER: _ClassVar[int]
    CY_FIELD_NUMBER: _ClassVar[int]
    SKEW_FIELD_NUMBER: _ClassVar[int]
    K1_FIELD_NUMBER: _ClassVar[int]
    K2_FIELD_NUMBER: _ClassVar[int]
    K3_FIELD_NUMBER: _ClassVar[int]
    K4_FIELD_NUMBER: _ClassVar[int]
    fx: float
    fy: float
    cx: float
    cy: float
    skew: float
    k1: float
    k2: float
    k3: float
    k4: float
    def __init__(self, fx: _Optional[float] = ..., fy: _Optional[float] = ..., cx: _Optional[float] = ..., cy: _Optional[float] = ..., skew: _Optional[float] = ..., k1: _Optional[float] = ..., k2: _Optional[float] = ..., k3: _Optional[float] = ..., k4: _Optional[float] = ...) -> None: ...

class OmnidirectionalIntrinsics(_message.Message):
    __slots__ = ("fx", "fy", "cx", "cy", "skew", "k1", "k2", "p1", "p2", "k3", "xi")
    FX_FIELD_NUMBER: _ClassVar[int]
    FY_FIELD_NUMBER: _ClassVar[int]
    CX_FIELD_NUMBER: _ClassVar[int]
    CY_FIELD_NUMBER: _ClassVar[int]
    SKEW_FIELD_NUMBER: _ClassVar[int]
    K1_FIELD_NUMBER: _ClassVar[int]
    K2_FIELD_NUMBER: _ClassVar[int]
    P1_FIELD_NUMBER: _ClassVar[int]
    P2_FIELD_NUMBER: _ClassVar[int]
    K3_FIELD_NUMBER: _ClassVar[int]
    XI_FIELD_NUMBER: _ClassVar[int]
    fx: float
    fy: float
    cx: float
    cy: float
    skew: float
    k1: float
    k2: float
    p1: float
    p2: float
    k3: float
    xi: float
    def __init__(self, fx: _Optional[float] = ..., fy: _Optional[float] = ..., cx: _Optional[float] = ..., cy: _Optional[float] = ..., skew: _Optional[float] = ..., k1: _Optional[float] = ..., k2: _Optional[float] = ..., p1: _Optional[float] = ..., p2: _Optional[float] = ..., k3: _Optional[float] = ..., xi: _Optional[float] = ...) -> None: ...

class CameraImage(_message.Message):
    __slots__ = ("timestamp", "image_url", "position", "heading", "scale_factor", "priority", "camera_index", "brown_conrady", "fisheye", "omnidirectional")
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    IMAGE_URL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    HEADING_FIELD_NUMBER: _ClassVar[int]
    SCALE_FACTOR_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    CAMERA_INDEX_FIELD_NUMBER: _ClassVar[int]
    BROWN_CONRADY_FIELD_NUMBER: _ClassVar[int]
    FISHEYE_FIELD_NUMBER: _ClassVar[int]
    OMNIDIRECTIONAL_FIELD_NUMBER: _ClassVar[int]
    timestamp: float
    image_url: str
    position: Vector3
    heading: Quaternion
    scale_factor: float
    priority: int
    camera_index: int
    brown_conrady: BrownConradyIntrinsics
    fisheye: FisheyeIntrinsics
    omnidirectional: OmnidirectionalIntrinsics
    def __init__(self, timestamp: _Optional[float] = ..., image_url: _Optional[str] = ..., position: _Optional[_Union[Vector3, _Mapping]] = ..., heading: _Optional[_Union[Quaternion, _Mapping]] = ..., scale_factor: _Optional[float] = ..., priority: _Optional[int] = ..., camera_index: _Optional[int] = ..., brown_conrady: _Optional[_Union[BrownConradyIntrinsics, _Mapping]] = ..., fisheye: _Optional[_Union[FisheyeIntrinsics, _Mapping]] = ..., omnidirectional: _Optional[_Union[OmnidirectionalIntrinsics, _Mapping]] = ...) -> None: ...

class LidarFrame(_message.Message):
    __slots__ = ("device_position", "device_heading", "device_gps_pose", "points", "radar_points", "images", "timestamp", "extra")
    DEVICE_POSITION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_HEADING_FIELD_NUMBER: _ClassVar[int]
    DEVICE_GPS_POSE_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    RADAR_POINTS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    device_position: Vector3
    device_heading: Quaternion
    device_gps_pose: GPSPose
    points: _containers.RepeatedCompositeFieldContainer[Point]
    radar_points: _containers.RepeatedCompositeFieldContainer[RadarPoint]
    images: _containers.RepeatedCompositeFieldContainer[CameraImage]
    timestamp: float
    extra: bytes
    def __init__(self, device_position: _Optional[_Union[Vector3, _Mapping]] = ..., device_heading: _Optional[_Union[Quaternion, _Mapping]] = ..., device_gps_pose: _Optional[_Union[GPSPose, _Mapping]] = ..., points: _Optional[_Iterable[_Union[Point, _Mapping]]] = ..., radar_points: _Optional[_Iterable[_Union[RadarPoint, _Mapping]]] = ..., images: _Optional[_Iterable[_Union[CameraImage, _Mapping]]] = ..., timestamp: _Optional[float] = ..., extra: _Optional[bytes] = ...) -> None: ...
