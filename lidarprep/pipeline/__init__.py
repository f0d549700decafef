"""One run: a scene's frames are prepared and stored, and the manifest says what became of them.

`preparation` tells the story, top to bottom. `plan` says which frames are prepared and what each is stored under;
`fingerprint` what the result depends on; `place` what stands at the destination already, and `resuming` what an
unfinished run has left there. `settling` looks at the scene for what must be the same for all frames. `frame_work` is
what happens to each frame, in a thread or wherever an executor runs it; `in_order` keeps their order and bounds how
many are under way; `delivery` is what becomes of the frames when they come back: one attachment each, or one for all;
`completion` records what is done, writes the manifest, and keeps what there is where a run is stopped. `destination`
is where they go.
"""

from lidarprep.pipeline.delivery import Progress
from lidarprep.pipeline.preparation import NoProgress, Preparation, prepare

__all__ = ["NoProgress", "Preparation", "Progress", "prepare"]
