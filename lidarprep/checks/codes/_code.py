"""The explanation of one kind of finding."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One kind of finding.

    Args:
        severity: "error", "warning" or "note"; and when, where it depends on the figure.
        meaning: What it means, for a person who prepares a recording.
        measured: How it is measured, with the thresholds.
        cure: What to do.
        example: What it looks like: a message of it.
    """

    severity: str
    meaning: str
    measured: str
    cure: str
    example: str
