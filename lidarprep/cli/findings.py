"""`lidarprep findings [CODE]`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import print_json, print_table


def command(
    code: Annotated[str | None, typer.Argument(help="The code of a finding; all where it is left out.")] = None,
    json: o.Json = False,
) -> None:
    """Explain the findings of the checks: what each means, how it is measured, what to do."""
    from lidarprep.checks.codes import CODES, require_known

    if code is not None:
        require_known((code,))
    chosen = CODES if code is None else {code: CODES[code]}
    if json:
        print_json({name: asdict(one) for name, one in chosen.items()})
    elif code is None:
        rows = [(name, one.severity, one.meaning) for name, one in CODES.items()]
        print_table("findings", ("code", "severity", "what it means"), rows, stderr=False)
    else:
        one = CODES[code]
        typer.echo(f"{code} ({one.severity})\n\n{one.meaning}\n")
        typer.echo(f"How it is measured: {one.measured}\n\nWhat to do: {one.cure}\n\nWhat it looks like: {one.example}")
