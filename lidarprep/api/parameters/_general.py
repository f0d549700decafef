"""Parameters of the general tasks: texts, images, recordings and calls, rather than sensor data.

They take `urgency` beside the parameters of every task type. Their tables list neither project, batch, priority, tags
nor unique_id. The newer reference has unique_id and clear_unique_id_on_error on "every task type", and shows tags on a
categorization, so they are accepted here too.

A callback_url is not required, although the tables don't call it optional: the reference lets an account have a default
one, "used for tasks that do not specify one".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field

from lidarprep.api.parameters._base import TaskParameters, Unenforced, shown
from lidarprep.api.parameters._nested import Like, Nested
from lidarprep.api.parameters._values import AttachmentUrl, Strictness, StringMap, Text, TextOrUrl

Urgency = Literal["immediate", "day", "week"]
AnyMedia = Literal["text", "image", "video", "audio", "website", "pdf"]

MOST_OBJECTS_TO_ANNOTATE = 6

Names = Annotated[Sequence[Text], Field(min_length=1)]


class GeneralTask(TaskParameters):
    """Parameters of all general tasks."""

    urgency: Urgency | None = None
    """How soon: immediate (within an hour), day (the default) or week."""


class UntypedTask(TaskParameters):
    """A task of a type that has no model here: parameters beyond those of every task type are sent as they are."""

    task_type: ClassVar[str] = "any other type"

    @classmethod
    def from_wire(cls, body: Mapping[str, Any], strictness: Strictness) -> Self:
        """Read parameters; `extra_params` are some of them."""
        extra = body.get("extra_params")
        more = extra if isinstance(extra, Mapping) else {}
        return super().from_wire({k: v for k, v in body.items() if k != "extra_params"} | dict(more), strictness)


class Categorization(GeneralTask):
    """A `categorization` task: which category a thing belongs to. It is created at `/task/categorize`."""

    task_type: ClassVar[str] = "categorization"

    instruction: Text
    """How to categorise, in Markdown."""
    attachment_type: AnyMedia
    """Kind of the attachment."""
    attachment: TextOrUrl
    """The thing itself where attachment_type is text, else its URL."""
    categories: Names
    """Categories to choose from."""
    category_ids: StringMap | None = None
    """Your own ids of the categories: id to category."""
    allow_multiple: bool | None = None
    """Whether several may be chosen; false by default."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[str]:
        """Ids are those of categories."""
        ids, categories = given.get("category_ids"), given.get("categories")
        if isinstance(ids, Mapping) and isinstance(categories, (list, tuple)):
            known = {category for category in categories if isinstance(category, str)}
            strange = [value for value in ids.values() if isinstance(value, str) and value not in known]
            if strange:
                yield f"category_ids names {shown(strange[0])}, which is not among the categories"


class Transcription(GeneralTask):
    """A `transcription` task: fields read off a document."""

    task_type: ClassVar[str] = "transcription"

    instruction: Text
    """How to transcribe, in Markdown."""
    attachment_type: Literal["image", "pdf", "website"]
    """Kind of the attachment. The reference's table has image and pdf, its own example a website. Text, which the
    attachment's row mentions, is in neither."""
    attachment: TextOrUrl
    """Its URL."""
    fields: StringMap
    """Fields to transcribe: name to the description that people see."""


class Phonecall(GeneralTask):
    """A `phonecall` task: someone is called, and asked by a script."""

    task_type: ClassVar[str] = "phonecall"

    instruction: Text
    """How to go about the call, in Markdown."""
    phone_number: Text
    """Number to call, with its country code, such as "+1". The reference's own example has none, so it is not
    checked."""
    script: Text
    """Text to say."""
    entity_name: Text
    """Name of the person or company to call. The reference's table types it as "name": a string."""
    attachment_type: AnyMedia | None = None
    """Kind of the attachment."""
    attachment: TextOrUrl | None = None
    """Something to look at during the call: text, or a URL."""
    fields: StringMap | None = None
    """Fields to fill in: name to description."""
    choices: Names | None = None
    """Choices after the call."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[str]:
        """An attachment and its type come together: without it, a text can't be told from an address."""
        for name, other in (("attachment", "attachment_type"), ("attachment_type", "attachment")):
            if name in given and other not in given:
                yield Unenforced(f"{other} is missing; {name} is given, and says nothing without it")


class Comparison(GeneralTask):
    """A `comparison` task: how several things compare."""

    task_type: ClassVar[str] = "comparison"

    instruction: Text
    """How to compare, in Markdown."""
    attachment_type: AnyMedia
    """Kind of the attachments."""
    attachments: Annotated[Sequence[TextOrUrl], Field(min_length=1)]
    """The things: texts, or URLs."""
    fields: StringMap | None = None
    """Fields to fill in: name to description; this or choices is required."""
    choices: Names | None = None
    """Choices; this or fields is required."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[str]:
        """At least one question."""
        if "fields" not in given and "choices" not in given:
            yield "choices is missing; give choices, or fields, or both"


class AnnotationExample(Nested):
    """A right or a wrong example for an annotation task. The reference prints all of its keys, so no others pass."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    correct: bool
    """Whether it shows how to do it."""
    image: AttachmentUrl
    """URL of the image."""
    explanation: str | None = None
    """Why it is right or wrong."""


class Annotation(GeneralTask):
    """An `annotation` task: boxes around the objects of an image."""

    task_type: ClassVar[str] = "annotation"

    objects_to_annotate: Annotated[Sequence[Text], Field(min_length=1, max_length=MOST_OBJECTS_TO_ANNOTATE)]
    """Kinds of objects to draw boxes around, at most 6."""
    attachment: AttachmentUrl
    """URL of the image."""
    attachment_type: Literal["image"] | None = None
    """Only images are accepted."""
    with_labels: bool | None = None
    """Whether each box names its object; false by default."""
    examples: Sequence[Like[AnnotationExample]] | None = None
    """Right and wrong examples."""


class DataCollection(GeneralTask):
    """A `datacollection` task: something is looked up on the internet."""

    task_type: ClassVar[str] = "datacollection"

    instruction: Text
    """How to find it, in Markdown."""
    attachment_type: Literal["text", "image", "website"]
    """Kind of the attachment."""
    attachment: TextOrUrl
    """Subject: text, or a URL."""
    fields: StringMap
    """Fields to find: name to description."""


class AudioTranscription(GeneralTask):
    """An `audiotranscription` task: speech as text."""

    task_type: ClassVar[str] = "audiotranscription"

    attachment: AttachmentUrl
    """URL of the recording."""
    attachment_type: Literal["audio"] | None = None
    """Only audio is accepted."""
    verbatim: bool | None = None
    """Whether to write down "um" and "hm", too; false by default."""
