"""`lidarprep submit MANIFEST --type TYPE`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import print_json, print_table
from lidarprep.errors import RecipeError

if TYPE_CHECKING:
    from lidarprep.api import Task
    from lidarprep.recipe import StorageOptions
    from lidarprep.storage import Manifest


def command(
    manifest: Annotated[str, typer.Argument(help="The manifest.json that prepare wrote, or its folder, or on S3.")],
    type: Annotated[
        str, typer.Option("--type", help="lidarannotation, lidarsegmentation, lidartopdown, multistage, …")
    ],
    params: o.Params = None,
    param: o.Param = None,
    unique_id: o.UniqueId = None,
    api_url: o.ApiUrl = None,
    endpoint_url: o.EndpointUrl = None,
    profile: o.Profile = None,
    region: o.Region = None,
    json: o.Json = False,
) -> None:
    """Submit what prepare stored as a task. The API key comes from SCALE_API_KEY."""
    from lidarprep.api import parse_params
    from lidarprep.recipe import StorageOptions

    storage = o.storage_from(StorageOptions(), {"endpoint_url": endpoint_url, "profile": profile, "region": region})
    parameters = read_params(params) | parse_params(param or [], type)
    task = submit_manifest(manifest, type, parameters, storage, unique_id=unique_id, api_url=api_url)
    if json:
        print_json(dict(task.raw))


def submit_manifest(
    manifest: str | Manifest,
    task_type: str,
    parameters: dict[str, Any],
    storage: StorageOptions,
    *,
    unique_id: str | None = None,
    api_url: str | None = None,
) -> Task:
    """Submits a manifest as a task, and shows it."""
    from lidarprep.api import ScaleClient
    from lidarprep.submission import load_manifest, submit

    loaded = load_manifest(manifest, storage) if isinstance(manifest, str) else manifest
    with ScaleClient(api_url=api_url) as client:
        task = submit(loaded, task_type, parameters, client, unique_id=unique_id, storage=storage)
        show_task(task, client.api_url)
    return task


def show_task(task: Task, api_url: str) -> None:
    """A task as a table."""
    rows = [("type", task.type or ""), ("status", task.status or ""), ("API", api_url)]
    if task.unique_id:
        rows.append(("unique id", task.unique_id))
    if task.is_test is not None:
        rows.append(("test", "yes" if task.is_test else "no"))
    print_table(f"task {task.id}", ("", "is"), rows)


def read_params(path: str | None) -> dict[str, Any]:
    """Task parameters from a YAML or JSON file; JSON is YAML."""
    if path is None:
        return {}
    import yaml

    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: the parameters cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: the parameters are neither YAML nor JSON: {error}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: task parameters are a mapping of names to values, not {type(data).__name__}")
    return {str(key): value for key, value in data.items()}
