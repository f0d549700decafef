"""Writes the index of a batch: what its ledger says, in one HTML file that works from the disk, offline.

The scenes are data in the page, about 200 bytes each; a script shows those that are asked for. Thumbnails of a few
scenes are in the page, those of many in a folder beside it, and are loaded when they come into view.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from os import PathLike, fspath
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import orjson
from markupsafe import Markup

from lidarprep.batch.index.thumbnails import Thumbnails
from lidarprep.batch.record import STATES, SceneRecord
from lidarprep.batch.scenes import Batch
from lidarprep.batch.status import Totals, opened
from lidarprep.checks.codes import CODES
from lidarprep.storage.files import move_file, temporary_file, writing
from lidarprep.storage.options import StorageOptions
from lidarprep.storage.store import MANIFEST_KEY

# The page of one scene, beside its manifest.
PAGE_KEY = "report.html"

# Thumbnails of so many scenes are in the page itself.
MOST_EMBEDDED = 200

_COLUMNS = ("Scene", "State", "Frames", "Points", "Size", "Time", "Findings", "Task")
_DATA = "<!--data-->"


@dataclass(frozen=True)
class Index:
    """An index that was written.

    Args:
        path: The file.
        bytes: Its size.
        scenes: How many scenes it has.
        thumbnails: How many of them have a thumbnail.
        pages: How many of them it links to a page of their own.
        problems: Why scenes have no thumbnail, for people.
    """

    path: Path
    bytes: int
    scenes: int
    thumbnails: int
    pages: int
    problems: tuple[str, ...]


def write_index(
    target: Batch | str,
    out: str | PathLike[str] = "index.html",
    *,
    storage: StorageOptions | None = None,
    thumbnails: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Index:
    """Write one HTML page of all scenes of a batch: state, figures, findings, a thumbnail, a link to each one's page.

    Args:
        target: The batch; or its destination: the template, or the folder that the scenes' destinations lie in.
        out: The file; one that is there is replaced. Thumbnails of more than 200 scenes go to a folder beside it.
        storage: How a destination is reached.
        thumbnails: Whether scenes have one: a frame of each is read the first time.
        progress: Called in this thread with (thumbnails drawn, thumbnails to draw).

    Raises:
        RecipeError: There is no such batch.
        StorageError: The ledger cannot be read, or the file not be written.
    """
    ledger, records, _ = opened(target, storage)
    path = Path(fspath(out))
    pictures = Thumbnails(path.with_name(f"{path.stem}-thumbnails"))
    problems = pictures.draw(records, progress) if thumbnails else []
    shown = [_Shown.of(record, pictures if thumbnails else None, path) for record in records]
    if len(records) <= MOST_EMBEDDED:
        shown = [one.embedded() for one in shown]
    size = _write(path, ledger.location, records, shown)
    return Index(
        path,
        size,
        len(records),
        sum(one.picture is not None for one in shown),
        sum(one.page != "" for one in shown),
        tuple(problems),
    )


@dataclass(frozen=True)
class _Shown:
    """What the page links to of a scene: URLs, or "" for none; and its thumbnail, if it has one."""

    page: str
    picture_url: str
    picture: Path | None

    @classmethod
    def of(cls, record: SceneRecord, pictures: Thumbnails | None, out: Path) -> _Shown:
        page = ""
        if record.manifest and "://" not in record.manifest:
            found = Path(record.manifest.removesuffix(MANIFEST_KEY)) / PAGE_KEY
            page = _relative(found, out) if found.exists() else ""
        picture = None if pictures is None else pictures.path_of(record)
        if picture is None or not picture.exists():
            return cls(page, "", None)
        return cls(page, _relative(picture, out), picture)

    def embedded(self) -> _Shown:
        """Return it with the thumbnail in its URL."""
        if self.picture is None:
            return self
        data = base64.b64encode(self.picture.read_bytes()).decode("ascii")
        return _Shown(self.page, f"data:image/webp;base64,{data}", self.picture)


def _relative(target: Path, page: Path) -> str:
    return quote(os.path.relpath(target.absolute(), page.absolute().parent).replace(os.sep, "/"))


def _write(out: Path, location: str, records: Sequence[SceneRecord], shown: Sequence[_Shown]) -> int:
    own, report = resources.files(__package__), resources.files("lidarprep.report.page")
    script = (own / "script.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    text = environment.from_string((own / "template.html").read_text("utf-8")).render(
        page=_content(location, records),
        # Ours, and no part of a recording.
        style=Markup((report / "style.css").read_text("utf-8") + (own / "style.css").read_text("utf-8")),  # noqa: S704
        script_hash=Markup(f"'sha256-{digest}'"),  # noqa: S704
    )
    # No text within may end the element.
    data = orjson.dumps(_scenes_data(records, shown)).decode().replace("<", "\\u003c")
    head, _, tail = text.partition(_DATA)
    with temporary_file(out) as stream, writing(out):
        element = f'<script type="application/json" id="scenes-data">{data}</script>\n<script>{script}</script>'
        stream.write(f"{head}{element}{tail}".encode("utf-8", "backslashreplace"))
        size = stream.tell()
        move_file(stream, out)
    return size


def _scenes_data(records: Sequence[SceneRecord], shown: Sequence[_Shown]) -> dict[str, Any]:
    """Return the data of the script: a list a scene, in the order that the script names."""
    codes = sorted({code for record in records for code in record.codes})
    number_of = {code: number for number, code in enumerate(codes)}
    scenes = [
        [
            record.name,
            record.recording,
            record.state,
            record.frames,
            record.points,
            record.bytes,
            record.seconds,
            *(record.findings.get(severity, 0) for severity in ("error", "warning", "note")),
            [number_of[code] for code in record.codes],
            record.task,
            record.batch,
            record.error,
            one.page,
            one.picture_url,
        ]
        for record, one in zip(records, shown, strict=True)
    ]
    return {"states": STATES, "codes": codes, "scenes": scenes}


def _content(location: str, records: Sequence[SceneRecord]) -> Mapping[str, Any]:
    """Return what the template shows."""
    totals = Totals.of(records)
    failed = sum(record.error != "" for record in records)
    bad = sum(record.findings.get("error", 0) > 0 for record in records)
    left = len(records) - totals.states.get("labelled", 0)
    if failed:
        grade, verdict = "error", f"{_scenes(failed)} failed"
    elif bad:
        grade, verdict = "warning", f"{_scenes(bad)} with findings that would ruin a task"
    else:
        grade, verdict = "good", "No scene failed"
    scenes_of = Counter(code for record in records for code in record.codes)
    folder = location.rpartition("/")[0]
    states = ", ".join(f"{count:,} {state}" for state, count in totals.states.items())
    return {
        "name": folder.rpartition("/")[2] or folder,
        "grade": grade,
        "verdict": verdict,
        "about": f"{states}. {left:,} to go until all are labelled." if left else "All scenes are labelled.",
        "tiles": [
            ("Scenes", f"{len(records):,}", states),
            ("Frames", f"{totals.frames:,}", ""),
            ("Points", f"{totals.points:,}", ""),
            ("Stored", _size(totals.bytes), "attachments and images"),
            ("Work", _duration(totals.seconds), "of all workers"),
            ("Findings", f"{sum(totals.findings.values()):,}", _severities(totals.findings)),
        ],
        "columns": _COLUMNS,
        "explanations": [
            (code, asdict(CODES[code]) | {"scenes": _scenes(scenes_of[code])})
            for code in sorted(scenes_of)
            if code in CODES
        ],
        "footer": f"Made by lidarprep of {location}.",
    }


def _severities(findings: Mapping[str, int]) -> str:
    counts = ((findings.get(name, 0), name) for name in ("error", "warning", "note"))
    return ", ".join(f"{count:,} {name}{'' if count == 1 else 's'}" for count, name in counts if count)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _scenes(count: int) -> str:
    return f"{count:,} scene{'' if count == 1 else 's'}"
