"""One run: a scene's frames are prepared and stored, and the manifest says what became of them.

`preparation` tells the story, top to bottom. `plan` says which frames are prepared and what each is stored under;
`fingerprint` what the result depends on; `place` what stands at the destination already, and `resuming` what an
unfinished run has left there, in a journal of `records`. `settling` looks at the scene for what must be the same for
all frames. `frame_work` is how each frame is prepared, in a thread or wherever an executor does it, and `storing` how
it is stored as an attachment of its own; or it comes back to be written to a `whole_scene`, whose frames `keeping`
records as they get to the disk. `flow` is through which threads they go: `in_order` gives them in their order, and
`in_flight` says when there is room for another. `delivery` gathers what became of them. `completion` does what is
missing, writes the manifest, and keeps what there is where a run is stopped. `destination` is where they go, and
`life_sign` says to whoever works on a frame whether its run goes on.
"""

from lidarprep.pipeline.delivery import Progress
from lidarprep.pipeline.preparation import NoProgress, Preparation, prepare

__all__ = ["NoProgress", "Preparation", "Progress", "prepare"]
