"""The rule for live keys: what costs money is only done when that was said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lidarprep.errors import ParameterError

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient

Live = Annotated[bool, typer.Option("--live", help="Submit with a live key: people do the task, and it costs money.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask for nothing; a live key is used as if with --live.")]


def require_said(client: ScaleClient, *, live: bool, yes: bool) -> None:
    """Sees that a live key is meant, before anything is made of it.

    The same at a terminal and in a pipe or CI, so that a script which was tried with a test key does not come to cost
    money by a change of its environment alone.

    Raises:
        ParameterError: The key is a live one, and neither flag was given.
    """
    if client.requires_confirmation and not (live or yes):
        raise ParameterError(
            f"the API key is a live one: people do the task at {client.api_url}, and it costs money",
            fix="Add --live (or --yes) if that is meant. Tasks of a test key cost nothing.",
        )
