"""A small fleet: recordings of two frames, a destination for each, and what was stored there, read by JSON alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lidarprep as lp
from tests.scenes import write_toolkit_scene

QUICK = lp.Recipe(checks="quick")


def write_drives(folder: Path, count: int) -> list[Path]:
    return [write_toolkit_scene(folder / f"drive-{n}", frames=2, points=60, cameras=(), seed=n) for n in range(count)]


def ledger_lines(root: Path) -> dict[str, dict[str, Any]]:
    """The ledger's lines by the scenes' names, without lidarprep."""
    lines = [json.loads(line) for line in (root / "batch.jsonl").read_text().splitlines()]
    assert len({line["name"] for line in lines}) == len(lines)
    return {line["name"]: line for line in lines}


def assert_ledger_equals_manifests(root: Path) -> None:
    """Every scene with a manifest is done in the ledger, with the figures of that; no other is."""
    done = {name: line for name, line in ledger_lines(root).items() if line["state"] == "done"}
    assert done.keys() == {path.parent.name for path in root.glob("*/manifest.json")}
    for name, line in done.items():
        manifest = json.loads((root / name / "manifest.json").read_text())
        assert line["frames"] == len(manifest["frames"])
        assert line["points"] == sum(frame["points_out"] for frame in manifest["frames"])
        assert line["bytes"] == sum(one["bytes"] for one in (*manifest["attachments"], *manifest["images"]))
        assert line["recording"] == manifest["source"]
        assert manifest["fingerprint"].startswith(line["fingerprint"])
