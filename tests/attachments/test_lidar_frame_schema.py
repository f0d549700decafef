"""proto/lidar_frame.proto, the module generated from it, and the table of the official schema are one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from lidarprep.attachments import lidar_frame_pb2

PROTO = Path(__file__).resolve().parents[2] / "proto" / "lidar_frame.proto"

# number name type label: r required, o optional, * repeated. Typed anew from the public reference.
TABLE = {
    "Point": "1 x float r, 2 y float r, 3 z float r, 4 i float o, 5 d uint32 o, 6 t double o, 7 is_ground bool o",
    "Vector3": "1 x float r, 2 y float r, 3 z float r",
    "Quaternion": "1 w float r, 2 x float r, 3 y float r, 4 z float r",
    "GPSPose": "1 lat float r, 2 long float r, 3 bearing float r",
    "RadarPoint": "1 position Vector3 r, 2 direction Vector3 o, 3 size float o",
    "BrownConradyIntrinsics": (
        "1 fx float r, 2 fy float r, 3 cx float r, 4 cy float r, 5 skew float o, 6 k1 float o, 7 k2 float o, "
        "8 p1 float o, 9 p2 float o, 10 k3 float o"
    ),
    "FisheyeIntrinsics": (
        "1 fx float r, 2 fy float r, 3 cx float r, 4 cy float r, 5 skew float o, 6 k1 float o, 7 k2 float o, "
        "8 k3 float o, 9 k4 float o"
    ),
    "OmnidirectionalIntrinsics": (
        "1 fx float r, 2 fy float r, 3 cx float r, 4 cy float r, 5 skew float o, 6 k1 float o, 7 k2 float o, "
        "8 p1 float o, 9 p2 float o, 10 k3 float o, 11 xi float o"
    ),
    "CameraImage": (
        "1 timestamp double o, 2 image_url string r, 3 position Vector3 r, 4 heading Quaternion r, "
        "5 scale_factor float o, 6 priority int32 o, 7 camera_index int32 o, "
        "8 brown_conrady BrownConradyIntrinsics o, 9 fisheye FisheyeIntrinsics o, "
        "13 omnidirectional OmnidirectionalIntrinsics o"
    ),
    "LidarFrame": (
        "1 device_position Vector3 r, 2 device_heading Quaternion o, 3 device_gps_pose GPSPose o, 4 points Point *, "
        "5 radar_points RadarPoint *, 6 images CameraImage *, 7 timestamp double o, 8 extra bytes o"
    ),
}
RESERVED = {"BrownConradyIntrinsics": {11, 12}, "CameraImage": {10, 11, 12}}
ONEOFS = {"CameraImage": {"camera_intrinsics": {"brown_conrady", "fisheye", "omnidirectional"}}}

LABELS = {
    FieldDescriptorProto.LABEL_REQUIRED: "r",
    FieldDescriptorProto.LABEL_OPTIONAL: "o",
    FieldDescriptorProto.LABEL_REPEATED: "*",
}


def generated() -> FileDescriptorProto:
    file = FileDescriptorProto()
    lidar_frame_pb2.DESCRIPTOR.CopyToProto(file)
    return file


def compiled(folder: Path) -> FileDescriptorProto:
    """What protoc makes of proto/lidar_frame.proto today."""
    pytest.importorskip("grpc_tools", reason="grpcio-tools, which brings protoc, is not installed")
    out = folder / "descriptors.bin"
    command = [f"--proto_path={PROTO.parent}", f"--descriptor_set_out={out}", PROTO.name]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *command], check=True, capture_output=True, text=True)
    descriptors = FileDescriptorSet.FromString(out.read_bytes())
    (file,) = descriptors.file
    for message in file.message_type:
        for field in message.field:
            field.ClearField("json_name")  # protoc derives it from the name; a generated module leaves it out
    return file


def described(message: DescriptorProto) -> str:
    def kind(field: FieldDescriptorProto) -> str:
        if field.type == FieldDescriptorProto.TYPE_MESSAGE:
            return field.type_name.removeprefix(".")
        return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()

    fields = sorted(message.field, key=lambda field: field.number)
    return ", ".join(f"{f.number} {f.name} {kind(f)} {LABELS[f.label]}" for f in fields)


def assert_is_the_table(file: FileDescriptorProto) -> None:
    assert (file.name, file.package, file.syntax) in {
        ("lidar_frame.proto", "", "proto2"),
        ("lidar_frame.proto", "", ""),  # proto2 is what a descriptor that says nothing means
    }
    assert {message.name: described(message) for message in file.message_type} == TABLE
    assert len(file.enum_type) + len(file.extension) + len(file.service) + len(file.dependency) == 0
    for message in file.message_type:
        reserved = {n for span in message.reserved_range for n in range(span.start, span.end)}
        assert reserved == RESERVED.get(message.name, set()), message.name
        oneofs = {
            oneof.name: {f.name for f in message.field if f.HasField("oneof_index") and f.oneof_index == number}
            for number, oneof in enumerate(message.oneof_decl)
        }
        assert oneofs == ONEOFS.get(message.name, {}), message.name
        assert not any(f.HasField("default_value") or f.options.packed for f in message.field)


def test_the_generated_module_is_the_table() -> None:
    assert_is_the_table(generated())


def test_the_proto_file_is_the_table(tmp_path: Path) -> None:
    assert_is_the_table(compiled(tmp_path))


def test_the_generated_module_comes_from_the_proto_file(tmp_path: Path) -> None:
    assert generated() == compiled(tmp_path)
