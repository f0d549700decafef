"""What a user asked for, held against what a recording has: names to choose by, and options of no use to a layout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path, PurePosixPath

from lidarprep.datasets.options import OpenOptions
from lidarprep.errors import FormatError, SceneError

# What every layout answers to: these two are applied to the opened scene.
_GENERAL = frozenset({"frame_order", "invert_extrinsics"})

# The flags that are not named as their options are.
_FLAGS = {"scene": "--scene-name", "lidars": "--lidar", "cameras": "--camera"}

LISTED_NAMES = 12


def chosen(known: Iterable[str], wanted: Sequence[str], what: str) -> list[str]:
    """The names among `known` that are wanted, in the order of `known`; all of them if none is wanted in particular.

    Args:
        known: The names that the recording has.
        wanted: The names that the user gave.
        what: What they name, in the singular: "camera".

    Raises:
        SceneError: A wanted name is not known.
    """
    names = list(known)
    for name in wanted:
        if name not in names:
            raise SceneError(f"there is no {what} {name!r}", fix=known_are(names, what))
    return [name for name in names if not wanted or name in wanted]


def known_are(names: Sequence[str], what: str) -> str:
    """What to choose from, in a sentence, where a name is not known; `what` is what they name, in the singular."""
    return f"Known are {listed(names)}." if names else f"This recording names no {what}s."


def listed(names: Sequence[str]) -> str:
    """The first dozen names, and how many there are beyond; or "none"."""
    if not names:
        return "none"
    more = len(names) - LISTED_NAMES
    return ", ".join(names[:LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")


def unused_options(options: OpenOptions, used: Sequence[str]) -> list[str]:
    """A note on the options that were given and that the layout has no use for; or nothing.

    Args:
        options: What the user gave.
        used: Names of the options that the layout looks at.
    """
    given = [f.name for f in fields(options) if getattr(options, f.name) != f.default]
    unused = [name for name in given if name not in used and name not in _GENERAL]
    flags = ", ".join(_FLAGS.get(name, "--" + name.replace("_", "-")) for name in unused)
    return [f"without use for this layout, and so ignored: {flags}"] if unused else []


def inside(root: Path, name: str, table: Path, place: str) -> Path:
    """The file that a table names, by its path below the recording's top folder.

    Raises:
        FormatError: The name leads outside that folder.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise FormatError(table, place=place, found=f"the file name {name[:80]!r}", expected="a path below the dataset")
    return root.joinpath(*parts)
