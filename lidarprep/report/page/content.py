"""What the page says, as plain values for its template: summary, findings, plots, tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

from lidarprep.checks import date_of
from lidarprep.checks.codes import CODES, Code
from lidarprep.report.page import charts
from lidarprep.report.page.charts import MOST_ROWS, counted
from lidarprep.report.page.figures import FrameFigures
from lidarprep.report.page.pictures import Picture, picture_of
from lidarprep.report.page.reading import Reading
from lidarprep.report.page.times import SensorTimes, sensor_times
from lidarprep.report.secrets import without_secrets
from lidarprep.report.views import Fate, SceneView
from lidarprep.scene import Finding


@dataclass(frozen=True)
class Tile:
    """A figure of the summary."""

    name: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Verdict:
    """The findings in a few words."""

    grade: str
    text: str


@dataclass(frozen=True)
class PageFinding:
    """A finding as the page shows it."""

    code: str
    severity: str
    message: str
    cure: str
    subject: str
    found: object
    expected: object
    flag: str
    python: str
    accepted: bool
    explained: bool
    picture: Picture | None


@dataclass(frozen=True)
class Row:
    """A row of the table of frames."""

    id: str
    cells: Sequence[str]
    bad: str = ""


@dataclass(frozen=True)
class FrameTable:
    """The table of frames."""

    columns: Sequence[str]
    rows: Sequence[Row]
    left: str = ""


@dataclass(frozen=True)
class Content:
    """All that the template shows."""

    source: str
    about: str
    verdict: Verdict
    tiles: Sequence[Tile]
    findings: Sequence[PageFinding]
    explanations: Sequence[tuple[str, Code]]
    notes: Sequence[str]
    thinned: str
    pictures: Sequence[Picture]
    pictures_note: str
    legend: Sequence[charts.LegendEntry]
    plots: Sequence[charts.Plot]
    time: charts.Plot
    frames: FrameTable
    footer: str
    sections: Sequence[tuple[str, str]] = field(
        default=(
            ("summary", "Summary"),
            ("findings", "Findings"),
            ("view", "Look around"),
            ("pictures", "Pictures"),
            ("plots", "Points"),
            ("time", "Time"),
            ("frames", "Frames"),
        )
    )


def content(
    view: SceneView,
    reading: Reading,
    findings: Sequence[Finding],
    pictures: Sequence[Picture],
    thinned: str,
    page_size: str,
) -> Content:
    """Gather what the page says.

    Args:
        view: The scene.
        reading: What was read of its frames.
        findings: What the checks found.
        pictures: The static pictures.
        thinned: What of the scene the viewer shows.
        page_size: The size of the page, as it is said; or what is put in its place later.
    """
    sensors, duration = sensor_times(view.frames, reading.figures)
    scrub = Scrubber(view)
    accepted = {*view.recipe.accept, *(() if view.manifest is None else view.manifest.accepted)}
    cameras = [camera.name for camera in view.scene.cameras]
    return Content(
        source=scrub(source_name(view)),
        about=scrub(_about(view, reading.figures)),
        verdict=verdict(findings, accepted),
        tiles=_tiles(view, reading.figures, findings, sensors, duration, page_size),
        findings=[_finding(one, scrub, pictures, cameras, accepted) for one in findings],
        explanations=[(code, CODES[code]) for code in dict.fromkeys(one.code for one in findings) if code in CODES],
        notes=[scrub(note) for note in _notes(view)],
        thinned=thinned,
        pictures=pictures,
        pictures_note="" if pictures else "There is nothing to draw: no frame has a point.",
        legend=charts.legend(reading.figures),
        plots=[
            charts.heights(view, reading.distributions.heights),
            charts.ranges(reading.distributions.ranges),
            charts.intensities(view, reading.distributions.intensities),
            charts.fates(reading.figures),
        ],
        time=charts.time(sensors, duration),
        frames=_frames(reading.figures, scrub),
        footer=f"Made by lidarprep {version('lidarprep')}. The page holds all that it shows: it loads nothing, and "
        "sends nothing.",
    )


class Scrubber:
    """Takes out of texts what is nobody else's business: signatures in URLs, and where on a machine a recording is."""

    def __init__(self, view: SceneView) -> None:
        source, path = view.scene.source, view.scene.path
        self.paths: dict[str, str] = {}
        if isinstance(path, Path) or (path is None and "://" not in source):
            typed = source if source_name(view) == source else Path(source).name
            for path in (Path(source).absolute(), Path(source).resolve()):
                self.paths |= {} if str(path) == typed else {str(path): typed}

    def __call__(self, text: str) -> str:
        """Return the text without them."""
        text = without_secrets(text)
        for path, typed in self.paths.items():
            text = text.replace(path, typed)
        return text


def source_name(view: SceneView) -> str:
    """Return what the page is of, as the user named it: the recording; of what was stored, its manifest's."""
    if view.manifest is not None and view.scene.layout == "attachments" and Path(view.scene.source).is_absolute():
        return view.manifest.source
    return view.scene.source


def verdict(findings: Sequence[Finding], accepted: set[str]) -> Verdict:
    """Say the findings in a few words."""
    open_ones = [one for one in findings if one.code not in accepted]
    errors, warnings, notes = (
        sum(one.severity == severity for one in open_ones) for severity in ("error", "warning", "note")
    )
    besides = [counted(warnings, "warning")] if warnings else []
    besides += [counted(notes, "note")] if notes else []
    if errors:
        also = f"; {' and '.join(besides)} besides" if besides else ""
        return Verdict("error", f"{counted(errors, 'error')} that would ruin a task{also}")
    if warnings:
        also = f" and {counted(notes, 'note')}" if notes else ""
        return Verdict("warning", f"{counted(warnings, 'warning')}{also}: look at them before you pay")
    if accepted:
        return Verdict("warning", f"Nothing odd was found but what is accepted: {', '.join(sorted(accepted))}")
    also = f"; {counted(notes, 'note')}" if notes else ""
    return Verdict("good", f"No errors, no warnings{also}: look before you pay")


# ---- summary ---------------------------------------------------------------------------------------------------------


def _about(view: SceneView, figures: Sequence[FrameFigures]) -> str:
    scene = view.scene
    parts = [f"Layout {scene.layout}"]
    if view.manifest is not None:
        parts.append(f"prepared as {view.manifest.format} from {view.manifest.source}")
    parts.append(f"points in {'the world' if scene.points_frame == 'world' else 'the device’s frame'}")
    first = next((one.timestamp for one in figures if one.timestamp is not None), None)
    if first is not None:
        parts.append(f"begins {date_of(first)}")
    if any(view.offset):
        x, y, z = (f"{number:,.0f}" for number in view.offset)
        parts.append(f"offset ({x}, {y}, {z}) m taken from its coordinates")
    return " · ".join(parts)


def _notes(view: SceneView) -> list[str]:
    notes = list(view.scene.notes)
    if view.manifest is not None:
        notes += view.manifest.notes
    if view.intensity_is_guessed and view.intensity_scale is not None:
        notes.append(
            f"intensity {view.intensity_scale:g} is drawn as full; prepare wants the scale to be said: "
            "--intensity-scale S"
        )
    if not view.has_poses:
        notes.append("the recording has no poses: each frame is drawn in the device's own frame")
    if lost := view.note_of_lost(view.frames):
        notes.append(lost)
    return list(dict.fromkeys(notes))


def _tiles(
    view: SceneView,
    figures: Sequence[FrameFigures],
    findings: Sequence[Finding],
    sensors: Sequence[SensorTimes],
    duration: float,
    page_size: str,
) -> list[Tile]:
    bad = sum(one.error is not None for one in figures)
    labelled = sum(one.labelled and one.error is None for one in figures)
    points, kept = sum(one.points for one in figures), sum(one.kept for one in figures)
    frames = f"{bad} cannot be read" if bad else ""
    if len(figures) != len(view.scene) and view.scene.layout != "attachments":
        frames = f"of {len(view.scene):,}" + (f"; {frames}" if frames else "")
    tiles = [
        Tile("Frames", f"{len(figures):,}", frames),
        Tile("Labelled frames", f"{labelled:,}", "every frame" if labelled == len(figures) else ""),
        Tile("Points kept", _share(kept, points), f"{kept:,} of {points:,}" if points else "there are no points"),
        Tile("Points a frame", f"{round(kept / max(len(figures) - bad, 1)):,}", "kept, on average"),
    ]
    names = [camera.name for camera in view.scene.cameras]
    images = sum(one.images for one in figures)
    tiles.append(Tile("Cameras", f"{len(names)}", counted(images, "image") if names else "no images"))
    if len(view.scene.lidars) > 1:
        tiles.append(Tile("Lidars", f"{len(view.scene.lidars)}", ", ".join(lidar.name for lidar in view.scene.lidars)))
    rate = sensors[0].rate if sensors else None
    tiles.append(Tile("Rate", f"{rate:.3g} Hz" if rate else "unknown", "" if rate else "frames have no times"))
    tiles.append(Tile("Duration", _seconds(duration) if rate else "unknown"))
    distance = _distance(view)
    without = "" if distance is not None else "no poses" if not view.has_poses else "some frames have no pose"
    tiles.append(Tile("Distance", "unknown" if distance is None else f"{distance:,.1f} m", without))
    if view.manifest is not None:
        stored = [*view.manifest.attachments, *view.manifest.images]
        size = sum(record.stored_bytes or record.bytes for record in stored)
        many = counted(len(view.manifest.attachments), "attachment")
        tiles.append(Tile("Stored", f"{size / 1e6:,.1f} MB", many))
    tiles.append(Tile("This page", page_size))
    severities = {name: sum(one.severity == name for one in findings) for name in ("error", "warning", "note")}
    said = ", ".join(counted(count, name) for name, count in severities.items() if count)
    tiles.append(Tile("Findings", f"{len(findings)}", said or "nothing odd"))
    return tiles


def _share(part: int, whole: int) -> str:
    if not whole:
        return "none"
    share = 100 * part / whole
    return "100 %" if part == whole else f"{min(share, 99.9):.1f} %"


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02} s"


def _distance(view: SceneView) -> float | None:
    places = [None if frame.world_from_ego is None else frame.world_from_ego.translation for frame in view.frames]
    if any(place is None for place in places):
        return None
    return float(np.linalg.norm(np.diff(np.array(places, dtype=np.float64), axis=0), axis=1).sum())


def _finding(
    one: Finding, scrub: Scrubber, pictures: Sequence[Picture], cameras: Sequence[str], accepted: set[str]
) -> PageFinding:
    subject = one.subject
    return PageFinding(
        code=one.code,
        severity=one.severity,
        message=scrub(one.message),
        cure=scrub(one.cure),
        subject=scrub(f"{subject.kind} {subject.name}") if subject.name else "",
        found=_figure(one.found, scrub),
        expected=_figure(one.expected, scrub),
        flag="" if one.option is None else one.option.flag,
        python="" if one.option is None else one.option.python,
        accepted=one.code in accepted,
        explained=one.code in CODES,
        picture=picture_of(one, pictures, cameras),
    )


def _figure(value: object, scrub: Scrubber) -> str | None:
    if value is None:
        return None
    return scrub(value) if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else f"{value}"


# ---- frames ----------------------------------------------------------------------------------------------------------


def _frames(figures: Sequence[FrameFigures], scrub: Scrubber) -> FrameTable:
    counts = np.array([one.fates for one in figures], dtype=np.int64).reshape(-1, len(Fate))
    used = [fate for fate in Fate if fate is not Fate.KEPT and counts[:, fate].any()]
    start = next((one.timestamp for one in figures if one.timestamp is not None), None)
    columns = ["frame", "time"] if start is not None else ["frame", "index"]
    columns += ["points", "kept", *(fate.title for fate in used), "radar", "images", "labelled"]
    rows = []
    chosen = _rows_to_show(figures)
    for row in chosen:
        one = figures[row]
        since = f"{one.index}"
        if start is not None:
            since = "none" if one.timestamp is None else f"{(one.timestamp - start) / 1e9:.3f} s"
        cells = (
            since,
            f"{one.points:,}",
            f"{one.kept:,}",
            *(f"{one.fates[fate]:,}" for fate in used),
            f"{one.radar_points:,}",
            f"{one.images}",
            "yes" if one.labelled else "no",
        )
        rows.append(Row(one.id, cells, "" if one.error is None else scrub(one.error)))
    left = len(figures) - len(chosen)
    said = (
        f"The first {len(chosen)} frames are listed, bad ones before others; {left:,} more are left out."
        if left
        else ""
    )
    return FrameTable(columns, rows, said)


def _rows_to_show(figures: Sequence[FrameFigures]) -> list[int]:
    """Return the rows of the frames that are listed: bad ones are, before others."""
    bad = [row for row, one in enumerate(figures) if one.error is not None][:MOST_ROWS]
    good = [row for row, one in enumerate(figures) if one.error is None][: MOST_ROWS - len(bad)]
    return sorted([*bad, *good])
