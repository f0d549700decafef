"""A sandbox over real HTTP."""

from collections.abc import Iterator

import httpx
import pytest

from lidarprep.sandbox import Sandbox, running_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """Plain HTTP to the sandbox, as any other client of the API would speak it."""
    with httpx.Client(base_url=sandbox.url, auth=("test_key", ""), trust_env=False) as http:
        yield http
