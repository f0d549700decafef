"""What surfaces are made of: how they look to a camera, and how well they return a lidar's light."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lidarprep.kernels.raycast import GROUND_MATERIAL

# Pictures and the colours below are encoded; light is added up linearly.
GAMMA = 2.2


@dataclass(frozen=True)
class Material:
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

_NUMBERS = {name: number for number, name in enumerate(MATERIALS)}
if _NUMBERS["asphalt"] != GROUND_MATERIAL:
    raise AssertionError("the ground is made of the first material")


def material(name: str) -> int:
    """The number that stands for a material in the kernels."""
    return _NUMBERS[name]


@cache
def column(attribute: str) -> NDArray[np.float64]:
    """(M,) float64: one attribute of every material, by number."""
    return np.array([getattr(m, attribute) for m in MATERIALS.values()], dtype=np.float64)


@cache
def linear_colours() -> NDArray[np.float32]:
    """(M, 3) float32: red, green and blue of every material, by number, 0–1 and linear in light."""
    encoded = np.array([[int(m.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for m in MATERIALS.values()])
    return np.asarray(encoded**GAMMA, dtype=np.float32)
