"""`lidarprep submit MANIFEST --type TYPE`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import print_json, print_table

if TYPE_CHECKING:
    from lidarprep.api import Task


@o.takes(o.BUCKET)
def command(
    manifest: Annotated[str, typer.Argument(help="The manifest.json that prepare wrote, or its folder, or on S3.")],
    type: Annotated[
        str, typer.Option("--type", help="lidarannotation, lidarsegmentation, lidartopdown, multistage, …")
    ],
    params: o.Params = None,
    param: o.Param = None,
    unique_id: o.UniqueId = None,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Submit what prepare stored as a task. The API key comes from SCALE_API_KEY."""
    from lidarprep.api import ScaleClient, parse_params
    from lidarprep.recipe import StorageOptions, read_yaml
    from lidarprep.submission import load_manifest, submit

    storage = o.storage_from(StorageOptions(), o.storage_flags(flags))
    parameters = (read_yaml(params, "the parameter file") if params else {}) | parse_params(param or [], type)
    loaded = load_manifest(manifest, storage)
    with ScaleClient(api_url=api_url) as client:
        task = submit(loaded, type, parameters, client, unique_id=unique_id, storage=storage)
        show_task(task, client.api_url)
    if json:
        print_json(dict(task.raw))


def show_task(task: Task, api_url: str | None = None) -> None:
    """A task as a table."""
    rows = [("type", task.type or ""), ("status", task.status or "")]
    if api_url:
        rows.append(("API", api_url))
    if task.unique_id:
        rows.append(("unique id", task.unique_id))
    if task.is_test is not None:
        rows.append(("test", "yes" if task.is_test else "no"))
    print_table(f"task {task.id}", ("", "is"), rows)
