"""`lidarprep report SCENE`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import print_findings, print_json, say, tell_of_compiling
from lidarprep.cli.progress import progress

if TYPE_CHECKING:
    from lidarprep.report.page import Report
    from lidarprep.report.views import SceneView
    from lidarprep.scene import Finding, Labels

# Options of preparing, but for those of the attachments' format.
_RECIPE = {name: option for name, option in o.RECIPE.items() if name not in ("format", "precision", "odometry")}


@o.takes(_RECIPE, o.OPENING, o.CHECKS, o.ACCESS)
def command(
    scene: Annotated[str, typer.Argument(help="A recording; or a manifest, or the folder that it is in.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page.")] = Path("report.html"),
    recipe: Annotated[str | None, typer.Option(metavar="FILE", help="A recipe (YAML); flags override it.")] = None,
    labels: o.LabelsPath = None,
    labels_frame: o.LabelsReference = None,
    frames_shown: Annotated[
        int | None, typer.Option(metavar="N", help="The most frames in the viewer; else as many as fit.")
    ] = None,
    points_a_frame: Annotated[
        int | None, typer.Option(metavar="N", help="The most points of each; else up to 100,000, as many as fit.")
    ] = None,
    size_mb: Annotated[float, typer.Option(metavar="MB", help="What the page takes at most.")] = 20.0,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Write a page that shows a recording, or what was prepared of it: one HTML file that works offline.

    Findings do not end it: the page shows them. What prepare would drop by these options is shown with its reason.
    """
    from lidarprep._malloc import configure_malloc
    from lidarprep.checks.codes import require_known
    from lidarprep.datasets import open_scene
    from lidarprep.recipe import Recipe
    from lidarprep.remote import as_path
    from lidarprep.report.views import SceneView

    configure_malloc()
    merged = o.recipe_from(Recipe() if recipe is None else Recipe.from_yaml(recipe), flags)
    reference, access = o.labels_frame(labels, labels_frame), o.access_from(flags)
    opening = {"points_frame": merged.points_frame, **o.opening_flags(flags)}
    opened = open_scene(scene, layout=flags["layout"], access=access, **opening)
    require_known(merged.accept, opened.findings)
    tell_of_compiling()
    view = SceneView.of(opened, merged)
    report = write(
        view,
        out,
        labels=None if labels is None else view.read_labels(as_path(labels, access), reference),
        frames=frames_shown,
        points_a_frame=points_a_frame,
        size_mb=size_mb,
    )
    if json:
        print_json(
            {
                "report": str(report.path),
                "bytes": report.bytes,
                "frames": report.frames,
                "frames_shown": report.frames_shown,
                "points_shown": report.points_shown,
                "findings": [asdict(finding) for finding in report.findings],
            }
        )
    else:
        print_findings(report.findings, merged.accept)
    if open_it:
        import webbrowser

        webbrowser.open(report.path.resolve().as_uri())


def write(
    view: SceneView,
    out: Path,
    *,
    findings: Sequence[Finding] | None = None,
    labels: Labels | None = None,
    frames: int | None = None,
    points_a_frame: int | None = None,
    size_mb: float = 20.0,
) -> Report:
    """Write a page under a progress bar, and say where it is and what it shows."""
    from lidarprep.report.page import write_report

    with progress("reading frames") as bar:
        report = write_report(
            view,
            out,
            findings=findings,
            labels=labels,
            frames=frames,
            points_a_frame=points_a_frame,
            size_mb=size_mb,
            progress=bar.reach,
        )
    say(f"{report.path}: {report.bytes / 1e6:.1f} MB. {report.thinned}")
    return report
