"""Intensity to 0–1, by one scale for the whole scene; or none at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lidarprep.errors import RecipeError
from lidarprep.scene import Frame, PointCloud
from lidarprep.steps import StepReport

_FIX = "Say which value is full intensity: --intensity-scale 255, for example (intensity_scale in a recipe)."


@dataclass(frozen=True)
class DropIntensity:
    """Drop the intensities."""

    def __call__(self, frame: Frame, report: StepReport) -> Frame:
        """Return the frame without intensity."""
        points = frame.points()
        return frame if points.intensity is None else frame.with_data(replace(points, intensity=None), frame.radar())


@dataclass(frozen=True)
class NormaliseIntensity:
    """Divide intensities by `scale`, to float32 from 0 to 1.

    Args:
        scale: The value that becomes 1.
    """

    scale: float

    def __call__(self, frame: Frame, report: StepReport) -> Frame:
        """Normalise the frame's intensity; NaN becomes 0 and is noted.

        Raises:
            RecipeError: An intensity lies outside 0 to `scale`.
        """
        points = frame.points()
        if points.intensity is None or not len(points):
            return frame
        intensity = points.intensity.astype(np.float32)
        not_numbers = int(np.isnan(intensity).sum())
        if not_numbers:
            np.nan_to_num(intensity, copy=False, nan=0.0, posinf=np.inf, neginf=-np.inf)
            report.notes["nan intensity"] = (
                f"frame {frame.id}: {not_numbers} intensities are not numbers; they became 0"
            )
        lowest, highest = float(intensity.min()), float(intensity.max())
        # The scale is rounded to float32, as the column is.
        if lowest < 0 or highest > np.float32(self.scale):
            outside = lowest if lowest < 0 else highest
            raise RecipeError(
                f"frame {frame.id} has intensity {outside:g}, outside 0 to {self.scale:g}, the scale of this scene",
                fix=_FIX,
            )
        return frame.with_data(replace(points, intensity=intensity / np.float32(self.scale)), frame.radar())


def guess_intensity_scale(samples: Sequence[PointCloud]) -> tuple[float, str]:
    """Guess the value of full intensity from some of a scene's frames; return it with the reason in a sentence.

    It guesses only if the data leaves no doubt: 8-bit integers, whole numbers that fill 0–255 or 0–65535, or
    fractions that end at 1.

    Raises:
        RecipeError: There is doubt.
    """
    columns = [cloud.intensity for cloud in samples if cloud.intensity is not None and len(cloud)]
    if not columns:
        return 1.0, "the points have no intensity"
    if all(column.dtype == np.uint8 for column in columns):
        return 255.0, "intensities are 8-bit integers"
    values = np.concatenate([column.astype(np.float64) for column in columns])
    values = values[~np.isnan(values)]
    if not values.size:
        return 1.0, "no intensity is a number"
    lowest, highest = float(values.min()), float(values.max())
    whole = bool((values == np.rint(values)).all())
    seen = f"intensities reach from {lowest:g} to {highest:g}" + (", all whole numbers" if whole else "")
    if highest == lowest == 0:
        return 1.0, "every intensity is 0"
    if lowest >= 0:
        if not whole and highest <= 1:
            return 1.0, seen
        if whole and 200 <= highest <= 255:
            return 255.0, seen
        if whole and 32_768 <= highest <= 65_535:
            return 65_535.0, seen
    raise RecipeError(f"{seen}; that leaves doubt about their scale", fix=_FIX)
