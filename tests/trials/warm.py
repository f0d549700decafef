"""Imported by the server that forks the trials' children, once: everything that they need, and compiled kernels."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import boto3.s3.inject  # noqa: F401
import pytest.__main__  # noqa: F401  # what a child imports again, as its parent's main module
import rich.table  # noqa: F401

import lidarprep as lp
import lidarprep.cli.prepare
import lidarprep.cli.progress
import lidarprep.storage.s3
from tests.trials import child  # noqa: F401

with tempfile.TemporaryDirectory() as folder:
    region = lp.RegionOfInterest3D(position=(20.0, 5.0, 0.0), length=60.0, width=60.0)
    for name in ("json", "sfs"):
        recipe = lp.Recipe(region_of_interest_3d=region, format=name, voxel=1.0)
        lp.prepare(lp.open_scene(os.environ["TRIAL_RECORDING"]), recipe, Path(folder) / name)
gc.freeze()
