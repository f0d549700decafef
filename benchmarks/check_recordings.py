"""The recordings that the checks are judged on: generated ones of many seeds, each made once, and the real one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from plant.drives import drive

import lidarprep as lp
from lidarprep.sample import write_sample
from lidarprep.scene import Frame, Scene

# A street whose cameras are judged is rendered with images as wide as this; it takes seconds of CPU.
STREET_WIDTH, STREET_COLUMNS, STREET_FRAMES = 640, 1800, 3

# Of so many generated recordings, one is such a street.
SCENES_A_STREET = 8


@dataclass(frozen=True)
class Recordings:
    """Recordings by their number, from 0 on.

    Args:
        folder: Where written ones lie; one that is there already is used.
        real: The real recording, or None.
        seed: Seeds of another are other recordings.
        scenes: How many generated ones there are.
    """

    folder: Path
    real: Path | None
    seed: int
    scenes: int

    @property
    def streets(self) -> int:
        """How many streets with images there are."""
        return max(1, self.scenes // SCENES_A_STREET)

    def rng(self, what: str, number: int = 0) -> np.random.Generator:
        """Make a generator for a row's draws, the same whatever other rows are run."""
        return np.random.default_rng([self.seed, number, *what.encode()])

    def drive(self, number: int) -> Scene:
        """Return a drive ahead in memory, without images, of any speed and density of points."""
        return _drive(self.seed, number)

    def street(self, number: int) -> Path:
        """Return a toolkit folder of three cameras whose images can be judged."""
        return self._written("street", number, frames=STREET_FRAMES, columns=STREET_COLUMNS, image_width=STREET_WIDTH)

    def small(self, number: int) -> Path:
        """Return a toolkit folder of small images, its points compensated."""
        return self._written("small", number, frames=4, columns=180, image_width=96)

    def uncompensated(self, number: int) -> Path:
        """Return a toolkit folder whose points have times."""
        return self._written("timed", number, frames=5, columns=120, image_width=32, motion_compensated=False)

    def _written(self, kind: str, number: int, **how: int) -> Path:
        folder = self.folder / f"{kind}-{self.seed}-{number}"
        if not folder.exists():
            write_sample(folder, seed=1000 * self.seed + 10 * number + len(kind), **how)  # type: ignore[arg-type]
        return folder

    def copy(self, folder: Path) -> Path:
        """Copy a folder, so that a fault can be planted into it; the copy before is taken away."""
        target = self.folder / "planted"
        shutil.rmtree(target, ignore_errors=True)
        return Path(shutil.copytree(folder, target, copy_function=shutil.copyfile))

    def of_points(self) -> Iterator[tuple[str, Scene]]:
        """Give all recordings whose points and poses are judged, each with a name."""
        for number in range(self.scenes):
            yield f"drive {number}", self.drive(number)
        if self.real is not None:
            yield "the real recording", read_once(lp.open_scene(self.real))


@cache
def _drive(seed: int, number: int) -> Scene:
    rng = np.random.default_rng([seed, number])
    return drive(
        rng,
        speed=float(rng.uniform(4, 20)),
        seconds=float(rng.choice([0.05, 0.1, 0.1, 0.2])),
        frames=int(rng.integers(8, 15)),
        columns=int(rng.integers(200, 400)),
        beams=int(rng.choice([1, 1, 2])),
    )


def read_once(scene: Scene) -> Scene:
    """Keep the points of a scene's frames, which are planted into again and again."""

    def kept(frame: Frame) -> Frame:
        cloud = frame.points()
        return replace(frame, read_points=lambda: cloud, read_chunks=None)

    return replace(scene, frames=tuple(map(kept, scene)))


def with_one_camera(scene: Scene, name: str) -> Scene:
    """Leave the other cameras out."""
    frames = [replace(f, images=tuple(i for i in f.images if i.camera.name == name)) for f in scene]
    return replace(scene, cameras=tuple(c for c in scene.cameras if c.name == name), frames=tuple(frames))
