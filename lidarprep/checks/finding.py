"""What a check found odd, and the end of a strict run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lidarprep.errors import SceneError

# How the notes of a manifest begin that are warnings.
WARNING = "warning: "


@dataclass(frozen=True)
class Finding:
    """Something odd about a recording: a warning, unless a run is strict.

    Args:
        code: What kind it is: a word or two with hyphens that stay the same from version to version.
        message: What is odd, in a sentence with the figure.
        option: What settles it: the option, as the command line and as Python and a recipe have it, or else what to
            mend in the recording.
    """

    code: str
    message: str
    option: str

    @property
    def note(self) -> str:
        """What is odd and what settles it, for the notes of a manifest."""
        return f"{WARNING}{self.message}; {self.option}"


def opening_option(flag: str, value: str, name: str, python: str) -> str:
    """How an option of opening is said: "--frame-order time (frame_order='time' in open_scene, …)"."""
    return f"{flag} {value} ({name}={python} in open_scene, opening: {name} in a recipe)"


def recipe_option(flag: str, name: str, python: str) -> str:
    """How an option of preparing is said: "prepare --drop-intensity (drop_intensity=True in a recipe)"."""
    return f"prepare {flag} ({name}={python} in a recipe)"


def refuse(findings: Sequence[Finding]) -> None:
    """Ends a strict run where anything was found.

    Raises:
        SceneError: It names every finding, with what settles it.
    """
    if not findings:
        return
    lines = [f"{finding.code}: {finding.message}\n  {finding.option}" for finding in findings]
    raise SceneError(strictly(len(findings)), fix="\n".join(lines))


def strictly(count: int) -> str:
    """Why a strict run ends after so many findings."""
    return f"{'1 warning is an error' if count == 1 else f'{count} warnings are errors'}, as --strict asks"
