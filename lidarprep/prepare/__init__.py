"""One run: a scene's frames are processed and stored, and the manifest records what became of them.

`run` tells the story, top to bottom. `plan` says which frames are to be processed; `settings` estimates what must be
the same for all of them; `fingerprint` is what a frame's result depends on. `processing` runs frames side by side,
through an `ordered_map` within a memory budget. `process_frame` is how one frame becomes stored objects; `scene_file`
is the one attachment of a Sensor Fusion Scene. `manifest_builder` gathers the results; `disk_space` and `empty_result`
explain what goes wrong.
"""

from lidarprep.prepare.processing import NoProgress, Progress
from lidarprep.prepare.run import prepare

__all__ = ["NoProgress", "Progress", "prepare"]
