"""`lidarprep run RECIPE`."""

from __future__ import annotations

from typing import Annotated

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import print_json
from lidarprep.cli.prepare import prepare_scene
from lidarprep.cli.submit import submit_manifest


def command(
    recipe: Annotated[str, typer.Argument(help="A YAML file: scene, out, recipe, storage, task.")],
    scene: Annotated[str | None, typer.Option(help="Another recording than the file's.")] = None,
    out: Annotated[str | None, typer.Option(metavar="DEST", help="Another destination than the file's.")] = None,
    format: o.Format = None,
    roi: o.RoiText = None,
    device_height: o.DeviceHeight = None,
    height_band: o.HeightBandText = None,
    frames: o.Frames = None,
    labeling_sample_rate: o.SampleRate = None,
    only_labelled: o.OnlyLabelled = False,
    precision: o.Precision = None,
    intensity_scale: o.IntensityScale = None,
    points_frame: o.PointsFrame = None,
    workers: o.Workers = None,
    overwrite: o.Overwrite = False,
    endpoint_url: o.EndpointUrl = None,
    profile: o.Profile = None,
    region: o.Region = None,
    url_base: o.UrlBase = None,
    presign: o.Presign = None,
    param: o.Param = None,
    unique_id: o.UniqueId = None,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
) -> None:
    """Prepare, store and submit as a recipe file says; flags override it."""
    from lidarprep.recipe import RunRecipe

    base = RunRecipe.from_yaml(recipe)
    merged = o.overridden(
        base.recipe,
        o.recipe_flags(
            format=format,
            roi=roi,
            device_height=device_height,
            height_band=height_band,
            frames=frames,
            labeling_sample_rate=labeling_sample_rate,
            only_labelled=only_labelled,
            precision=precision,
            intensity_scale=intensity_scale,
            points_frame=points_frame,
        ),
    )
    storage = o.storage_from(
        base.storage,
        {
            "endpoint_url": endpoint_url,
            "profile": profile,
            "region": region,
            "url_base": url_base,
            "presign_hours": presign,
        },
    )
    manifest = prepare_scene(
        scene or base.scene,
        out or base.out,
        merged,
        storage,
        workers=workers or base.workers,
        overwrite=overwrite or base.overwrite,
    )
    result = {"manifest": manifest.model_dump(mode="json")}
    if base.task is not None:
        from lidarprep.api import parse_params

        task = submit_manifest(
            manifest,
            base.task.type,
            base.task.params | parse_params(param or [], base.task.type),
            storage,
            unique_id=unique_id or base.task.unique_id,
            api_url=api_url or base.task.api_url,
        )
        result["task"] = dict(task.raw)
    if json:
        print_json(result)
