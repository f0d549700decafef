"""`lidarprep layouts`."""

from __future__ import annotations

from lidarprep.cli.console import print_json, print_table
from lidarprep.cli.options import Json


def command(json: Json = False) -> None:
    """List the layouts of recordings that can be opened, in the order in which they are tried."""
    from lidarprep.datasets import known_layouts

    layouts = known_layouts()
    if json:
        print_json({name: layout.LOOKS_LIKE for name, layout in layouts.items()})
    else:
        print_table(
            "layouts", ("layout", "looks like"), [(name, layout.LOOKS_LIKE) for name, layout in layouts.items()]
        )
