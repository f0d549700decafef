"""One run: a scene's frames are prepared and stored, and the manifest says what became of them.

`preparation` tells the story, top to bottom. `settling` looks at the scene for what must be the same for all frames.
`frame_work` is what happens to each frame, in a thread or wherever an executor runs it; `delivery` is what becomes of
the frames when they come back in order: one attachment each, or one for all; `in_order` keeps their order and bounds
how many are under way; `destination` is where they go.
"""

from lidarprep.pipeline.delivery import Progress
from lidarprep.pipeline.preparation import NoProgress, Preparation, prepare

__all__ = ["NoProgress", "Preparation", "Progress", "prepare"]
