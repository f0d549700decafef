"""lidarprep turns lidar recordings into the attachments and tasks that Scale labels.

    import lidarprep as lp

    scene = lp.open_scene("recording/")
    manifest = lp.prepare(scene, lp.Recipe(device_height=1.8, format="protobuf"), "out/")

Importing this package is cheap: each name that __init__.pyi lists brings its module, and the libraries behind it, when
it is first used.
"""

import sys
from types import ModuleType
from typing import Any

import lazy_loader

_public_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("lidarprep")
    return _public_name(name)


class _Package(ModuleType):
    """The package, whose public functions are not hidden by the modules that they are named after.

    Importing `lidarprep.prepare` would set the attribute `prepare` to the module; `lidarprep.prepare` is the function.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in __all__):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
