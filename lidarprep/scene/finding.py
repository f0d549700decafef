"""Findings: what is odd about a recording, as data that programs read and people are told; and which end a run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from textwrap import shorten
from typing import Any, Literal

from lidarprep.errors import FindingsError

# error: it would ruin a task. warning: it may. note: it is as well to know.
Severity = Literal["error", "warning", "note"]

_GRAVEST_FIRST: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Subject:
    """What a finding is about.

    Args:
        kind: What it is.
        name: Its name in the recording: a frame's id, a camera's name, a topic, a path; "" for the whole scene.
    """

    kind: Literal["scene", "frame", "camera", "lidar", "topic", "file"] = "scene"
    name: str = ""


@dataclass(frozen=True)
class Option:
    """An option that settles a finding, by its three spellings.

    Args:
        flag: As the command line has it, with its value: "--points-frame world".
        python: As a keyword of Python: "points_frame='world'".
        of: The function that takes it: of opening (also `opening:` in a recipe file) or of preparing (a recipe's
            field); "check" where it is about the checks only.
    """

    flag: str
    python: str
    of: Literal["open_scene", "Recipe", "check"] = "open_scene"

    def __str__(self) -> str:
        where = "" if self.of == "check" else f" in {self.of}"
        return f"{self.flag} ({self.python}{where})"


@dataclass(frozen=True)
class Finding:
    """Something odd about a recording.

    Args:
        code: Its kind: words with hyphens that stay the same from version to version. `lidarprep.checks.codes`
            explains each.
        message: What is odd, in a sentence with the figure.
        cure: What to do about it, in a phrase; the option, where there is one, is said before it.
        severity: How bad it is.
        subject: What it is about.
        found: The figure that was found, in the unit of `expected`; None where there is no single one.
        expected: What was expected in its place.
        option: The option that settles it.
        calibration: What the file holds that `--calibration` takes to settle it, if it is one of a camera's pose.
    """

    code: str
    message: str
    cure: str = ""
    severity: Severity = "warning"
    subject: Subject = field(default_factory=Subject)
    found: int | float | str | None = None
    expected: int | float | str | None = None
    option: Option | None = None
    calibration: Mapping[str, Any] | None = field(default=None, compare=False)

    @property
    def advice(self) -> str:
        """What to do about it: the option, then the cure."""
        return "; ".join(part for part in ("" if self.option is None else str(self.option), self.cure) if part)

    def __repr__(self) -> str:
        return f"Finding({self.severity}, {self.code}: {shorten(self.message, 100, placeholder='…')})"

    def _repr_html_(self) -> str:
        return Findings([self])._repr_html_()


class Findings(list[Finding]):
    """A list of findings that notebooks show as a table."""

    def _repr_html_(self) -> str:
        # Looked up by name, so that this file does not depend on what stands above it.
        html: str = import_module("lidarprep.report.notebook").findings_html(self)
        return html


def opening_option(flag: str, value: str, name: str, python: str) -> Option:
    """Spell an option of opening: --frame-order, time, frame_order, 'time'."""
    return Option(f"{flag} {value}".rstrip(), f"{name}={python}")


def recipe_option(flag: str, name: str, python: str) -> Option:
    """Spell an option of preparing: --drop-intensity, drop_intensity, True."""
    return Option(flag, f"{name}={python}", "Recipe")


def gravest_first(findings: Iterable[Finding]) -> Findings:
    """Sort findings by severity; those of one severity stay in their order."""
    return Findings(sorted(findings, key=lambda one: _GRAVEST_FIRST.index(one.severity)))


def refused(findings: Iterable[Finding], *, accept: Collection[str] = (), strict: bool = False) -> list[Finding]:
    """Return the errors that are not accepted; where a run is strict, the warnings, too."""
    bad = ("error", "warning") if strict else ("error",)
    return [one for one in findings if one.severity in bad and one.code not in accept]


def refuse(findings: Iterable[Finding], *, accept: Collection[str] = (), strict: bool = False) -> None:
    """End a run if a finding is an error that is not accepted, or, where it is strict, a warning.

    Raises:
        FindingsError: It names every such finding, with its cure.
    """
    findings = list(findings)
    bad = refused(findings, accept=accept, strict=strict)
    if not bad:
        return
    lines = [f"{one.code}: {one.message}" + (f"\n  {one.advice}" if one.advice else "") for one in bad]
    codes = tuple(dict.fromkeys(one.code for one in bad))
    accept_all = " ".join(f"--accept {code}" for code in codes)
    lines.append(f"To go on all the same: {accept_all} (accept={list(codes)} in Python)")
    raise FindingsError(why_refused(bad), codes, fix="\n".join(lines), findings=findings)


def why_refused(bad: Sequence[Finding]) -> str:
    """Explain why a run ends after these findings."""
    errors = sum(one.severity == "error" for one in bad)
    warnings = len(bad) - errors
    parts = []
    if errors:
        parts.append(f"{'1 finding' if errors == 1 else f'{errors} findings'} would ruin a task")
    if warnings:
        parts.append(
            f"{'1 warning is an error' if warnings == 1 else f'{warnings} warnings are errors'}, as --strict asks"
        )
    return "; ".join(parts)
