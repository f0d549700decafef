"""`lidarprep verify MANIFEST`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import counted, print_json, print_table, say, say_how_to_go_on, tell_of_compiling
from lidarprep.cli.progress import progress

if TYPE_CHECKING:
    from lidarprep.recipe import StorageOptions
    from lidarprep.repair import Repair
    from lidarprep.storage import Manifest
    from lidarprep.verify import Verification


@o.takes(o.OPENING, o.BUCKET, o.OBJECTS)
def command(
    manifest: Annotated[str, typer.Argument(help="manifest.json, its folder, or s3:// gs:// az://bucket/prefix.")],
    repair: Annotated[
        str | None,
        typer.Option(metavar="SCENE", help="Make what is missing or different again from the recording."),
    ] = None,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Check every object that a manifest names against its SHA-256 and size. Ends with 1 if something is wrong.

    To repair, open the recording as it was opened for the run, by the same options. Objects are stored again as the run
    stored them (--acl, --cache-control and the like): the manifest says how, and other options are refused.
    """
    from lidarprep.recipe import StorageOptions
    from lidarprep.storage import load_manifest
    from lidarprep.verify import verify

    storage = o.storage_from(StorageOptions(), flags)
    loaded = load_manifest(manifest, storage)
    with progress("checking", "objects") as bar:
        found = verify(loaded, storage, progress=bar.reach)
    _show(found)
    _show_expiry(loaded)
    told = asdict(found) | {"sound": not found.findings}
    sound = not found.findings
    if repair is not None and not sound:
        done = _repaired(loaded, found, repair, storage, flags)
        told |= {name: list(getattr(done, name)) for name in ("restored", "replaced", "unlike")}
        sound = not done.unlike
    if json:
        print_json(told)
    if not sound:
        raise typer.Exit(1)


def _repaired(
    manifest: Manifest, found: Verification, path: str, storage: StorageOptions, flags: Mapping[str, Any]
) -> Repair:
    """Repair what was found, and say what became of it."""
    from lidarprep.datasets import open_scene
    from lidarprep.repair import repair

    tell_of_compiling()
    opening = {"points_frame": manifest.recipe.get("points_frame"), **o.opening_flags(flags)}
    with say_how_to_go_on(), progress("repairing") as bar:
        scene = open_scene(path, layout=flags["layout"], access=storage, **opening)
        done = repair(manifest, scene, storage, findings=found.findings, progress=bar)
    if done.restored:
        say(f"{counted(len(done.restored), 'object')} restored")
    if done.replaced:
        say(f"{counted(len(done.replaced), 'attachment')} with signed URLs made again, as the new manifest says")
    if done.unlike:
        print_table(
            "made again, and not what the manifest says",
            ("object", "of frames"),
            [(one.key, _listed(one.frames)) for one in found.findings if one.key in done.unlike],
        )
        say("the recording, how it is opened, or lidarprep is another: prepare again with --overwrite")
    return done


def _show(found: Verification) -> None:
    if found.findings:
        print_table(
            f"{len(found.findings)} of {found.objects} objects are not what the manifest says",
            ("object", "what is wrong", "of frames"),
            [
                (finding.key, f"{finding.problem}: {finding.detail}", _listed(finding.frames))
                for finding in found.findings
            ],
        )
        return
    say(f"{found.objects} objects, {found.bytes / 1e6:.1f} MB: all are there, and as the manifest says")


def _show_expiry(manifest: Manifest) -> None:
    """Say until when the signed URLs in the attachments are valid."""
    if manifest.images_expire_at is not None:
        until = datetime.fromtimestamp(manifest.images_expire_at, UTC)
        what = "expired at" if manifest.images_have_expired else "are valid until"
        say(f"the signed URLs of its images {what} {until:%Y-%m-%d %H:%M} UTC; submit renews them where it must")


def _listed(frames: tuple[str, ...], most: int = 3) -> str:
    return ", ".join(frames[:most]) + (f", … ({len(frames)})" if len(frames) > most else "")
