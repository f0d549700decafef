"""What stands and drives in a street: each thing built of a few solids.

A thing's own frame has its origin on the ground below its middle; x is forward (for buildings: along the street, with
the street on the side of -y), y left, z up.
"""

from __future__ import annotations

from math import pi

import numpy as np

from lidarprep.kernels.raycast import Solids
from lidarprep.sample.solids import box, cylinder, ellipsoid, join

CAR_PAINTS = ("white paint", "silver paint", "black paint", "red paint", "blue paint", "green paint", "silver paint")
WALLS = ("brick", "cream plaster", "grey plaster", "ochre plaster", "blue plaster")
CLOTHS = ("dark cloth", "red cloth", "light cloth")
STOREY_M = 3.0

# Length, width and height; where the bonnet ends and the cabin begins in height; the cabin's length and its middle;
# how much of its length and width the cabin keeps at the roof. Metres.
_CAR_SHAPES = {
    "saloon": (4.60, 1.82, 1.45, 0.90, 2.75, -0.25, 0.58, 0.80),
    "hatchback": (4.05, 1.76, 1.50, 0.92, 2.65, -0.55, 0.72, 0.80),
    "suv": (4.65, 1.90, 1.72, 1.05, 3.00, -0.60, 0.80, 0.82),
    "van": (5.30, 2.00, 2.20, 1.15, 4.40, -0.40, 0.84, 0.90),
}
CAR_KINDS = tuple(_CAR_SHAPES)


def car(kind: str, paint: str) -> Solids:
    """A car of one of CAR_KINDS: body, cabin of glass with a painted roof, wheels, lights and number plates."""
    length, width, height, shoulder, cabin, middle, keep_length, keep_width = _CAR_SHAPES[kind]
    sill, roof = 0.26, 0.05
    parts = [
        box(paint, (0, 0, (sill + shoulder) / 2), (length, width, shoulder - sill), taper=(0.96, 0.94)),
        box(
            "car window",
            (middle, 0, (shoulder + height - roof) / 2),
            (cabin, width * 0.93, height - roof - shoulder),
            taper=(keep_length, keep_width),
        ),
        box(
            paint,
            (middle, 0, height - roof / 2),
            (cabin * keep_length, width * 0.93 * keep_width, roof),
            taper=(0.94, 0.92),
        ),
    ]
    for front in (1, -1):
        for left in (1, -1):
            parts.append(
                ellipsoid("tyre", (front * 0.30 * length, left * (width / 2 - 0.10), 0.33), (0.66, 0.26, 0.66))
            )
            lamp = "headlight" if front == 1 else "tail light"
            at = (front * (length / 2 - 0.03), left * (width / 2 - 0.30), shoulder - 0.20)
            parts.append(box(lamp, at, (0.06, 0.36, 0.14)))
        parts.append(box("number plate", (front * length / 2, 0, 0.45), (0.02, 0.52, 0.12)))
    return join(parts)


def building(rng: np.random.Generator, width: float, depth: float, storeys: int) -> Solids:
    """A house with rows of windows and a door, under a flat or a hipped roof."""
    walls = str(rng.choice(WALLS))
    height = storeys * STOREY_M
    parts = [
        box(walls, (0, 0, height / 2), (width, depth, height), windows="window"),
        box("door", (float(rng.choice((-0.5, 0.0, 0.5))) * (width - 3), -depth / 2, 1.1), (1.2, 0.12, 2.2)),
        box("grey plaster", (0, 0, height + 0.15), (width + 0.3, depth + 0.5, 0.3)),
    ]
    if rng.random() < 0.6:
        rise = 0.3 * depth
        parts.append(
            box("roof tiles", (0, 0, height + 0.3 + rise / 2), (width + 0.3, depth + 0.5, rise), taper=(0.7, 0.04))
        )
    return join(parts)


def tree(rng: np.random.Generator) -> Solids:
    """A trunk, and a crown of many small clumps with gaps between them."""
    trunk, spread = rng.uniform(2.4, 3.2), rng.uniform(1.3, 1.9)
    parts = [cylinder("bark", (0, 0, 0), rng.uniform(0.13, 0.22), trunk + 0.8)]
    for clump in range(9):
        angle = 2 * pi * (clump / 8 + rng.uniform(-0.05, 0.05))
        out = 0.0 if clump == 8 else spread * rng.uniform(0.45, 0.75)
        up = trunk + spread * (1.3 if clump == 8 else rng.uniform(0.3, 1.1))
        size = spread * rng.uniform(0.8, 1.2)
        parts.append(ellipsoid("leaves", (out * np.cos(angle), out * np.sin(angle), up), (size, size, 0.8 * size)))
    return join(parts)


def lamp_post() -> Solids:
    """A street lamp, its arm reaching out to -y."""
    return join(
        [
            cylinder("metal", (0, 0, 0), 0.09, 6.5),
            box("metal", (0, -0.7, 6.45), (0.08, 1.5, 0.08)),
            box("lamp", (0, -1.4, 6.36), (0.30, 0.60, 0.10)),
        ]
    )


def sign(face: str) -> Solids:
    """A traffic sign that faces forwards; its back is bare metal."""
    return join(
        [
            cylinder("metal", (0, 0, 0), 0.035, 2.9),
            box("metal", (0.045, 0, 2.6), (0.02, 0.64, 0.64)),
            box(face, (0.06, 0, 2.6), (0.01, 0.64, 0.64)),
        ]
    )


def person(cloth: str) -> Solids:
    """Someone on foot: legs, a coat and a head."""
    return join(
        [
            cylinder("dark cloth", (0.0, 0.09, 0), 0.08, 0.85),
            cylinder("dark cloth", (0.06, -0.09, 0), 0.08, 0.85),
            ellipsoid(cloth, (0, 0, 1.12), (0.34, 0.48, 0.86)),
            ellipsoid("skin", (0, 0, 1.64), (0.21, 0.19, 0.27)),
        ]
    )


def litter_bin() -> Solids:
    """A litter bin."""
    return cylinder("green paint", (0, 0, 0), 0.25, 0.95)
