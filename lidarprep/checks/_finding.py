"""Findings of checks, and the end of a strict run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lidarprep.errors import SceneError

# Prefix of those notes of a manifest that are warnings.
WARNING = "warning: "


@dataclass(frozen=True)
class Finding:
    """Something odd about a recording: a warning, unless a run is strict.

    Args:
        code: Its kind: a word or two with hyphens that stay the same from version to version.
        message: What is odd, in a sentence with the figure.
        option: The cure: an option, as the command line, Python and a recipe spell it, or what to mend in the
            recording.
    """

    code: str
    message: str
    option: str

    @property
    def note(self) -> str:
        """Message and cure, for the notes of a manifest."""
        return f"{WARNING}{self.message}; {self.option}"


def opening_option(flag: str, value: str, name: str, python: str) -> str:
    """Spell an option of opening: "--frame-order time (frame_order='time' in open_scene, …)"."""
    return f"{flag} {value} ({name}={python} in open_scene, opening: {name} in a recipe)"


def recipe_option(flag: str, name: str, python: str) -> str:
    """Spell an option of preparing: "prepare --drop-intensity (drop_intensity=True in a recipe)"."""
    return f"prepare {flag} ({name}={python} in a recipe)"


def refuse(findings: Sequence[Finding]) -> None:
    """End a strict run if there are findings.

    Raises:
        SceneError: Every finding, with its cure.
    """
    if findings:
        lines = [f"{finding.code}: {finding.message}\n  {finding.option}" for finding in findings]
        raise SceneError(strictly(len(findings)), fix="\n".join(lines))


def strictly(count: int) -> str:
    """Explain why a strict run ends after so many findings."""
    return f"{'1 warning is an error' if count == 1 else f'{count} warnings are errors'}, as --strict asks"
