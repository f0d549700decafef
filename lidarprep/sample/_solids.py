"""Solids, the materials that they are made of, and the things in a street that are built of them.

A thing's own frame has its origin on the ground below its middle; x is forward (for buildings: along the street, with
the street on the side of -y), y left, z up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, partial
from math import cos, pi, sin
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lidarprep.kernels.raycast import BOX, CYLINDER, ELLIPSOID, GROUND_MATERIAL, NOTHING, Tree

# Images and the colours below are encoded; light is added up linearly.
GAMMA = 2.2


class Material(NamedTuple):
    """One material.

    Args:
        colour: As a screen shows it in plain light, "#rrggbb" (sRGB).
        reflectivity: Part of the lidar's light that comes back from a surface met head on; above 1 for
            retroreflectors, which send it straight back.
        gloss: Part of the light that is mirrored, not scattered: 0 for cloth, 0.5 for glass.
        grain: How much the colour varies from spot to spot, as a part of it.
        retroreflective: Returns light towards where it came from, whatever the angle.
    """

    colour: str
    reflectivity: float
    gloss: float = 0.0
    grain: float = 0.0
    retroreflective: bool = False


MATERIALS: dict[str, Material] = {
    "asphalt": Material("#55565a", 0.17, grain=0.12),  # the ground: the kernel's material 0
    "paving": Material("#a09b92", 0.28, grain=0.10),
    "grass": Material("#5d7a3a", 0.38, grain=0.35),
    "road paint": Material("#e9e9e4", 0.75, grain=0.05),
    "brick": Material("#9a5a45", 0.32, grain=0.12),
    "cream plaster": Material("#dccfae", 0.55, grain=0.04),
    "grey plaster": Material("#b3b3b0", 0.48, grain=0.04),
    "ochre plaster": Material("#c79a58", 0.46, grain=0.04),
    "blue plaster": Material("#8fa3b5", 0.44, grain=0.04),
    "roof tiles": Material("#7c4636", 0.25, grain=0.15),
    "door": Material("#4b3527", 0.22, grain=0.05),
    "window": Material("#1f2a33", 0.10, gloss=0.25),
    "car window": Material("#101418", 0.08, gloss=0.14),
    "white paint": Material("#f0f0ee", 0.80, gloss=0.08),
    "silver paint": Material("#a9adb2", 0.60, gloss=0.10),
    "black paint": Material("#1b1c1f", 0.06, gloss=0.10),
    "red paint": Material("#a81f22", 0.42, gloss=0.08),
    "blue paint": Material("#23467f", 0.30, gloss=0.08),
    "green paint": Material("#2c5a41", 0.28, gloss=0.08),
    "tyre": Material("#17171a", 0.05),
    "headlight": Material("#fdfbe8", 0.90, gloss=0.30),
    "tail light": Material("#c4141a", 1.60, retroreflective=True),
    "number plate": Material("#f5f5ef", 4.00, retroreflective=True),
    "blue sign": Material("#1d4fa0", 4.00, retroreflective=True),
    "yellow sign": Material("#f0b81e", 4.00, retroreflective=True),
    "metal": Material("#6d7175", 0.45, gloss=0.05),
    "lamp": Material("#f4f1de", 0.60),
    "bark": Material("#5c4a3a", 0.24, grain=0.25),
    "leaves": Material("#4b6b2c", 0.42, grain=0.45),
    "skin": Material("#c99a7c", 0.45),
    "dark cloth": Material("#2d3440", 0.22),
    "red cloth": Material("#b5443a", 0.40),
    "light cloth": Material("#d9d2c2", 0.60),
}

NUMBERS = {name: number for number, name in enumerate(MATERIALS)}
if NUMBERS["asphalt"] != GROUND_MATERIAL:
    raise AssertionError("the ground is made of the first material")


@cache
def column(attribute: str) -> NDArray[np.float64]:
    """(M,) float64: one attribute of every material, by number."""
    return np.array([getattr(m, attribute) for m in MATERIALS.values()], dtype=np.float64)


@cache
def linear_colours() -> NDArray[np.float32]:
    """(M, 3) float32: red, green and blue of every material, by number, 0–1 and linear in light."""
    encoded = np.array([[int(m.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for m in MATERIALS.values()])
    return np.asarray(encoded**GAMMA, dtype=np.float32)


LEAF_SIZE = 2

_Vector = tuple[float, float, float]


class Solids(NamedTuple):
    """Solids as columns, in the frame of their thing or in the world; each is upright and may be turned about z.

    Args:
        kind: (S,) int8 BOX, CYLINDER (upright, elliptic) or ELLIPSOID.
        centre: (S, 3) float64 metres, at second 0.
        half: (S, 3) float64 half extents along the solid's own axes, metres.
        taper: (S, 2) float64 a box's extents in its own x and y at the top, as a part of those at the bottom.
        turn: (S, 2) float64 cosine and sine of the angle from the frame's x axis to the solid's.
        velocity: (S, 3) float64 metres a second.
        material: (S,) int16.
        window: (S,) int16 material of the windows in the upright faces of a box; NOTHING for none.
    """

    kind: NDArray[np.int8]
    centre: NDArray[np.float64]
    half: NDArray[np.float64]
    taper: NDArray[np.float64]
    turn: NDArray[np.float64]
    velocity: NDArray[np.float64]
    material: NDArray[np.int16]
    window: NDArray[np.int16]

    def rows(self) -> NDArray[np.float64]:
        """(S, 16) float64: the solids as the kernels take them."""
        lean = self.half[:, :2] * (1.0 - self.taper) / (2.0 * self.half[:, 2:])
        columns = (self.centre, self.velocity, self.turn, self.half, lean, self.kind, self.material, self.window)
        return np.column_stack(columns)


def solid(
    kind: int,
    made_of: str,
    centre: _Vector,
    size: _Vector,
    *,
    taper: tuple[float, float] = (1.0, 1.0),
    turn: float = 0.0,
    windows: str | None = None,
) -> Solids:
    """One upright solid in the frame of its thing: its material's name, centre, and extents along its own axes, metres.

    A box may taper: its extents in x and y at the top are such parts of those at the bottom. `turn` is radians about z;
    `windows` is the material of windows in a box's walls.
    """
    return Solids(
        kind=np.array([kind], dtype=np.int8),
        centre=np.array([centre], dtype=np.float64),
        half=np.array([size], dtype=np.float64) / 2,
        taper=np.array([taper], dtype=np.float64),
        turn=np.array([[cos(turn), sin(turn)]]),
        velocity=np.zeros((1, 3)),
        material=np.array([NUMBERS[made_of]], dtype=np.int16),
        window=np.array([NOTHING if windows is None else NUMBERS[windows]], dtype=np.int16),
    )


box, ellipsoid = partial(solid, BOX), partial(solid, ELLIPSOID)


def cylinder(made_of: str, foot: _Vector, radius: float, height: float) -> Solids:
    """One upright cylinder from the centre of its lower end, metres."""
    x, y, z = foot
    return solid(CYLINDER, made_of, (x, y, z + height / 2), (2 * radius, 2 * radius, height))


def join(parts: Iterable[Solids]) -> Solids:
    """Concatenate the solids of at least one part, in their order."""
    return Solids._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def take(solids: Solids, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Solids:
    """Select solids by indices or by a mask."""
    return Solids._make(column[rows] for column in solids)


def place(solids: Solids, position: Sequence[float], yaw: float, velocity: _Vector = (0.0, 0.0, 0.0)) -> Solids:
    """Place a thing's solids in the world: its origin, metres, the yaw of its x axis, radians, and velocity, m/s."""
    c, s = cos(yaw), sin(yaw)
    rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return solids._replace(
        centre=solids.centre @ rotation.T + np.asarray(position, dtype=np.float64),
        turn=solids.turn @ rotation[:2, :2].T,
        velocity=np.broadcast_to(np.asarray(velocity, dtype=np.float64), solids.centre.shape).copy(),
    )


def bounds(solids: Solids, span: float = 0.0) -> NDArray[np.float64]:
    """(S, 6) lower and upper corner, metres, around each solid at all times from -span to +span seconds."""
    c, s = np.abs(solids.turn).T
    hx, hy, hz = solids.half.T
    # A box that widens upwards is bounded by its top.
    hx, hy = hx * np.maximum(1, solids.taper[:, 0]), hy * np.maximum(1, solids.taper[:, 1])
    reach = np.column_stack((c * hx + s * hy, s * hx + c * hy, hz)) + span * np.abs(solids.velocity)
    return np.hstack((solids.centre - reach, solids.centre + reach))


def build_tree(solids: Solids, eye: NDArray[np.float64], span: float) -> tuple[Solids, Tree]:
    """Build a bounding volume hierarchy; return the solids in its order, and the tree.

    Of two branches the one nearer to the `eye` (3,) is tried first. Rays may be cast from -span to +span seconds.
    """
    around = bounds(solids, span)
    middle = (around[:, :3] + around[:, 3:]) / 2
    order: list[int] = []
    nodes: list[list[int]] = []  # [after, first, held]
    corners: list[NDArray[np.float64]] = []

    def add(rows: NDArray[np.int64]) -> None:
        node = [0, len(order), 0]
        nodes.append(node)
        corners.append(np.hstack((around[rows, :3].min(axis=0), around[rows, 3:].max(axis=0))))
        if len(rows) <= LEAF_SIZE:
            node[2] = len(rows)
            order.extend(rows.tolist())
        else:
            axis = int(np.argmax(np.ptp(middle[rows], axis=0)))
            ranked = rows[np.argsort(middle[rows, axis], kind="stable")]
            half = len(ranked) // 2
            branches = [ranked[:half], ranked[half:]]
            if eye[axis] > middle[ranked[half], axis]:
                branches.reverse()
            for branch in branches:
                add(branch)
        node[0] = len(nodes)

    add(np.arange(len(solids.kind)))
    return take(solids, np.array(order)), Tree(np.array(corners), *np.array(nodes, dtype=np.int32).T.copy())


# ---- things -------------------------------------------------------------------------------------------------------

CAR_PAINTS = ("white paint", "silver paint", "black paint", "red paint", "blue paint", "green paint", "silver paint")
WALLS = ("brick", "cream plaster", "grey plaster", "ochre plaster", "blue plaster")
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
    sill, roof, cabin_width = 0.26, 0.05, width * 0.93
    glass = (middle, 0, (shoulder + height - roof) / 2), (cabin, cabin_width, height - roof - shoulder)
    top = (middle, 0, height - roof / 2), (cabin * keep_length, cabin_width * keep_width, roof)
    parts = [
        box(paint, (0, 0, (sill + shoulder) / 2), (length, width, shoulder - sill), taper=(0.96, 0.94)),
        box("car window", *glass, taper=(keep_length, keep_width)),
        box(paint, *top, taper=(0.94, 0.92)),
    ]
    for front, lamp in ((1, "headlight"), (-1, "tail light")):
        for left in (1, -1):
            wheel = (front * 0.30 * length, left * (width / 2 - 0.10), 0.33)
            parts.append(ellipsoid("tyre", wheel, (0.66, 0.26, 0.66)))
            at = (front * (length / 2 - 0.03), left * (width / 2 - 0.30), shoulder - 0.20)
            parts.append(box(lamp, at, (0.06, 0.36, 0.14)))
        parts.append(box("number plate", (front * length / 2, 0, 0.45), (0.02, 0.52, 0.12)))
    return join(parts)


def building(rng: np.random.Generator, width: float, depth: float, storeys: int) -> Solids:
    """A house with rows of windows and a door, under a flat or a hipped roof."""
    walls = str(rng.choice(WALLS))
    height, eaves = storeys * STOREY_M, (width + 0.3, depth + 0.5)
    parts = [
        box(walls, (0, 0, height / 2), (width, depth, height), windows="window"),
        box("door", (float(rng.choice((-0.5, 0.0, 0.5))) * (width - 3), -depth / 2, 1.1), (1.2, 0.12, 2.2)),
        box("grey plaster", (0, 0, height + 0.15), (*eaves, 0.3)),
    ]
    if rng.random() < 0.6:
        rise = 0.3 * depth
        parts.append(box("roof tiles", (0, 0, height + 0.3 + rise / 2), (*eaves, rise), taper=(0.7, 0.04)))
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


# A street lamp reaches out to -y. Signs face forwards, with a bare metal back.
LAMP_POST = join(
    (
        cylinder("metal", (0, 0, 0), 0.09, 6.5),
        box("metal", (0, -0.7, 6.45), (0.08, 1.5, 0.08)),
        box("lamp", (0, -1.4, 6.36), (0.30, 0.60, 0.10)),
    )
)
LITTER_BIN = cylinder("green paint", (0, 0, 0), 0.25, 0.95)
_SIGN_POST = (cylinder("metal", (0, 0, 0), 0.035, 2.9), box("metal", (0.045, 0, 2.6), (0.02, 0.64, 0.64)))
WARNING_SIGN, YELLOW_SIGN = (
    join((*_SIGN_POST, box(face, (0.06, 0, 2.6), (0.01, 0.64, 0.64)))) for face in ("blue sign", "yellow sign")
)

# People on foot, each in a coat of another cloth.
PEOPLE = {
    cloth: join(
        (
            cylinder("dark cloth", (0.0, 0.09, 0), 0.08, 0.85),
            cylinder("dark cloth", (0.06, -0.09, 0), 0.08, 0.85),
            ellipsoid(cloth, (0, 0, 1.12), (0.34, 0.48, 0.86)),
            ellipsoid("skin", (0, 0, 1.64), (0.21, 0.19, 0.27)),
        )
    )
    for cloth in ("dark cloth", "red cloth", "light cloth")
}
