from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.checks.faults import write_sound


@pytest.fixture(scope="session")
def generated_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sound(tmp_path_factory.mktemp("sound") / "recording")


@pytest.fixture
def sound(generated_once: Path, tmp_path: Path) -> Path:
    """A sound recording of one's own, to plant a fault into."""
    return Path(shutil.copytree(generated_once, tmp_path / "recording"))
