"""`lidarprep verify MANIFEST`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import print_json, print_table, say, say_notes_of_a_stop, tell_of_compiling
from lidarprep.cli.progress import progress

if TYPE_CHECKING:
    from lidarprep.recipe import StorageOptions
    from lidarprep.repair import Repair
    from lidarprep.storage import Manifest
    from lidarprep.verification import Verification


@o.takes(o.OPENING, o.BUCKET, o.OBJECTS)
def command(
    manifest: Annotated[str, typer.Argument(help="manifest.json, its folder, or s3://bucket/prefix.")],
    repair: Annotated[
        str | None,
        typer.Option(metavar="SCENE", help="Make what is missing or different again from the recording."),
    ] = None,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Check every object that a manifest names against its SHA-256 and size. Ends with 1 if something is wrong.

    To repair, the recording is to be opened as it was for the run, by the same options. What is made again is stored
    as the run did (--acl, --cache-control and the like): the manifest says how, and other options are refused.
    """
    from lidarprep.recipe import StorageOptions
    from lidarprep.submission import load_manifest
    from lidarprep.verification import verify

    storage = o.storage_from(StorageOptions(), o.storage_flags(flags))
    loaded = load_manifest(manifest, storage)
    with progress("checking", "objects") as bar:
        found = verify(loaded, storage, progress=bar.reach)
    _show(found)
    _show_signing(loaded)
    told = asdict(found) | {"sound": not found.findings}
    sound = not found.findings
    if repair is not None and not sound:
        done = _repaired(loaded, found, repair, storage, flags)
        told |= {"restored": list(done.restored), "unlike": [finding.key for finding in done.unlike]}
        sound = not done.unlike
    if json:
        print_json(told)
    if not sound:
        raise typer.Exit(1)


def _repaired(
    manifest: Manifest, found: Verification, path: str, storage: StorageOptions, flags: Mapping[str, Any]
) -> Repair:
    """Repairs what was found, and says what became of it."""
    from lidarprep.datasets import open_scene
    from lidarprep.repair import repair

    tell_of_compiling()
    if manifest.storage is None and manifest.location.startswith("s3://"):
        say("the manifest does not say how its objects are stored: what is restored is stored as the options here say")
    opening = {"points_frame": manifest.recipe.get("points_frame"), **o.opening_flags(flags)}
    scene = open_scene(path, layout=flags["layout"], **opening)
    with say_notes_of_a_stop(), progress("repairing") as bar:
        done = repair(manifest, found.findings, scene, storage, progress=bar.reach)
    if done.restored:
        say(f"{len(done.restored)} objects are restored")
    if done.unlike:
        print_table(
            f"{len(done.unlike)} objects are not what the manifest says when they are made again",
            ("object", "of frames"),
            [(finding.key, _listed(finding.frames)) for finding in done.unlike],
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


def _show_signing(manifest: Manifest) -> None:
    """Until when the signed URLs hold that stand in the attachments."""
    if manifest.is_being_signed:
        say("the URLs of its pictures were being signed anew when that was stopped: submit, or prepare again, goes on")
    elif manifest.images_expire_at is not None:
        until = datetime.fromtimestamp(manifest.images_expire_at, UTC)
        hold = "ran out" if manifest.images_have_expired else "hold until"
        say(f"the signed URLs of its pictures {hold} {until:%Y-%m-%d %H:%M} UTC; submit signs them anew where it must")


def _listed(frames: tuple[str, ...], most: int = 3) -> str:
    return ", ".join(frames[:most]) + (f", … ({len(frames)})" if len(frames) > most else "")
