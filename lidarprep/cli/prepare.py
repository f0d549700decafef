"""`lidarprep prepare SCENE --out DEST`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import (
    counted,
    print_findings,
    print_json,
    print_notes,
    print_table,
    say,
    say_how_to_go_on,
    tell_of_compiling,
)
from lidarprep.cli.progress import progress
from lidarprep.errors import FindingsError, FormatError, LidarprepError, SceneError, place_name

if TYPE_CHECKING:
    from lidarprep.recipe import Recipe, StorageOptions
    from lidarprep.scene import Finding, Scene
    from lidarprep.storage import Manifest


@o.takes(o.RECIPE, o.OPENING, o.CHECKS, o.STORAGE)
def command(
    scene: Annotated[str, typer.Argument(help="A recording: a folder, a bag, a point file; or its URL.")],
    out: Annotated[str, typer.Option(metavar="DEST", help="Folder, or s3:// gs:// az://bucket/prefix.")],
    recipe: Annotated[str | None, typer.Option(metavar="FILE", help="A recipe (YAML); flags override it.")] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Write a page that shows it, too: DEST/report.html; ./ for s3.")
    ] = False,
    report_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write that page, which this asks for, too.")
    ] = None,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Prepare a recording: into one world frame, cropped and filtered, as attachments, and store them."""
    from lidarprep.recipe import Recipe, StorageOptions

    merged = o.recipe_from(Recipe() if recipe is None else Recipe.from_yaml(recipe), flags)
    storage = o.storage_from(StorageOptions(), flags)
    manifest = prepare_scene(
        scene,
        out,
        merged,
        storage,
        layout=flags["layout"],
        opening=o.opening_flags(flags),
        workers=flags["workers"],
        overwrite=bool(flags["overwrite"]),
        report=report_out or (_usual_report(out) if report else None),
    )
    if json:
        print_json(manifest.model_dump(mode="json"))


def prepare_scene(
    path: str,
    out: str,
    recipe: Recipe,
    storage: StorageOptions,
    *,
    layout: str | None = None,
    opening: Mapping[str, Any] | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    report: Path | None = None,
) -> Manifest:
    """Prepare a scene under a progress bar, and show what became of it; write its page, even if it is refused."""
    from lidarprep._malloc import configure_malloc
    from lidarprep.datasets import open_scene
    from lidarprep.prepare import prepare
    from lidarprep.prepare.empty_result import EmptyResultError

    configure_malloc()
    with say_how_to_go_on(), progress("preparing", on_start=tell_of_compiling) as bar:
        options = {"points_frame": recipe.points_frame, **(opening or {})}
        scene = open_scene(path, layout=layout, access=storage, **options)
        refusal = None
        try:
            manifest = prepare(scene, recipe, out, storage=storage, overwrite=overwrite, workers=workers, progress=bar)
        except (EmptyResultError, FormatError, SceneError) as error:  # what the recording shows
            refusal = error
    if refusal is not None:
        if report is not None:
            _write_report_of_refused(scene, recipe, report, refusal)
        raise refusal
    show_manifest(manifest, processed=bar.started)
    if report is not None:
        _write_report(scene, recipe, report, manifest=manifest)
    return manifest


def _usual_report(out: str) -> Path:
    return Path("report.html") if "://" in out else Path(out) / "report.html"


def _write_report(
    scene: Scene,
    recipe: Recipe,
    out: Path,
    *,
    manifest: Manifest | None = None,
    findings: Sequence[Finding] | None = None,
) -> None:
    """Write the page of what was prepared; or of what was refused, and why."""
    from lidarprep.cli.report import write
    from lidarprep.report.views import SceneView

    if recipe.points_frame is not None:
        scene = scene.with_points_in(recipe.points_frame)
    view = SceneView.of(scene, recipe) if manifest is None else SceneView.of_prepared(scene, manifest)
    out.parent.mkdir(parents=True, exist_ok=True)
    write(view, out, findings=findings)


def _write_report_of_refused(scene: Scene, recipe: Recipe, out: Path, refusal: LidarprepError) -> None:
    """Write the page of a recording that was refused; if it cannot be written, the refusal is what matters."""
    findings = refusal.findings if isinstance(refusal, FindingsError) else None
    try:
        _write_report(scene, recipe, out, findings=findings)
    except (LidarprepError, OSError) as error:
        say(f"{out} is not written: {error}")


def show_manifest(manifest: Manifest, *, processed: bool = True) -> None:
    """Show what became of each frame, unless nothing was to be done, and where it is."""
    if processed:
        _show_frames(manifest)
    else:
        say("nothing to do: this recording was prepared by this recipe before")
    print_findings(manifest.findings, manifest.accepted)
    for record in manifest.attachments:
        if len(record.frames) > 1:
            say(f"{record.url}: {len(record.frames)} frames, {record.bytes / 1e6:.1f} MB")
    total = sum(record.bytes for record in manifest.attachments) + sum(record.bytes for record in manifest.images)
    stored = counted(len(manifest.attachments), "attachment")
    if manifest.images:
        stored += f" and {counted(len(manifest.images), 'image')}"
    if manifest.skipped:
        say(f"{counted(len(manifest.skipped), 'bad frame')} left out; the manifest says why")
    if manifest.images_expire_at is not None:
        until = datetime.fromtimestamp(manifest.images_expire_at, UTC)
        say(f"the signed URLs of its images are valid until {until:%Y-%m-%d %H:%M} UTC: Scale fetches them by then")
        _warn_of_little_time(manifest, manifest.images_expire_at - time.time())
    say(f"{stored}, {total / 1e6:.1f} MB; manifest: {place_name(manifest.location)}")


def _warn_of_little_time(manifest: Manifest, seconds_left: float) -> None:
    hours = manifest.presign_hours or 0.0
    if seconds_left < hours * 1800:
        say(
            f"of the {hours:g} h that they were signed for, {max(seconds_left, 0) / 3600:.1f} h are left; submit "
            "renews them where less than an hour is"
        )


def _show_frames(manifest: Manifest) -> None:
    """Show what became of each frame, and what was odd."""
    # The size of a frame, where it has an attachment of its own.
    sizes = {record.frames[0]: record.bytes for record in manifest.attachments if len(record.frames) == 1}
    # Only what differs between frames or was dropped: all columns at once are wider than many terminals.
    dropped = [frame.dropped for frame in manifest.frames]
    known = ("region", "height", "not_finite", "no_return", "voxel")
    reasons = [name for name in known if any(getattr(one, name) for one in dropped)]
    chosen = not all(frame.labelled for frame in manifest.frames)
    print_table(
        f"{manifest.source} → {manifest.format}",
        (
            "frame",
            "points in",
            *(name.replace("_", " ") for name in reasons),
            "points out",
            *(["MB"] if sizes else []),
            *(["labelled"] if chosen else []),
        ),
        _frame_rows(manifest, reasons, sizes, chosen=chosen),
    )
    print_notes(manifest.notes)


def _frame_rows(
    manifest: Manifest, reasons: Sequence[str], sizes: Mapping[str, int], *, chosen: bool
) -> list[tuple[str, ...]]:
    """Return a row for each frame in time order, those that were left out between the others."""
    rows = {
        frame.index: (
            frame.id,
            f"{frame.points_in:,}",
            *(f"{-getattr(frame.dropped, name):,}" for name in reasons),
            f"{frame.points_out:,}",
            *([f"{sizes[frame.id] / 1e6:.1f}"] if sizes else []),
            *(["yes" if frame.labelled else "no"] if chosen else []),
        )
        for frame in manifest.frames
    }
    blank = ("",) * (len(reasons) + 1 + bool(sizes) + chosen)
    rows |= {frame.index: (frame.id, "left out", *blank) for frame in manifest.skipped}
    return [rows[index] for index in sorted(rows)]
