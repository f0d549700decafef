"""Writing LAS 1.4 and LAZ with laspy: scales that hold the coordinates exactly where 32-bit integers can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import EncodingError, MissingExtraError
from lidarprep.pointfiles.gps_time import GPS_EPOCH_UNIX_S, adjusted_gps_seconds, unix_nanoseconds
from lidarprep.pointfiles.timestamps import to_nanoseconds
from lidarprep.pointfiles.writing import appearing_whole, cast
from lidarprep.scene import PointCloud

try:
    import laspy
except ImportError:
    raise MissingExtraError("writing LAS files", "las") from None

# Steps that surveys use, tried first: they compress better and read better than powers of two.
_USUAL_SCALES = (0.001, 0.0001)
_LARGEST_INTEGER = 2**31 - 1
_GROUND, _NOT_GROUND = 2, 1


def write(path: Path, cloud: PointCloud) -> tuple[str, ...]:
    """Write LAS 1.4, or LAZ if the name ends so: point format 7 with colours, else 6.

    Coordinates become steps of 1 mm or 0.1 mm if that is exact, else of a power of two, the finest that spans them.
    Timestamps since 1980 become adjusted standard GPS time, earlier ones seconds of a week; where a float64 of seconds
    rounds them, they stand in extra bytes `timestamp_ns` as well, as `device` and `ring` do. Intensities from 0
    to 1 become 0 to 65535, others are rounded. Colours take the upper and the lower byte of 16 bits.

    Returns:
        Names of the cloud's columns that are rounded, or that are read as not recorded, since LAS has nothing but
        zeros to say so: colours that are all black, is_ground without a ground point.

    Raises:
        EncodingError: A coordinate is not finite.
        MissingExtraError: laspy, or lazrs for LAZ, is not installed.
    """
    if not np.isfinite(cloud.positions).all():
        raise EncodingError(
            f"{path}: LAS cannot hold a coordinate that is not finite",
            fix="Drop such points first, or write another format, such as .ply.",
        )
    inexact: list[str] = []
    header = laspy.LasHeader(version="1.4", point_format=6 if cloud.colour is None else 7)
    header.global_encoding.wkt = True  # the specification asks for it from point format 6 on
    steps = [_in_steps(cloud.positions[:, k]) for k in range(3)]
    header.scales = np.array([scale for _, scale, _, _ in steps])
    header.offsets = np.array([offset for _, _, offset, _ in steps])
    inexact.extend([] if all(exact for *_, exact in steps) else ["positions"])
    columns: dict[str, NDArray[Any]] = dict(zip("XYZ", (integers for integers, *_ in steps), strict=True))
    columns |= {"return_number": np.ones(len(cloud), np.uint8), "number_of_returns": np.ones(len(cloud), np.uint8)}
    if cloud.intensity is not None:
        columns["intensity"], exact = _intensity(cloud.intensity)
        inexact.extend([] if exact else ["intensity"])
    extra = {name: column for name, column in cloud.columns.items() if name in ("device", "ring")}
    if cloud.timestamp is not None and len(cloud):
        standard = bool(cloud.timestamp.min() >= GPS_EPOCH_UNIX_S * 10**9)
        header.global_encoding.gps_time_type = laspy.header.GpsTimeType(int(standard))
        columns["gps_time"] = adjusted_gps_seconds(cloud.timestamp) if standard else cloud.timestamp / 1e9
        back = unix_nanoseconds(columns["gps_time"]) if standard else to_nanoseconds(columns["gps_time"], "s")
        if back is None or not columns["gps_time"].any() or not np.array_equal(back, cloud.timestamp):
            extra["timestamp_ns"] = cloud.timestamp
    if cloud.is_ground is not None:
        columns["classification"] = np.where(cloud.is_ground, _GROUND, _NOT_GROUND).astype(np.uint8)
        inexact.extend([] if cloud.is_ground.any() else ["is_ground"])
    if cloud.colour is not None:
        columns |= {name: cloud.colour[:, k] * np.uint16(257) for k, name in enumerate(("red", "green", "blue"))}
        inexact.extend([] if cloud.colour.any() else ["colour"])
    header.add_extra_dims([laspy.ExtraBytesParams(name, column.dtype) for name, column in extra.items()])
    points = laspy.LasData(header, laspy.ScaleAwarePointRecord.zeros(len(cloud), header=header))
    for name, column in (columns | extra).items():
        points[name] = column
    compressed = path.name.lower().endswith(".laz")
    if compressed and not laspy.LazBackend.detect_available():
        raise MissingExtraError("writing LAZ files", "las")
    with appearing_whole(path) as stream:
        points.write(stream, do_compress=compressed)
    return tuple(name for name in ("positions", *cloud.columns) if name in inexact)


def _in_steps(values: NDArray[np.floating[Any]]) -> tuple[NDArray[np.int32], float, float, bool]:
    """Coordinates as whole steps from an offset: the integers, a step, the offset, and whether that is exact."""
    values = values.astype(np.float64)
    if values.size == 0:
        return np.zeros(0, np.int32), _USUAL_SCALES[0], 0.0, True
    middle = float(np.rint(values.min() / 2 + values.max() / 2))
    spans = {offset: float(np.abs(values - offset).max()) for offset in (0.0, middle)}
    candidates = [(scale, 0.0) for scale in _USUAL_SCALES]
    candidates += [(_finest_power(span), offset) for offset, span in spans.items()]
    for scale, offset in candidates:
        integers = np.rint((values - offset) / scale)
        if np.abs(integers).max() > _LARGEST_INTEGER:
            continue
        exact = bool(np.array_equal(integers * scale + offset, values))
        if exact:
            break
    return integers.astype(np.int32), scale, offset, exact


def _finest_power(span: float) -> float:
    """The smallest power of two of which 32-bit integers can count up to `span`, but none below 2^-60."""
    return float(2.0 ** max(np.ceil(np.log2(max(span, 2.0**-30))) - 30, -60))


def _intensity(values: NDArray[Any]) -> tuple[NDArray[np.uint16], bool]:
    """uint16, and whether every value is held exactly; what does not fit becomes the nearest that does."""
    if values.dtype.kind in "biu":
        clipped = np.clip(values, 0, 65535) if values.dtype.kind != "b" else values
        held, _ = cast(clipped, np.uint16)
        return held, bool(np.array_equal(held, values))
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=65535.0, neginf=0.0)
    scaled = finite * 65535 if finite.size and finite.min() >= 0 and finite.max() <= 1 else finite
    held = np.clip(np.rint(scaled), 0, 65535).astype(np.uint16)
    return held, bool(np.array_equal(held, values))
