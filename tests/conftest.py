"""What several rooms' tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Tests never reach AWS: what they store, they store at a server on loopback with credentials of no account.
os.environ.update(AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing", AWS_DEFAULT_REGION="us-east-1")
os.environ.pop("AWS_PROFILE", None)

# A script that starts the tests in the background lets them ignore it, and so would the programs that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So does nohup with a hang-up.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Every run draws the same examples, and none fails since the machine was busy. A fixture such as tmp_path is shared by
# all examples of a test, which the tests here take care of themselves.
settings.register_profile(
    "lidarprep",
    derandomize=True,
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("lidarprep")


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write bytes under a name, and say where."""

    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture(scope="session")
def recording() -> Path:
    """The real recording that tests try everything on; tests that want it are skipped where it is not."""
    return real_recording()


def real_recording() -> Path:
    """Where the real recording is; skips the test where it is not."""
    named = os.environ.get("LIDARPREP_RECORDING")
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "toolkit-scene"
    path = Path(named) if named else beside
    if not (path / "pointcloud").is_dir():
        pytest.skip(f"there is no recording at {path}; LIDARPREP_RECORDING names one in the toolkit layout")
    return path


@pytest.fixture
def without_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs check nothing: what they read and hold is then of the frames alone."""
    from lidarprep.prepare import checking

    monkeypatch.setattr(checking, "check_scene", lambda *_, **__: [])
