"""The task that labels a whole scene in several stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from lidarprep.api.parameters.base import Condition, TaskParameters
from lidarprep.api.parameters.values import AttachmentUrls, Text, is_text, url_suffix

SFS = ".sfs"


class Multistage(TaskParameters):
    """A `multistage` task: full labelling of a scene, over annotation types and modalities."""

    task_type: ClassVar[str] = "multistage"

    attachments: AttachmentUrls
    """One URL of a Sensor Fusion Scene, or one URL a frame of Frame JSON."""
    scene_format: Literal["sensor_fusion", "split_base64"]
    """What the attachments are: sensor_fusion for a scene (.sfs), split_base64 for frames (.json)."""
    task_blueprint_id: Text | None = None
    """Blueprint to use; by default the project's most recent active one."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[Condition]:
        """A project, and attachments that are what scene_format says."""
        if "project" not in given and "batch" not in given:
            yield Condition("project", "project is missing; give project, or batch, which implies it")
        attachments = given.get("attachments")
        if not isinstance(attachments, (list, tuple)) or not all(isinstance(url, str) for url in attachments):
            return
        suffixes = [url_suffix(url) for url in attachments]
        if is_text(given.get("scene_format"), "sensor_fusion"):
            if len(attachments) > 1:
                problem = (
                    f"attachments has {len(attachments)} entries; scene_format 'sensor_fusion' takes one URL (.sfs)"
                )
                yield Condition("attachments", problem)
            elif suffixes and suffixes[0] not in (SFS, ""):
                problem = f"attachments has a {suffixes[0]} file; scene_format 'sensor_fusion' takes a scene (.sfs)"
                yield Condition("attachments", f"{problem}, 'split_base64' takes frames (.json)")
        elif is_text(given.get("scene_format"), "split_base64") and SFS in suffixes:
            problem = "attachments has a .sfs file; scene_format 'split_base64' takes frames (.json)"
            yield Condition("attachments", f"{problem}, 'sensor_fusion' takes a scene (.sfs)")
