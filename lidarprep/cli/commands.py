"""The commands by their names; a command's module is imported when it is named, or when help lists all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperGroup

# In the order of the help. Each is a module of this package, which has a `command`, or an `app` of several.
_NAMES = (
    "demo",
    "sample",
    "inspect",
    "layouts",
    "prepare",
    "verify",
    "prune",
    "convert",
    "submit",
    "run",
    "whoami",
    "warm-up",
    "tasks",
    "sandbox",
    "callbacks",
)


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = cast(Any, _ByName())


class _ByName(Mapping[str, Any]):
    """Commands by name, as Typer makes them of a module's functions."""

    def __getitem__(self, name: str) -> Any:
        if name not in _NAMES:
            raise KeyError(name)
        return _command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


@cache
def _command(name: str) -> Any:
    module = import_module(f"lidarprep.cli.{name.replace('-', '_')}")
    alone = typer.Typer(add_completion=False)
    if hasattr(module, "app"):
        alone.add_typer(module.app, name=name)
    else:
        alone.command(name)(module.command)
    return typer.main.get_group(alone).commands[name]
