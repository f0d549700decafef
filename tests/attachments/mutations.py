"""Valid LidarFrames, and changed ones."""

from __future__ import annotations

import random

from lidarprep.attachments.lidar_frame import encode
from tests.attachments.frames import world_frame
from tests.attachments.valid import SMALL_FRAME

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)


def varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, wire: int, payload: bytes = b"") -> bytes:
    """A field on the wire; a length-delimited one gets its length."""
    length = varint(len(payload)) if wire == LENGTH else b""
    return varint(number << 3 | wire) + length + payload


ZEROS = bytes(4)
XYZ = field(1, FIXED32, ZEROS) + field(2, FIXED32, ZEROS) + field(3, FIXED32, ZEROS)
POSITION = field(1, LENGTH, XYZ)


def point(more: bytes = b"") -> bytes:
    return field(4, LENGTH, XYZ + more)


SEEDS = [
    encode(SMALL_FRAME),
    encode(world_frame([[1, 2, 3], [4, 5, 6]])),
    POSITION + point(field(5, VARINT, b"\x81\x01") + field(7, VARINT, b"\x01")) + field(99, LENGTH, b"abc"),
    point() + field(9, GROUP, field(1, VARINT, b"\x00")) + field(9, END_GROUP) + POSITION + point(),
]
PIECES = [bytes([n]) for n in (0, 1, 4, 7, 8, 0x0A, 0x0B, 0x0C, 0x0D, 0x22, 0x23, 0x24, 0x25, 0x7F, 0x80, 0xFF)] + [
    point(),
    POSITION,
    field(4, GROUP),
    field(4, END_GROUP),
    b"\x80\x80",
    b"\xff" * 9 + b"\x01",
    b"\xff" * 9 + b"\x7f",
    varint(10**9),
    varint(2**63),
]


def mutated(count: int, seed: int) -> list[bytes]:
    """Valid messages with a few bytes changed, taken out or put in, or cut and joined."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        data = bytearray(rng.choice(SEEDS))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data) + 1)
            how = rng.randrange(4)
            if how == 0 and at < len(data):
                data[at] = rng.randrange(256)
            elif how == 1:
                data[at:at] = rng.choice(PIECES)
            elif how == 2:
                del data[at : at + rng.randint(1, 6)]
            else:
                data[at : at + 1] = rng.choice(PIECES)
        made.append(bytes(data))
    return made
