"""Motion compensation: each point moved from the device's pose at its own time to that at a reference time.

The trajectory is cut into pieces of steady motion. In each the rotation is A · exp(f · angle · [axis]×), f from 0 to 1
along the piece. By Rodrigues' formula that is A + sin(f · angle) · A[axis]× + (1 − cos(f · angle)) · A[axis]×², three
matrices that are the same for all points of the piece.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels.jit import kernel

# Columns of a piece's row in `motion`: one over its duration in 1/ns, its angle in radians, the three matrices row by
# row, where it begins, and how far it goes.
RATE, ANGLE, STILL, SINE, VERSINE, BEGINS_AT, GOES = 0, 1, 2, 11, 20, 29, 32
MOTION_COLUMNS = 35

# Slots of `found`.
EXTRAPOLATED, FURTHEST, OUTSIDE = 0, 1, 2


@kernel
def deskew(
    positions: Any, times: Any, count_from: int, since: Any, until: Any, begins: Any, motion: Any, out: Any, found: Any
) -> None:
    """Move points along pieces of steady motion.

    Args:
        positions: (N, 3) float32 or float64 in ego at each point's own time, metres, contiguous.
        times: (N,) int64 nanoseconds, contiguous; fastest where they come roughly in order.
        count_from: What is added to `times` to get the time that the pieces have.
        since: (S,) int64 first time of each piece, in increasing order; S ≥ 1.
        until: (S,) int64 last time of each piece; between two pieces nothing is known.
        begins: (S,) int64 time at which a piece's f is 0; f is below 0 or above 1 where it is extrapolated.
        motion: (S, 35) float64 reference ego from ego of each piece, by the columns above.
        out: (N, 3) of the positions' dtype: gets the positions in ego at the reference time. Those that are not
            finite remain so; those of no piece are left as they are in `out`.
        found: (3,) int64: gets how many points are extrapolated, by how many ns beyond the piece's ends at most, and
            how many belong to no piece.
    """
    pieces = since.shape[0]
    piece = 0
    last_time = np.int64(0)
    known = False  # whether the matrix below is that of last_time
    m00, m01, m02, x0 = 1.0, 0.0, 0.0, 0.0
    m10, m11, m12, y0 = 0.0, 1.0, 0.0, 0.0
    m20, m21, m22, z0 = 0.0, 0.0, 1.0, 0.0
    beyond = np.int64(0)
    extrapolated, furthest, outside = 0, np.int64(0), 0
    for row in range(positions.shape[0]):
        time = times[row] + count_from
        if not known or time != last_time:
            # Mostly the piece of the point before, or the one after it.
            while piece + 1 < pieces and since[piece + 1] <= time:
                piece += 1
            while piece > 0 and since[piece] > time:
                piece -= 1
            last_time = time
            known = since[piece] <= time and time <= until[piece]
            if not known:
                outside += 1
                continue
            # Differences first: nanoseconds since the epoch are too large for a float64.
            fraction = np.float64(time - begins[piece]) * motion[piece, RATE]
            half = 0.5 * fraction * motion[piece, ANGLE]
            sine_of_half = np.sin(half)
            s = 2.0 * sine_of_half * np.cos(half)
            v = 2.0 * sine_of_half * sine_of_half
            m00 = motion[piece, STILL] + s * motion[piece, SINE] + v * motion[piece, VERSINE]
            m01 = motion[piece, STILL + 1] + s * motion[piece, SINE + 1] + v * motion[piece, VERSINE + 1]
            m02 = motion[piece, STILL + 2] + s * motion[piece, SINE + 2] + v * motion[piece, VERSINE + 2]
            m10 = motion[piece, STILL + 3] + s * motion[piece, SINE + 3] + v * motion[piece, VERSINE + 3]
            m11 = motion[piece, STILL + 4] + s * motion[piece, SINE + 4] + v * motion[piece, VERSINE + 4]
            m12 = motion[piece, STILL + 5] + s * motion[piece, SINE + 5] + v * motion[piece, VERSINE + 5]
            m20 = motion[piece, STILL + 6] + s * motion[piece, SINE + 6] + v * motion[piece, VERSINE + 6]
            m21 = motion[piece, STILL + 7] + s * motion[piece, SINE + 7] + v * motion[piece, VERSINE + 7]
            m22 = motion[piece, STILL + 8] + s * motion[piece, SINE + 8] + v * motion[piece, VERSINE + 8]
            x0 = motion[piece, BEGINS_AT] + fraction * motion[piece, GOES]
            y0 = motion[piece, BEGINS_AT + 1] + fraction * motion[piece, GOES + 1]
            z0 = motion[piece, BEGINS_AT + 2] + fraction * motion[piece, GOES + 2]
            beyond = np.int64(0)
            if fraction < 0.0:
                beyond = begins[piece] - time
            elif fraction > 1.0:
                beyond = np.int64(np.rint((fraction - 1.0) / motion[piece, RATE]))
        x = np.float64(positions[row, 0])
        y = np.float64(positions[row, 1])
        z = np.float64(positions[row, 2])
        out[row, 0] = m00 * x + m01 * y + m02 * z + x0
        out[row, 1] = m10 * x + m11 * y + m12 * z + y0
        out[row, 2] = m20 * x + m21 * y + m22 * z + z0
        if beyond > 0:
            extrapolated += 1
            furthest = max(furthest, beyond)
    found[EXTRAPOLATED] = extrapolated
    found[FURTHEST] = furthest
    found[OUTSIDE] = outside
