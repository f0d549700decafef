"""A local Scale API over HTTP, to try and test without an account.

    with running_sandbox() as sandbox:
        task = ScaleClient("test_key", sandbox.url).create_multistage(…)

Each name is imported when it is first used.
"""

from typing import TYPE_CHECKING

import lazy_loader  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from lidarprep.sandbox._app import Sandbox as Sandbox
    from lidarprep.sandbox._app import create_app as create_app
    from lidarprep.sandbox._app import running_sandbox as running_sandbox
    from lidarprep.sandbox._app import serve as serve
    from lidarprep.sandbox._common import SandboxError as SandboxError
    from lidarprep.sandbox._faults import FAULT_KINDS as FAULT_KINDS
    from lidarprep.sandbox._faults import Faults as Faults
    from lidarprep.sandbox._http import read_json as read_json
    from lidarprep.sandbox._lifecycle import Lifecycle as Lifecycle
    from lidarprep.sandbox._lifecycle import SandboxOptions as SandboxOptions
    from lidarprep.sandbox._store import SandboxStore as SandboxStore

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_app": ["Sandbox", "create_app", "running_sandbox", "serve"],
        "_faults": ["FAULT_KINDS", "Faults"],
        "_lifecycle": ["Lifecycle", "SandboxOptions"],
        "_http": ["read_json"],
        "_common": ["SandboxError"],
        "_store": ["SandboxStore"],
    },
)
