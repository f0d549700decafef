"""lidarprep turns lidar recordings into the attachments and tasks that Scale labels.

    import lidarprep as lp

    scene = lp.open_scene("recording/")
    manifest = lp.prepare(scene, lp.Recipe(device_height=1.8, format="protobuf"), "out/")

Importing this package is cheap: each name that __init__.pyi lists brings its module, and the libraries behind it, when
it is first used.
"""

from typing import Any

import lazy_loader

_public_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("lidarprep")
    return _public_name(name)
