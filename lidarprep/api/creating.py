"""The create methods of both clients, one a task type. What they raise is what `create_task` does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from lidarprep.api.keywords import keywords_of
from lidarprep.api.parameters import (
    Annotation,
    AudioTranscription,
    Categorization,
    Comparison,
    DataCollection,
    LidarAnnotation,
    LidarLinking,
    LidarSegmentation,
    LidarTopdown,
    Multistage,
    Phonecall,
    Transcription,
)

TaskResult = TypeVar("TaskResult")


class CreateMethods(ABC, Generic[TaskResult]):
    """A method for each task type, which takes the parameters of its model by name."""

    @abstractmethod
    def create_task(
        self, task_type: str, parameters: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> TaskResult:
        """Creates a task of any type."""

    @keywords_of(LidarAnnotation)
    def create_lidar_annotation(self, parameters: Mapping[str, Any]) -> TaskResult:
        """Creates a lidarannotation task: cuboids over the frames of a scene. Parameters: see LidarAnnotation."""
        return self.create_task(LidarAnnotation.task_type, parameters)

    @keywords_of(LidarSegmentation)
    def create_lidar_segmentation(self, parameters: Mapping[str, Any]) -> TaskResult:
        """Creates a lidarsegmentation task: a class for every point. Parameters: see LidarSegmentation."""
        return self.create_task(LidarSegmentation.task_type, parameters)

    @keywords_of(LidarTopdown)
    def create_lidar_topdown(self, parameters: Mapping[str, Any]) -> TaskResult:
        """Creates a lidartopdown task: shapes drawn from above. Parameters: see LidarTopdown."""
        return self.create_task(LidarTopdown.task_type, parameters)

    @keywords_of(LidarLinking)
    def create_lidar_linking(self, parameters: Mapping[str, Any]) -> TaskResult:
        """Creates a lidarlinking task: cuboids linked to camera images. Parameters: see LidarLinking."""
        return self.create_task(LidarLinking.task_type, parameters)

    @keywords_of(Multistage)
    def create_multistage(self, parameters: Mapping[str, Any]) -> TaskResult:
        """Creates a multistage task: a whole scene, in several stages. Parameters: see Multistage."""
        return self.create_task(Multistage.task_type, parameters)

    @keywords_of(Categorization)
    def create_categorization(self, parameters: Mapping[str, Any]) -> TaskResult:
        """Creates a categorization task: which category a thing belongs to. Parameters: see Categorization."""
        return self.create_task(Categorization.task_type, parameters)

    @keywords_of(Transcription)
    def create_transcription(self, parameters: Mapping[str, Any]) -> TaskResult:
        """Creates a transcription task: what is written on a thing. Parameters: see Transcription."""
        return self.create_task(Transcription.task_type, parameters)

    @keywords_of(Phonecall)
    def create_phonecall(self, parameters: Mapping[str, Any]) -> TaskResult:
        """Creates a phonecall task: somebody is called and asked. Parameters: see Phonecall."""
        return self.create_task(Phonecall.task_type, parameters)

    @keywords_of(Comparison)
    def create_comparison(self, parameters: Mapping[str, Any]) -> TaskResult:
        """Creates a comparison task: things compared with one another. Parameters: see Comparison."""
        return self.create_task(Comparison.task_type, parameters)

    @keywords_of(Annotation)
    def create_annotation(self, parameters: Mapping[str, Any]) -> TaskResult:
        """Creates an annotation task: boxes around the objects of a picture. Parameters: see Annotation."""
        return self.create_task(Annotation.task_type, parameters)

    @keywords_of(DataCollection)
    def create_data_collection(self, parameters: Mapping[str, Any]) -> TaskResult:
        """Creates a datacollection task: facts looked up about a thing. Parameters: see DataCollection."""
        return self.create_task(DataCollection.task_type, parameters)

    @keywords_of(AudioTranscription)
    def create_audio_transcription(self, parameters: Mapping[str, Any]) -> TaskResult:
        """Creates an audiotranscription task: what is said in a recording. Parameters: see AudioTranscription."""
        return self.create_task(AudioTranscription.task_type, parameters)
