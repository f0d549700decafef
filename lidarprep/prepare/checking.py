"""The checks of a run's recording, made by a thread of their own beside its frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from lidarprep.checks import check_scene
from lidarprep.recipe import Recipe
from lidarprep.scene import Finding, Scene
from lidarprep.scene.finding import refuse
from lidarprep.scene_settings import SceneSettings, check_options


class SceneChecks(Protocol):
    """What the checks of a recording have found."""

    def watch(self) -> None:
        """End the run if the checks are done and found what is not accepted."""

    def findings(self) -> Sequence[Finding]:
        """Return what they found, once they are done."""


@dataclass(frozen=True)
class KnownFindings:
    """What the checks of an earlier run found, which are not made again."""

    known: Sequence[Finding]

    def watch(self) -> None:
        """Do nothing: a run that was refused has no manifest."""

    def findings(self) -> Sequence[Finding]:
        """Return what was found."""
        return self.known


@dataclass(frozen=True)
class _PendingChecks:
    recipe: Recipe
    future: Future[list[Finding]]

    def watch(self) -> None:
        if self.future.done():
            refuse(self.future.result(), accept=self.recipe.accept, strict=self.recipe.strict)

    def findings(self) -> Sequence[Finding]:
        return self.future.result()


@contextmanager
def checks_beside(scene: Scene, recipe: Recipe, settings: SceneSettings) -> Iterator[SceneChecks]:
    """Check the recording while the statement's body runs.

    A strict run waits for the checks first: its user would rather wait than store what is refused.

    Raises:
        FindingsError: What was found ends the run.
    """
    pool = ThreadPoolExecutor(1, "checks")
    samples, settings.samples = settings.samples, None  # they are freed with the checks, before the run ends
    try:
        options = check_options(recipe, settings.record.offset, unreadable_images=False)
        future = pool.submit(check_scene, scene, options, samples=samples)
        del samples
        checks = _PendingChecks(recipe, future)
        if recipe.strict:
            checks.findings()
            checks.watch()
        yield checks
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
