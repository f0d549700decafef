"""Clocks of a bag's streams, compared by the times of recording, which all messages have from one clock."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lidarprep.datasets.ros._messages import Series
from lidarprep.datasets.ros._transforms import TransformTree
from lidarprep.scene import Finding, Severity, Subject
from lidarprep.scene.trajectory import named_offset

# Streams whose headers are this much further from their recording than those of the clouds have another clock.
_ANOTHER_CLOCK_NS = 1_000_000_000

# A header that is this much later than its recording is of a clock that is ahead.
_AHEAD_NS = 5_000_000

_FEWEST = 3


def differing_clocks(lidar: Series, others: Iterable[Series], tree: TransformTree) -> list[Finding]:
    """Find streams whose headers are not of the clouds' clock, or are later or earlier by half a frame or more.

    Args:
        lidar: The clouds of the first lidar.
        others: Those of further lidars, and the images of cameras.
        tree: The transforms.
    """
    base = lidar.delay_ns
    if base is None or len(lidar) < _FEWEST:
        return []
    step = float(np.median(np.abs(np.diff(lidar.timestamps))))
    findings = []
    for series in others:
        if series.delay_ns is None or len(series) < _FEWEST:
            continue
        apart = base - series.delay_ns  # how much later its headers are than they would be by the clouds' clock
        if abs(apart) >= _ANOTHER_CLOCK_NS:
            findings.append(_another_clock(series.name, apart))
        elif abs(apart) >= step / 2:
            findings.append(_late(series, apart, step))
    for child, edge in tree.edges.items():
        delay = edge.transforms.delay_ns
        if not edge.fixed and delay is not None and abs(base - delay) >= _ANOTHER_CLOCK_NS:
            findings.append(_another_clock(f"tf, {child} in {edge.transforms.parent}", base - delay))
    return findings


def _another_clock(name: str, apart: float) -> Finding:
    side = "ahead of" if apart > 0 else "behind"
    return Finding(
        "clock-offset",
        f"{name}: the times in its headers are {abs(apart) / 1e9:.2f} s {side} those of the clouds, by the "
        f"times of recording{named_offset(apart)}",
        "let both have one clock, or shift the headers of one by it; until then they are not matched, or wrongly",
        "warning",
        Subject("topic", name),
        float(f"{apart / 1e9:.3f}"),
        0.0,
    )


def _late(series: Series, apart: float, step: float) -> Finding:
    ahead = series.delay_ns is not None and series.delay_ns < -_AHEAD_NS
    message = (
        f"{series.name}: the times in its headers are {abs(apart) / 1e6:.0f} ms {'later' if apart > 0 else 'earlier'} "
        f"than those of the clouds, by the times of recording: {abs(apart) / step:.2g} of the {step / 1e6:.3g} ms "
        "between clouds"
    )
    if ahead:
        message += "; they are later than the recording, so its clock is ahead, or that of the recorder behind"
    cure = "see whether it is stamped when it is measured; where its transport or the sweep takes so long, all is well"
    severity: Severity = "warning" if ahead else "note"
    found, expected = float(f"{apart / 1e6:.1f}"), f"less than {step / 2e6:g} ms"
    return Finding("camera-delay", message, cure, severity, Subject("topic", series.name), found, expected)
