"""Reads exported files back with the libraries of their makers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from mcap.reader import make_reader
from mcap.records import Statistics
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

NUMERIC_TYPES = ("", "u1", "i1", "<u2", "<i2", "<u4", "<i4", "<f4", "<f8")


@dataclass
class Mcap:
    topics: Mapping[str, list[tuple[int, Any]]]
    schemas: Mapping[str, str]
    statistics: Statistics
    compressions: set[str]
    log_times: list[int]
    metadata: Mapping[str, str]

    def clouds(self, topic: str) -> list[NDArray[Any]]:
        return [cloud(message) for _, message in self.topics[topic]]


def read_mcap(path: Path) -> Mcap:
    """Decode all messages, by Foxglove's classes and, alike, by the schemas in the file alone."""
    topics = defaultdict(list)
    schemas, log_times = {}, []
    with path.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        for schema, channel, message in reader.iter_messages(log_time_order=False):
            assert schema is not None
            assert schema.encoding == channel.message_encoding == "protobuf"
            name = schema.name.removeprefix("foxglove.")
            known = getattr(import_module(f"foxglove_schemas_protobuf.{name}_pb2"), name)
            decoded = known.FromString(message.data)
            assert str(by_schema(schema.data, schema.name).FromString(message.data)) == str(decoded)
            topics[channel.topic].append((message.log_time, decoded))
            schemas[channel.topic] = schema.name
            log_times.append(message.log_time)
        metadata = {key: value for record in reader.iter_metadata() for key, value in record.metadata.items()}
        compressions = {str(chunk.compression) for chunk in summary.chunk_indexes}
        assert all(chunk.message_index_offsets for chunk in summary.chunk_indexes)
    return Mcap(dict(topics), schemas, summary.statistics, compressions, log_times, metadata)


def by_schema(data: bytes, name: str) -> Any:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(name))


def cloud(message: Any) -> NDArray[Any]:
    names = [field.name for field in message.fields]
    offsets = [field.offset for field in message.fields]
    kinds = [NUMERIC_TYPES[field.type] for field in message.fields]
    layout: Any = {"names": names, "formats": kinds, "offsets": offsets, "itemsize": message.point_stride}
    return np.frombuffer(message.data, dtype=np.dtype(layout))


def xyz(rows: NDArray[Any]) -> NDArray[np.float32]:
    return np.column_stack((rows["x"], rows["y"], rows["z"]))


def nanoseconds(stamp: Any) -> int:
    return int(stamp.seconds) * 1_000_000_000 + int(stamp.nanos)


def pose_of(position: Any, orientation: Any) -> NDArray[np.float64]:
    """(4, 4) matrix, by SciPy."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat([orientation.x, orientation.y, orientation.z, orientation.w]).as_matrix()
    matrix[:3, 3] = position.x, position.y, position.z
    return matrix
