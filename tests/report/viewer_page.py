"""Pages for tests of the viewer, made by the contract from NumPy arrays: nothing of the product's page code is used."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VIEWER = Path(__file__).resolve().parents[2] / "lidarprep" / "report" / "viewer" / "dist"
FATES = ["kept", "region", "height", "voxel", "no return", "not finite"]
IDENTITY = [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]

STYLE = """
  :root { color-scheme: light dark; }
  body { margin: 0 auto; padding: 16px; max-width: 1200px; font: 15px/1.5 system-ui, sans-serif; }
  h1 { margin: 16px 0; font-size: 24px; line-height: 32px; }
  @media (prefers-color-scheme: dark) { body { background: #14161a; color: #e6e8eb; } }
"""


@dataclass
class PageFrame:
    """A frame of a page; positions (n, 3) in the viewer's world, metres, or None for a frame without points."""

    positions: NDArray[np.floating[Any]] | None = None
    fate: NDArray[np.uint8] | None = None
    intensity: NDArray[np.uint8] | None = None
    device: NDArray[np.uint8] | None = None
    time: NDArray[np.uint16] | None = None
    images: list[bytes | None] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    """What else SceneData says of the frame; replaces the defaults."""

    def columns(self) -> tuple[dict[str, Any] | None, bytes]:
        """What SceneData says of the points, and their blob before gzip."""
        if self.positions is None:
            return None, b""
        at = np.asarray(self.positions, np.float64)
        origin = at.min(axis=0) if len(at) else np.zeros(3)
        span = at.max(axis=0) - origin if len(at) else np.zeros(3)
        step = np.where(span > 0, span / 65535, 1e-6)
        numbers = np.round((at - origin) / step).astype(np.int64)
        blob = b""
        for axis in range(3):
            deltas = np.diff(numbers[:, axis], prepend=0) % 65536
            blob += (deltas & 255).astype(np.uint8).tobytes() + (deltas >> 8).astype(np.uint8).tobytes()
        names = ["position"]
        for name in ("fate", "intensity", "device", "time"):
            column = getattr(self, name)
            if column is not None:
                names.append(name)
                blob += np.asarray(column, "<u2" if name == "time" else "u1").tobytes()
        points = {
            "shown": len(at),
            "total": len(at),
            "origin": origin.tolist(),
            "step": step.tolist(),
            "columns": names,
        }
        points["time"] = None if self.time is None else {"first": "1700000000000000000", "span": 100_000_000}
        return points, blob


def image_data(camera: int, width: int, height: int, **more: Any) -> dict[str, Any]:
    """An ImageData of a camera at the origin of the world; `more` replaces what it says."""
    usual = {"camera": camera, "intrinsics": None, "world_from_camera": IDENTITY, "timestamp": None, "width": width}
    usual |= {"height": height, "scale_factor": 1.0, "shown": True, "problem": None}
    return usual | more


def camera_data(name: str, **more: Any) -> dict[str, Any]:
    """A CameraData of a pinhole camera of 640 × 480 pixels; `more` replaces what it says."""
    usual = {"name": name, "model": "brown_conrady", "fx": 500.0, "fy": 500.0, "cx": 319.5, "cy": 239.5, "skew": 0.0}
    usual |= {"distortion": {}, "width": 640, "height": 480, "ego_from_camera": IDENTITY}
    return usual | more


def write_page(file: Path, frames: list[PageFrame], /, **scene: Any) -> Path:
    """Write a page of these frames; `scene` replaces what SceneData says by default."""
    data: dict[str, Any] = {
        "version": 1, "source": "recording/", "layout": "toolkit", "offset": [0.0, 0.0, 0.0], "has_poses": True,
        "fates": FATES, "devices": [{"id": 0, "name": "lidar"}], "intensity": {"scale": 1.0}, "region": None,
        "band": None, "path": [], "thinned": "All points of all frames are shown.", "cameras": [], "frames": [],
    }  # fmt: skip
    elements = []
    for row, frame in enumerate(frames):
        points, blob = frame.columns()
        data["frames"].append(
            {
                "id": str(row), "index": row, "timestamp": str(1_700_000_000_000_000_000 + row * 100_000_000),
                "world_from_ego": IDENTITY, "labelled": True, "error": None, "points": points, "radar": [],
                "images": [], "cuboids": [],
            }
            | frame.data
        )  # fmt: skip
        if points is not None:
            elements.append(f'<script type="text/plain" id="points-{row}">{_base64(gzip.compress(blob))}</script>')
        for number, image in enumerate(frame.images):
            if image is not None:
                elements.append(f'<script type="text/plain" id="image-{row}-{number}">{_base64(image)}</script>')
    text = json.dumps(data | scene).replace("<", "\\u003c")
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>recording</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<style>{STYLE}</style><style>{(VIEWER / "viewer.css").read_text()}</style></head>
<body><h1>recording/</h1><section id="viewer"><noscript>The viewer needs JavaScript.</noscript></section>
<script type="application/json" id="scene-data">{text}</script>
{"".join(elements)}
<script>{(VIEWER / "viewer.js").read_text()}</script></body></html>"""
    file.write_text(page, encoding="utf-8")
    return file


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
