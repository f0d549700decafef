"""README.md and docs/: the main examples run as printed, links lead somewhere, and shown options exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import typer
from moto.server import ThreadedMotoServer

import lidarprep as lp
from lidarprep.cli import app
from lidarprep.sandbox import Sandbox, SandboxOptions, running_sandbox

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, ROOT / "CHANGELOG.md", *DOCS]
FRAMES = 3


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def main_job(language: str) -> str:
    """The first example below "The main job"."""
    return blocks(README.read_text().partition("\n## The main job\n")[2], language)[0]


# The main job


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a generated recording named `recording`, as the examples name it."""
    folder = tmp_path_factory.mktemp("street")
    lp.write_sample(folder / "recording", frames=FRAMES)
    return folder


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server with a bucket named `bucket`, as the examples name it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client: Any = boto3.client("s3", endpoint_url=url)
    client.create_bucket(Bucket="bucket")
    yield url
    server.stop()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox(options=SandboxOptions(complete_after_s=0.1)) as sandbox:
        yield sandbox


@pytest.fixture
def environment(s3: str, sandbox: Sandbox) -> dict[str, str]:
    """The environment of a user whose S3 and Scale API are servers on loopback."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {
        "PATH": tools,
        "AWS_ENDPOINT_URL": s3,
        "SCALE_API_URL": sandbox.url,
        "SCALE_API_KEY": "test_from_environment",
    }


def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def only_task(sandbox: Sandbox) -> dict[str, Any]:
    """Type, parameters and the rest of the only task that the sandbox has."""
    (task,) = sandbox.store.page(limit=10).tasks
    assert task["type"] == "lidarannotation"
    assert task["callback_url"] == "https://example.com/callback"
    assert task["project"] == "street"
    assert str(task["unique_id"]).startswith("auto-")
    return dict(task["params"])


def stored(s3: str, urls: list[str]) -> list[int]:
    """Sizes of the objects at s3:// URLs."""
    client: Any = boto3.client("s3", endpoint_url=s3)
    places = [url.removeprefix("s3://").split("/", 1) for url in urls]
    return [client.head_object(Bucket=bucket, Key=key)["ContentLength"] for bucket, key in places]


def test_the_commands_of_the_main_job_make_one_task(
    street: Path, s3: str, sandbox: Sandbox, environment: dict[str, str]
) -> None:
    script = ["bash", "-euo", "pipefail", "-c", main_job("sh")]
    for _ in range(2):  # the second time everything exists
        run(script, street, environment)
        parameters = only_task(sandbox)
    assert parameters["labels"] == ["car", "pedestrian"]
    assert parameters["labeling_sample_rate"] == 2
    assert parameters["attachment_type"] == "protobuf"
    assert len(parameters["attachments"]) == FRAMES
    assert all(size > 0 for size in stored(s3, parameters["attachments"]))


def test_the_program_of_the_main_job_makes_one_task(
    street: Path, s3: str, sandbox: Sandbox, environment: dict[str, str]
) -> None:
    for _ in range(2):
        run([sys.executable, "-c", main_job("python")], street, environment)
        parameters = only_task(sandbox)
    assert parameters["labels"] == ["car"]
    assert parameters["labeling_sample_rate"] == 2
    assert parameters["attachment_type"] == "protobuf"
    assert len(parameters["attachments"]) == FRAMES
    assert all(size > 0 for size in stored(s3, parameters["attachments"]))


def test_the_commands_for_a_fleet_make_a_finalized_batch(
    street: Path, sandbox: Sandbox, environment: dict[str, str]
) -> None:
    drives = street / "drives"
    for number in range(3):
        shutil.copytree(street / "recording", drives / f"drive-{number}")
    script = blocks(README.read_text().partition("\n## A fleet\n")[2], "sh")[0]
    run(["bash", "-euo", "pipefail", "-c", script], street, environment)
    tasks = sandbox.store.page(limit=10).tasks
    with lp.ScaleClient(api_key="test_from_environment", api_url=sandbox.url) as client:
        batches = client.list_batches().batches
    assert len(tasks) == 3
    assert {task["batch"] for task in tasks} == {batch.name for batch in batches}
    assert [batch.status == "staging" for batch in batches] == [False]  # it is finalized
    assert sorted(path.name for path in (street / "labels").iterdir()) == ["drive-0", "drive-1", "drive-2"]


# The pages


def test_the_front_page_has_at_most_200_lines() -> None:
    assert len(README.read_text().splitlines()) <= 200


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)\s]*)\)", page.read_text())
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_every_page_is_linked_from_the_front_page() -> None:
    text = README.read_text()
    assert [page.name for page in DOCS if f"](docs/{page.name})" not in text] == []


def test_the_architecture_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = [path.parent.name for path in (ROOT / "lidarprep").glob("*/__init__.py")]
    assert [room for room in rooms if f"  {room}/ " not in text] == []


def shown_code(page: Path) -> Iterator[str]:
    """Logical lines of shell blocks and of indented blocks, and the code in the text."""
    text = page.read_text().replace("\\|", "|")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = "\n".join(re.findall(r"^    (.*)$", prose, flags=re.MULTILINE))
    for block in [*blocks(text, "sh"), indented]:
        yield from re.sub(r"\\\n|\n +", " ", block).splitlines()
    yield from re.findall(r"`([^`\n]+)`", prose)


def commands(page: Path) -> Iterator[str]:
    """What is shown after `lidarprep`, a command each."""
    for line in shown_code(page):
        for command in re.split(r" [&|] | #", f"{line} "):
            found = re.search(r"(?:^|\s)lidarprep ([a-z-].*)", command)
            if found:
                yield found.group(1)


def options_of(command: Any) -> set[str]:
    """The names of a command's options, and those that every command has."""
    names = {name for option in command.params for name in [*option.opts, *option.secondary_opts]}
    return names | {"--help", "--debug"}


def resolve(words: list[str]) -> Any:
    """The command that words begin with, however many of them name it."""
    command: Any = typer.main.get_command(app)
    for word in words:
        if not hasattr(command, "commands"):
            break
        if word not in command.commands and (default := getattr(command, "default_command", None)):
            return command.get_command(None, default)
        if word not in command.commands:
            assert word.startswith(("-", "…", "COMMAND")), f"there is no command {word!r}"
            break
        command = command.get_command(None, word)
    return command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_are_shown_exist_with_their_options(page: Path) -> None:
    for shown in commands(page):
        command = resolve(re.sub(r"[\[\]|]", " ", shown).split())
        unknown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", shown)) - options_of(command)
        assert not unknown, f"lidarprep {shown}: {', '.join(sorted(unknown))}"


def leaves(command: Any) -> Iterator[Any]:
    """A command and all commands below it."""
    yield command
    for name in getattr(command, "commands", ()):
        yield from leaves(command.get_command(None, name))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_are_named_alone_exist_in_some_command(page: Path) -> None:
    known = {"--all", "--fix", "--other"}  # of scripts/ and benchmarks/
    known |= set().union(*map(options_of, leaves(typer.main.get_command(app))))
    named = {word for code in shown_code(page) if code.startswith("--") for word in re.findall(r"^--[a-z-]+", code)}
    assert named <= known, sorted(named - known)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_programs_that_are_shown_compile(page: Path) -> None:
    for program in blocks(page.read_text(), "python"):
        compile(program, page.name, "exec")
