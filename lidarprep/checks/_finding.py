"""The end of a run that findings refuse."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from lidarprep.errors import FindingsError
from lidarprep.scene import Finding


def refused(findings: Iterable[Finding], *, accept: Collection[str] = (), strict: bool = False) -> list[Finding]:
    """Return the errors that are not accepted; where a run is strict, the warnings, too."""
    bad = ("error", "warning") if strict else ("error",)
    return [one for one in findings if one.severity in bad and one.code not in accept]


def refuse(findings: Iterable[Finding], *, accept: Collection[str] = (), strict: bool = False) -> None:
    """End a run if a finding is an error that is not accepted, or, where it is strict, a warning.

    Raises:
        FindingsError: It names every such finding, with its cure.
    """
    bad = refused(findings, accept=accept, strict=strict)
    if not bad:
        return
    lines = [f"{one.code}: {one.message}" + (f"\n  {one.advice}" if one.advice else "") for one in bad]
    codes = tuple(dict.fromkeys(one.code for one in bad))
    accept_all = " ".join(f"--accept {code}" for code in codes)
    lines.append(f"To go on all the same: {accept_all} (accept={list(codes)} in Recipe)")
    raise FindingsError(why_refused(bad), codes, fix="\n".join(lines))


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
