"""`lidarprep demo`, `lidarprep sample OUT` and `lidarprep warm-up`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lidarprep.cli.console import counted, say, tell_of_compiling
from lidarprep.cli.progress import progress

if TYPE_CHECKING:
    from lidarprep.batch import SceneRecord

KEY = "test_demo"
CALLBACK_URL = "https://example.com/callback"  # required by the API; the sandbox does not call it


def demo(
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder that the demo works in.")] = "lidarprep-demo",
    frames: Annotated[int, typer.Option(min=1, help="Frames of the generated recording.")] = 10,
) -> None:
    """Try the whole job: generated recordings are prepared, stored, and submitted to a local sandbox."""
    from lidarprep.api import ScaleClient
    from lidarprep.cli.prepare import prepare_scene
    from lidarprep.recipe import Recipe, StorageOptions
    from lidarprep.sample import DEVICE_HEIGHT_M, write_sample
    from lidarprep.sandbox import running_sandbox
    from lidarprep.scene import RegionOfInterest3D
    from lidarprep.submit import submit

    tell_of_compiling()
    folder = Path(out)
    recording, attachments = folder / f"recording-{frames}", folder / "attachments"
    if (recording / "pointcloud").is_dir():
        say(f"1. the recording of an earlier demo is used: {recording}")
    else:
        say(f"1. a recording is generated: {recording}")
        with progress("ray-casting") as bar:
            write_sample(recording, frames=frames, on_frame=bar.reach)

    say("2. it is brought into one world frame, cropped to 80 × 60 m, and freed of points too high or too low")
    recipe = Recipe(
        region_of_interest_3d=RegionOfInterest3D(position=(0.0, 0.0, 0.0), length=80.0, width=60.0),
        device_height=DEVICE_HEIGHT_M,
        labeling_sample_rate=2,
    )
    manifest = prepare_scene(str(recording), str(attachments), recipe, StorageOptions(), overwrite=True)

    say("3. it is submitted to a sandbox of the Scale API on this machine")
    with running_sandbox() as sandbox, ScaleClient(api_key=KEY, api_url=sandbox.url) as client:
        common = {"project": "demo", "callback_url": CALLBACK_URL}
        tasks = [
            submit(manifest, "lidarannotation", {**common, "labels": ["car", "pedestrian"]}, client),
            submit(manifest, "multistage", common, client),
        ]
        tasks = [client.get_task(task.id) for task in tasks]
        fleet = _fleet(folder, sandbox.url)
        batches = [client.get_batch(name) for name in sorted({record.batch for record in fleet})]

    say("")
    say(f"attachments: {attachments.resolve()}, {len(manifest.frames)} frames and {len(manifest.images)} images")
    for task in tasks:
        say(f"task made:   {task.id}  {task.type}  {task.status}")
    for batch in batches:
        say(f"batch made:  {batch.name}  {counted(len(fleet), 'task')}  {batch.status}, which is: finalized")


def _fleet(folder: Path, api_url: str) -> list[SceneRecord]:
    """Take three generated recordings to a finalized batch of a sandbox; return the scenes' records."""
    from lidarprep.batch import BatchFile, SceneEntry, prepare_many
    from lidarprep.batch.index import write_index
    from lidarprep.recipe import TaskRecipe
    from lidarprep.sample import write_sample

    drives, root = folder / "drives", folder / "fleet"
    say("4. three short drives are prepared as a batch, and submitted: one batch at Scale, finalized when it is full")
    for seed in range(3):
        if not (drives / f"drive-{seed}" / "pointcloud").is_dir():
            write_sample(drives / f"drive-{seed}", frames=3, columns=450, image_width=320, seed=seed)
    # The tasks that it names were in the sandbox of an earlier demo, which is gone.
    (root / "batch.jsonl").unlink(missing_ok=True)
    # What users have in their environment; for this process there is no other API than the sandbox.
    os.environ["SCALE_API_KEY"] = KEY
    task = TaskRecipe(
        type="lidarannotation",
        params={"project": "demo", "callback_url": CALLBACK_URL, "labels": ["car", "pedestrian"]},
        api_url=api_url,
    )
    scenes = (SceneEntry(recording=f"{drives}/*"),)
    file = BatchFile(scenes=scenes, out=f"{root}/{{name}}", task=task, overwrite=True)
    records = []
    with progress("preparing", "scenes") as bar:
        for record in prepare_many(file, submit=True):
            records.append(record)
            bar.reach(len(records), 3)
    index = write_index(str(root), root / "index.html")
    say(f"   ledger: {root / 'batch.jsonl'}; all scenes on one page: {index.path}")
    return records


def sample(
    out: Annotated[str, typer.Argument(help="Folder to write; must be new or empty.")],
    frames: Annotated[int, typer.Option(help="How many frames, at ten a second.")] = 10,
    seed: Annotated[int, typer.Option(help="Which street, and which noise.")] = 0,
) -> None:
    """Write a generated recording: a lidar, three cameras and a radar driven down a small street."""
    from lidarprep.sample import write_sample

    tell_of_compiling()
    with progress("ray-casting") as bar:
        summary = write_sample(out, frames=frames, seed=seed, on_frame=bar.reach)
    say(
        f"{summary.path}: {summary.frames} frames, {summary.points:,} points, cameras {', '.join(summary.cameras)}; "
        f"the lidar is {summary.device_height:g} m above the road"
    )


def warm_up() -> None:
    """Compile everything now, so that no later run has to: once a machine, or when an image is built."""
    from lidarprep.kernels.jit import cache_folder
    from lidarprep.warm_up import warm_up

    start = time.perf_counter()
    with progress("compiling", "kernels") as bar:
        warm_up(bar.reach)
    say(f"every kernel is compiled, in {time.perf_counter() - start:.0f} s, and kept in {cache_folder()}")
