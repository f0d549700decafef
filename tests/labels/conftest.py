"""Recordings with planted labels, and an API whose tasks are completed as a labeller would."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import lidarprep as lp
from lidarprep.api import ScaleClient
from lidarprep.sandbox import Sandbox, running_sandbox
from tests.scenes import write_toolkit_scene

# Far from the origin, so that an offset is taken from the attachments' world.
EASTING = np.array([500_300.0, 5_400_700.0, 120.0])


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[ScaleClient]:
    with ScaleClient("test_key", sandbox.url) as client:
        yield client


@dataclass
class Labeller:
    """Serves results at links, and completes tasks with them; a link can expire."""

    sandbox: Sandbox
    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def link(self, content: Any) -> dict[str, str]:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        path = f"/{len(self.files)}.json"
        self.files[path] = data
        return {"url": f"{self.url}{path}"}

    def complete(self, task: lp.Task, **parts: Any) -> None:
        self.sandbox.complete(task.id, {name: self.link(content) for name, content in parts.items()})


@pytest.fixture(scope="session")
def labeller(sandbox: Sandbox) -> Iterator[Labeller]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.requests.append(self.path)
            content = found.files.get(self.path)
            self.send_response(403 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Labeller(sandbox, f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def far_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames of points in ego, whose poses are far from the origin."""
    folder = write_toolkit_scene(tmp_path_factory.mktemp("far") / "recording", frames=4, points=3000)
    for path in (folder / "poses").iterdir():
        pose = json.loads(path.read_text())
        pose["position"] = (np.array(pose["position"]) + EASTING).tolist()
        path.write_text(json.dumps(pose))
    return folder


@pytest.fixture(scope="session")
def far_manifest(far_recording: Path, tmp_path_factory: pytest.TempPathFactory) -> lp.Manifest:
    """It is cropped to a region and a height band, thinned to voxels, and moved near to the origin."""
    out = tmp_path_factory.mktemp("far-out") / "out"
    region = lp.RegionOfInterest3D((float(EASTING[0]) + 20, float(EASTING[1]) + 5, 0.0), 50, 40, 0.3)
    recipe = lp.Recipe(region_of_interest_3d=region, device_height=0.2, height_band=(-25.0, 30.0), voxel=4.0)
    manifest = lp.prepare(lp.open_scene(far_recording), recipe, out)
    assert manifest.world_offset != (0.0, 0.0, 0.0)
    for frame in manifest.frames:
        assert min(frame.dropped.region, frame.dropped.height, frame.dropped.voxel) > 0
        assert frame.points_out > 50
    return manifest


def world_positions(recording: Path, name: str) -> NDArray[np.float64]:
    """(N, 3) all points of a frame in the recording's world, by SciPy."""
    from tests.scenes import read_ply, read_pose

    rotation, translation = read_pose(recording / "poses" / f"{name}.json")
    xyz, _ = read_ply(recording / "pointcloud" / f"{name}.ply")
    return Rotation.from_matrix(rotation).apply(xyz.astype(np.float64)) + translation
