"""The tasks of the general reference: texts, pictures, recordings and calls, rather than sensor data.

They take `urgency` beside what every task type takes. Their tables list neither project, batch, priority, tags nor
unique_id; the newer reference has unique_id and clear_unique_id_on_error on "every task type", and shows tags on a
categorization, so they are taken here too.

A callback_url is not asked for, although the tables don't call it optional: the reference lets an account have a
default one, "used for tasks that do not specify one".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from lidarprep.api.parameters._base import Condition, TaskParameters, shown
from lidarprep.api.parameters._nested import Like, Nested
from lidarprep.api.parameters._values import AttachmentUrl, StringMap, Text, TextOrUrl

Urgency = Literal["immediate", "day", "week"]
AnyMedia = Literal["text", "image", "video", "audio", "website", "pdf"]

MOST_OBJECTS_TO_ANNOTATE = 6

Names = Annotated[Sequence[Text], Field(min_length=1)]


class GeneralTask(TaskParameters):
    """What the general tasks share."""

    urgency: Urgency | None = None
    """How soon: immediate (within an hour), day (the default) or week."""


class Categorization(GeneralTask):
    """A `categorization` task: which of some categories a thing belongs to. It is created at `/task/categorize`."""

    task_type: ClassVar[str] = "categorization"

    instruction: Text
    """How to categorise, in Markdown."""
    attachment_type: AnyMedia
    """What the attachment is."""
    attachment: TextOrUrl
    """The thing itself where attachment_type is text, else its URL."""
    categories: Names
    """What to choose from."""
    category_ids: StringMap | None = None
    """Your own ids of the categories: id to category."""
    allow_multiple: bool | None = None
    """Whether several may be chosen; false by default."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[Condition]:
        """Ids are those of categories."""
        ids, categories = given.get("category_ids"), given.get("categories")
        if isinstance(ids, Mapping) and isinstance(categories, (list, tuple)):
            known = {category for category in categories if isinstance(category, str)}
            strange = [value for value in ids.values() if isinstance(value, str) and value not in known]
            if strange:
                yield Condition(
                    "category_ids", f"category_ids names {shown(strange[0])}, which is not among the categories"
                )


class Transcription(GeneralTask):
    """A `transcription` task: fields read off a document."""

    task_type: ClassVar[str] = "transcription"

    instruction: Text
    """How to transcribe, in Markdown."""
    attachment_type: Literal["image", "pdf", "website"]
    """What the attachment is. The reference's table has image and pdf, its own example a website; text, which the
    attachment's row mentions, is in neither list."""
    attachment: TextOrUrl
    """Its URL."""
    fields: StringMap
    """What to transcribe: name to the description that people see."""


class Phonecall(GeneralTask):
    """A `phonecall` task: someone is called, and asked by a script."""

    task_type: ClassVar[str] = "phonecall"

    instruction: Text
    """How to go about the call, in Markdown."""
    phone_number: Text
    """Number to call. It should have its country code, "+1" for one; the reference's own example has none, so it is not
    checked."""
    script: Text
    """What to say."""
    entity_name: Text
    """Who is called. The reference's table types it as "name": a string."""
    attachment_type: AnyMedia | None = None
    """What the attachment is."""
    attachment: TextOrUrl | None = None
    """Something to look at during the call: text, or a URL."""
    fields: StringMap | None = None
    """What to note down: name to description."""
    choices: Names | None = None
    """What to choose from after the call."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[Condition]:
        """An attachment and its type come together: without it, a text can't be told from an address."""
        for name, other in (("attachment", "attachment_type"), ("attachment_type", "attachment")):
            if name in given and other not in given:
                yield Condition(
                    other, f"{other} is missing; {name} is given, and says nothing without it", unenforced=True
                )


class Comparison(GeneralTask):
    """A `comparison` task: how several things compare."""

    task_type: ClassVar[str] = "comparison"

    instruction: Text
    """How to compare, in Markdown."""
    attachment_type: AnyMedia
    """What the attachments are."""
    attachments: Annotated[Sequence[TextOrUrl], Field(min_length=1)]
    """The things: texts, or URLs."""
    fields: StringMap | None = None
    """What to note down: name to description; this or choices is required."""
    choices: Names | None = None
    """What to choose from; this or fields is required."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[Condition]:
        """There is something to answer."""
        if "fields" not in given and "choices" not in given:
            yield Condition("choices", "choices is missing; give choices, or fields, or both")


class AnnotationExample(Nested):
    """A right or a wrong example for an annotation task. The reference prints all of its keys, so no other is taken."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    correct: bool
    """Whether it shows how to do it."""
    image: AttachmentUrl
    """URL of the picture."""
    explanation: str | None = None
    """Why it is right or wrong."""


class Annotation(GeneralTask):
    """An `annotation` task: boxes around objects in a picture."""

    task_type: ClassVar[str] = "annotation"

    objects_to_annotate: Annotated[Sequence[Text], Field(min_length=1, max_length=MOST_OBJECTS_TO_ANNOTATE)]
    """What to draw boxes around, at most 6 kinds."""
    attachment: AttachmentUrl
    """URL of the picture."""
    attachment_type: Literal["image"] | None = None
    """Only pictures are taken."""
    with_labels: bool | None = None
    """Whether each box says which object it is; false by default."""
    examples: Sequence[Like[AnnotationExample]] | None = None
    """Right and wrong examples."""


class DataCollection(GeneralTask):
    """A `datacollection` task: something is looked up on the internet."""

    task_type: ClassVar[str] = "datacollection"

    instruction: Text
    """How to find it, in Markdown."""
    attachment_type: Literal["text", "image", "website"]
    """What the attachment is."""
    attachment: TextOrUrl
    """What it is about: text, or a URL."""
    fields: StringMap
    """What to find: name to description."""


class AudioTranscription(GeneralTask):
    """An `audiotranscription` task: speech as text."""

    task_type: ClassVar[str] = "audiotranscription"

    attachment: AttachmentUrl
    """URL of the recording."""
    attachment_type: Literal["audio"] | None = None
    """Only audio is taken."""
    verbatim: bool | None = None
    """Whether to write down "um" and "hm", too; false by default."""
