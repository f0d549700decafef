"""`lidarprep whoami`."""

from __future__ import annotations

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import print_error, print_json, print_table


def command(api_url: o.ApiUrl = None, json: o.Json = False) -> None:
    """Show whether the API key is a test or a live one, and whether the API takes it. Never shows the key."""
    from lidarprep.api import ScaleClient

    with ScaleClient(api_url=api_url, retries=1) as client:
        found = client.whoami()
    mode = found.key_mode or "unknown"
    costs = "yes: add --live to submit" if found.costs_money else "no" if found.key_mode else "not known"
    rows = [("API", found.api_url), ("key", mode), ("tasks cost money", costs)]
    rows.append(("answers", "no" if found.problem else "yes"))
    if found.total_tasks is not None:
        rows.append(("tasks", f"{found.total_tasks:,}"))
    print_table("who am I", ("", "is"), rows)
    if json:
        print_json(
            {
                "api_url": found.api_url,
                "key_mode": found.key_mode,
                "costs_money": found.costs_money,
                "answers": found.problem is None,
                "total_tasks": found.total_tasks,
                "problem": found.problem.message if found.problem else None,
            }
        )
    if found.problem:
        print_error(str(found.problem))
        raise typer.Exit(found.problem.exit_code)
