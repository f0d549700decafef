"""Types of parameter values.

A value that breaks its rule raises `broken(rule)`, a sentence that continues "labels is 3: it …".
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from numbers import Integral, Real
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from lidarprep._json import is_too_deep
from lidarprep.api._access import is_loopback, is_private, url_parts
from lidarprep.scene.region import RegionOfInterest3D

MAX_TAGS = 5
# The reference says "10KB": here 10 × 1024 bytes of compact UTF-8 JSON, so that nothing the service takes is refused.
MAX_METADATA_BYTES = 10 * 1024

# Levels of objects and lists in a value: parsers and serialisers recurse, and give up at some hundreds.
MAX_JSON_DEPTH = 100

# Beyond it, JSON parsers whose numbers are floats confuse neighbours.
LARGEST = 2**53 - 1

BROKEN_RULE = "broken_rule"


@dataclass(frozen=True)
class Strictness:
    """Abilities of the server, and the rules that it enforces.

    Args:
        local_files: It runs on this machine, so that it can read its files and loopback addresses.
        private_addresses: It runs in a private network, so that it can reach addresses there.
        unenforced_rules: Also check rules of the reference's prose that its own request examples break, so that the
            service can't enforce them. The client checks them, to prevent tasks that fail later; the sandbox does not.
    """

    local_files: bool = False
    private_addresses: bool = False
    unenforced_rules: bool = True

    @classmethod
    def of(cls, info: ValidationInfo) -> Strictness:
        """Return the validation's context; the strictest by default."""
        return info.context if isinstance(info.context, Strictness) else cls()


def broken(rule: str) -> PydanticCustomError:
    """Build the error of a value that breaks its rule."""
    # The rule is passed as a value and not as the template: a template's braces are placeholders.
    return PydanticCustomError(BROKEN_RULE, "{rule}", {"rule": rule})


def nearest(name: str, names: Collection[str]) -> str:
    """Suggest a similar name: " (did you mean labels?)", or nothing."""
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def is_text(value: Any, text: str) -> bool:
    """Whether an unchecked value is that text; an array would compare element by element."""
    return isinstance(value, str) and value == text


def _whole(value: Any) -> Any:
    """Convert 5.0 and NumPy's integers; the strict check refuses the rest."""
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, Integral) else value


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise broken("must be a number")
    try:
        number = int(value) if isinstance(value, Integral) else float(value)
        finite = isfinite(number)
    except OverflowError:  # an integer, or a fraction, beyond all floats
        finite = False
    if not finite:
        raise broken("must be a finite number")
    return number


Number = Annotated[int | float, PlainValidator(_number)]
Count = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=LARGEST)]
Index = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=LARGEST)]
Text = Annotated[str, Field(min_length=1)]
Tags = Annotated[Sequence[Text], Field(max_length=MAX_TAGS)]
Priority = Annotated[Literal[10, 20, 30], BeforeValidator(_whole)]


def json_object(value: Any) -> dict[str, Any]:
    """Copy an object of JSON values, so that the caller can't change it later.

    Raises:
        PydanticCustomError: It is not an object, or holds a value that JSON does not have.
    """
    if not isinstance(value, Mapping):
        raise broken("must be an object of key/value pairs")
    try:
        copy: dict[str, Any] | None = json.loads(json.dumps(dict(value), allow_nan=False, default=_as_json))
    except RecursionError:
        copy = None
    except (TypeError, ValueError) as cause:
        raise broken(f"must be made of JSON values only ({cause})") from None
    # The value itself is no level of what it holds.
    if copy is None or is_too_deep(copy, MAX_JSON_DEPTH + 1):
        raise broken(f"must be nested at most {MAX_JSON_DEPTH} deep")
    return copy


def _as_json(value: Any) -> Any:
    """Convert our own models, mappings and NumPy's numbers for the json module."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Real):
        return int(value) if isinstance(value, Integral) else float(value)
    raise TypeError(f"a value of type {type(value).__name__} is not one")


def _metadata(value: Any) -> dict[str, Any]:
    metadata = json_object(value)
    size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    if size > MAX_METADATA_BYTES:
        raise broken(f"takes {size} bytes as JSON; at most {MAX_METADATA_BYTES} are allowed")
    return metadata


def _string_map(value: Any) -> dict[str, str]:
    found = json_object(value)
    if not found or not all(name and isinstance(text, str) and text for name, text in found.items()):
        raise broken("must be an object of names to texts, none of them empty")
    return found


def _objects(value: Any) -> dict[str, Any] | list[dict[str, Any]]:
    return [json_object(part) for part in value] if isinstance(value, (list, tuple)) else json_object(value)


OneOrMoreObjects = Annotated[Mapping[str, Any] | Sequence[Mapping[str, Any]], PlainValidator(_objects)]
StringMap = Annotated[Mapping[str, str], PlainValidator(_string_map)]
JsonObject = Annotated[Mapping[str, Any], PlainValidator(json_object)]
Metadata = Annotated[Mapping[str, Any], PlainValidator(_metadata)]


def _region(value: Any, info: ValidationInfo) -> dict[str, Any]:
    """Check a region; what it holds beyond the fields that are assumed passes, since the reference prints none."""
    region = json_object(value.to_api() if isinstance(value, RegionOfInterest3D) else value)
    if not Strictness.of(info).unenforced_rules:
        return region
    position = region.get("position")
    if not isinstance(position, Mapping):
        raise broken("must have a position {x, y, z}, the centre of the rectangle")
    for name in ("x", "y", "z"):
        if not _is_number(position.get(name, 0.0 if name == "z" else None)):
            raise broken(f"has a position whose {name} is not a number")
    for name in ("length", "width"):
        if name in region and not (_is_number(region[name]) and region[name] > 0):
            raise broken(f"has a {name} that is not a number above 0, metres")
    if not _is_number(region.get("rotation", 0.0)):
        raise broken("has a rotation that is not a number, radians")
    return region


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


REGION_FIELDS = ("position", "length", "width", "rotation")


Region3D = Annotated[RegionOfInterest3D | Mapping[str, Any], PlainValidator(_region)]


def url_suffix(url: str) -> str:
    """Suffix of the file name in a URL, such as ".sfs"; the query is ignored."""
    try:
        return PurePosixPath(urlsplit(url).path).suffix.lower()
    except ValueError:
        return ""  # not a URL: checked elsewhere


def _attachment_url(url: str, info: ValidationInfo) -> str:
    return _checked_url(url, info, "must name a host or bucket, and a file on it", needs_path=True)


def _text_or_url(value: str, info: ValidationInfo) -> str:
    """Check an attachment by its attachment_type: text is the thing itself, other kinds are URLs."""
    kind = info.data.get("attachment_type", "text")  # text also where the kind is wrong: that is reported already
    if kind in ("text", None):
        return value
    # A website does not need a path.
    return _checked_url(value, info, f"must be a URL, as attachment_type is {kind!r}", needs_path=kind != "website")


def _checked_url(url: str, info: ValidationInfo, rule: str, *, needs_path: bool) -> str:
    local_files = Strictness.of(info).local_files
    try:
        parts = urlsplit(url)
    except ValueError:
        raise broken("must be a URL") from None
    _require_plain(url, parts.netloc)
    on_web = parts.scheme in ("http", "https")
    on_this_machine = parts.scheme in ("", "file") or (on_web and is_loopback(url))
    if (on_this_machine and not local_files) or (on_web and _is_beyond_reach(url, info)):
        where = "this machine" if on_this_machine else "a private network"
        raise broken(
            f"must be an address that Scale can reach: it can't fetch files from {where}"
            " (prepare with --out s3://…, or with --url-base where the files are served)"
        )
    if parts.scheme in ("http", "https", "s3", "gs", "scaledata"):
        if not parts.netloc or (needs_path and not parts.path.strip("/")):
            raise broken(rule)
    elif not on_this_machine:
        raise broken("must begin with https://, http://, s3://, gs:// or scaledata://")
    return url


def _require_plain(url: str, netloc: str) -> None:
    """Refuse control characters, which urlsplit drops, and spaces in a host."""
    if any(letter < " " or letter == "\x7f" for letter in url) or any(letter.isspace() for letter in netloc):
        raise broken("must not hold line breaks, other control characters, or a space in its host")


def _is_beyond_reach(url: str, info: ValidationInfo) -> bool:
    """Whether a server on the internet can't reach an address, and ours is one."""
    server = Strictness.of(info)
    if server.local_files:
        return False
    return is_loopback(url) or (is_private(url) and not server.private_addresses)


AttachmentType = Literal["json", "protobuf"]
AttachmentUrl = Annotated[Text, AfterValidator(_attachment_url)]
TextOrUrl = Annotated[Text, AfterValidator(_text_or_url)]
AttachmentUrls = Annotated[Sequence[AttachmentUrl], Field(min_length=1)]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


OneOrMoreUrls = Annotated[Sequence[AttachmentUrl], BeforeValidator(_as_list), Field(min_length=1)]
# The other way of making the task is given: an empty list says the same as none.
UrlsOrNone = Annotated[Sequence[AttachmentUrl], BeforeValidator(_as_list)]


def _callback_url(url: str, info: ValidationInfo) -> str:
    # The reference accepts an e-mail address too.
    name, _, domain = url.partition("@")
    if name and domain and not any(c.isspace() or c in ":/@" for c in name + domain):
        return url
    parts = url_parts(url)
    is_plain = not any(letter.isspace() or letter < " " or letter == "\x7f" for letter in url)
    if not is_plain or parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise broken("must be a full URL that begins with https:// or http://, or an e-mail address")
    if _is_beyond_reach(url, info):
        raise broken("must be an address that Scale can reach: the result would be posted nowhere")
    return url


CallbackUrl = Annotated[Text, AfterValidator(_callback_url)]
