"""The codes of findings: what each means, how it is measured, and what to do.

`lidarprep findings` prints them, and docs/findings.md is made of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from lidarprep.checks.codes import _cameras, _points, _poses, _recording, _times
from lidarprep.checks.codes._code import Code
from lidarprep.errors import RecipeError
from lidarprep.scene import Finding

__all__ = ["CODES", "Code", "as_markdown", "require_known"]

# In the order of their names.
CODES: dict[str, Code] = dict(
    sorted((_cameras.CODES | _points.CODES | _poses.CODES | _recording.CODES | _times.CODES).items())
)


def require_known(codes: Collection[str], findings: Iterable[Finding] = ()) -> None:
    """Check that codes are of findings that there are, before a misspelt one accepts nothing.

    Args:
        codes: The codes that a user has written.
        findings: Findings of the recording: a layout that is installed beside ours may have codes of its own.

    Raises:
        RecipeError: There is no finding of such a code.
    """
    known = dict.fromkeys([*CODES, *(one.code for one in findings)])
    for code in codes:
        if code not in known:
            near = get_close_matches(code, known, n=1)
            raise RecipeError(
                f"there is no finding {code!r}",
                fix=(f"Did you mean {near[0]}? " if near else "") + "`lidarprep findings` lists all codes.",
            )


def as_markdown() -> str:
    """Return docs/findings.md: `python -m lidarprep.checks.codes > docs/findings.md`."""
    parts = [_HEAD]
    for name, one in CODES.items():
        parts.append(
            f"## {name}\n\n{one.severity}. {one.meaning}\n\n- **Measured:** {one.measured}\n"
            f"- **What to do:** {one.cure}\n"
            f"- **What it looks like:**\n\n      {one.severity.split()[0].rstrip(';')}: {one.example} [{name}]\n"
        )
    return "\n".join(parts)


_HEAD = """# Findings

The checks judge a recording by its own points, poses, times and images. A finding has a code, a severity, a subject (a
frame, a camera, a topic, a file), the figure found, what was expected, and the option that settles it. Findings are in
`inspect`'s output and its `--json`, in the manifest (`findings`), and are said again before a task is submitted.

- **error**: it would ruin a task. `prepare`, `run` and `submit` end with exit code 2, unless `--accept CODE` says that
  it is meant; the manifest records what was accepted.
- **warning**: it may. `--strict` ends `inspect`, `prepare` and `run` with exit code 2 on a warning, too.
- **note**: it is as well to know.

`--checks quick` leaves out what reads images. `lidarprep findings CODE` prints the text below. In Python:
`scene.check()` and `manifest.findings`.
"""
