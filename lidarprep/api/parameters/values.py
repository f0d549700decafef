"""The kinds of value that task parameters are made of.

A value that breaks its rule raises `broken(rule)`, a sentence that goes on from "labels is 3; it …".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from lidarprep.api.address import is_loopback
from lidarprep.scene.region import RegionOfInterest3D

MAX_LABELS = 50
MAX_TAGS = 5
# The reference says "10KB". Read as 10 × 1024 bytes of compact UTF-8 JSON: nothing that the service takes is refused.
MAX_METADATA_BYTES = 10 * 1024

BROKEN_RULE = "broken_rule"


@dataclass(frozen=True)
class Strictness:
    """What the server that the parameters are for can do and enforces.

    Args:
        local_files: It runs on this machine, so that it can read files and loopback addresses of it.
        unenforced_rules: Check also what the reference asks for in prose while its own request examples leave it out,
            so that the service can't be enforcing it. The client checks those, to spare people a task that goes wrong
            later; the sandbox does not.
    """

    local_files: bool = False
    unenforced_rules: bool = True

    @classmethod
    def of(cls, info: ValidationInfo) -> Strictness:
        """The one that validation was called with; the strictest where it was called with none."""
        return info.context if isinstance(info.context, Strictness) else cls()


def broken(rule: str) -> PydanticCustomError:
    """The error for a value that breaks its rule."""
    # The rule is passed as a value and not as the template: a template's braces are placeholders.
    return PydanticCustomError(BROKEN_RULE, "{rule}", {"rule": rule})


def _whole(value: Any) -> Any:
    """Takes 5.0 for 5, and NumPy's integers for Python's; leaves the rest for the strict check to refuse."""
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, Integral) else value


Count = Annotated[int, BeforeValidator(_whole), Field(ge=1)]
Index = Annotated[int, BeforeValidator(_whole), Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]
Tags = Annotated[Sequence[Text], Field(max_length=MAX_TAGS)]
Priority = Annotated[Literal[10, 20, 30], BeforeValidator(_whole)]


def _json_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise broken("must be an object of key/value pairs")
    try:
        # Through text and back: a copy that is JSON for certain, and that the caller can't change any more.
        copy: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as cause:
        raise broken(f"must be made of JSON values only ({cause})") from None
    return copy


def _metadata(value: Any) -> dict[str, Any]:
    metadata = _json_object(value)
    size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    if size > MAX_METADATA_BYTES:
        raise broken(f"takes {size} bytes as JSON; at most {MAX_METADATA_BYTES} are allowed")
    return metadata


JsonObject = Annotated[Mapping[str, Any], PlainValidator(_json_object)]
Metadata = Annotated[Mapping[str, Any], PlainValidator(_metadata)]


def _region(value: Any) -> dict[str, Any]:
    return _json_object(value.to_api() if isinstance(value, RegionOfInterest3D) else value)


Region3D = Annotated[RegionOfInterest3D | Mapping[str, Any], PlainValidator(_region)]


class Label(BaseModel):
    """A label with options; a plain string is a label without any.

    The reference keeps the whole list of options on a page of its own, so keys that are not known here pass through.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    choice: Text
    """The label's name."""
    subchoices: Sequence[LabelLike] | None = None
    """Labels that refine this one, once it is chosen."""
    instance_label: bool | None = None
    """Segmentation: tell the objects of this label apart."""
    groups: Sequence[Text] | None = None
    """Groups that this label, and its subchoices with it, belong to."""


def _label(value: Any) -> str | Label:
    if isinstance(value, Label):
        return value
    if isinstance(value, Mapping):
        return Label.model_validate(_json_object(value))
    if isinstance(value, str) and value:
        return value
    raise broken("must be a non-empty string, or an object with a choice")


LabelLike = Annotated[str | Label | Mapping[str, Any], PlainValidator(_label)]
Labels = Annotated[Sequence[LabelLike], Field(min_length=1, max_length=MAX_LABELS)]
Label.model_rebuild()


def url_suffix(url: str) -> str:
    """How the file name in a URL ends: ".sfs"; the query, where signatures live, doesn't count."""
    try:
        return PurePosixPath(urlsplit(url).path).suffix.lower()
    except ValueError:
        return ""  # no URL at all: not for this function to say


def _attachment_url(url: str, info: ValidationInfo) -> str:
    local_files = Strictness.of(info).local_files
    try:
        parts = urlsplit(url)
    except ValueError:
        raise broken("must be a URL") from None
    on_this_machine = parts.scheme in ("", "file") or (parts.scheme in ("http", "https") and is_loopback(url))
    if on_this_machine and not local_files:
        raise broken(
            "must be an address that Scale can reach: it can't fetch files from this machine"
            " (prepare with --out s3://…, or with --url-base where the files are served)"
        )
    if parts.scheme in ("http", "https", "s3", "gs"):
        if not parts.netloc or not parts.path.strip("/"):
            raise broken("must name a host or bucket, and a file on it")
    elif not on_this_machine:
        raise broken("must begin with https://, http://, s3:// or gs://")
    return url


AttachmentUrl = Annotated[Text, AfterValidator(_attachment_url)]
AttachmentUrls = Annotated[Sequence[AttachmentUrl], Field(min_length=1)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


OneOrMoreUrls = Annotated[Sequence[AttachmentUrl], BeforeValidator(_listed), Field(min_length=1)]


def _callback_url(url: str) -> str:
    # The reference takes an e-mail address in place of the URL.
    name, _, domain = url.partition("@")
    if name and domain and not any(c.isspace() or c in ":/@" for c in name + domain):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise broken("must be a full URL that begins with https:// or http://, or an e-mail address")
    return url


CallbackUrl = Annotated[Text, AfterValidator(_callback_url)]
