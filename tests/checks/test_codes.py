"""The codes of findings: every one that the package gives is explained, and the docs have the explanations."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from lidarprep.checks.codes import CODES, as_markdown
from lidarprep.cli import main

ROOT = Path(__file__).parents[2]


def _given() -> set[str]:
    """The first argument of every `Finding(…)` of the package, as far as it is a text."""
    codes = set()
    for path in (ROOT / "lidarprep").rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "Finding(" in text else ():
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding" and node.args:
                codes |= _texts(node.args[0])
    return codes


def _texts(node: ast.expr) -> set[str]:
    if isinstance(node, ast.IfExp):
        return _texts(node.body) | _texts(node.orelse)
    if isinstance(node, ast.Constant):
        return {str(node.value)}
    if isinstance(node, ast.JoinedStr):  # f"points-in-{other}"
        return {f"points-in-{other}" for other in ("ego", "world")}
    raise AssertionError(f"write the code of a finding where it is made: {ast.unparse(node)}")


def test_every_code_is_explained_and_every_explanation_is_of_a_code() -> None:
    assert set(CODES) == _given()


def test_the_docs_have_every_code() -> None:
    assert (ROOT / "docs/findings.md").read_text() == as_markdown(), "run python -m lidarprep.checks.codes"


def test_the_command_explains_one_and_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    for words, part in ((["findings"], "device-jumps"), (["findings", "device-jumps"], CODES["device-jumps"].example)):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert not ended.value.code
        assert part in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["findings", "device-jump"])
    assert ended.value.code == 2
    assert "Did you mean device-jumps?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["findings", "device-jumps", "--json"])
    assert json.loads(capsys.readouterr().out)["device-jumps"]["severity"] == CODES["device-jumps"].severity
