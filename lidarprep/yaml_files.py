"""Read mappings from YAML files, or from JSON files, which are YAML too. Imports PyYAML: import it only to read one."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from lidarprep.errors import RecipeError


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: `frames: 1:5` is a slice, not the number 65 of base 60."""


_WHOLE_NUMBER = re.compile(r"^[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, _WHOLE_NUMBER if tag.endswith(":int") else pattern) for tag, pattern in resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: str | PathLike[str], what: str) -> dict[str, Any]:
    """Read a mapping from a YAML or JSON file; `what` names it in errors.

    Raises:
        RecipeError: The file is missing, is not YAML, or does not hold a mapping.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: {what} cannot be read: {error.strerror or error}") from error
    return parse_yaml(content, path, what)


def parse_yaml(content: bytes, path: str | PathLike[str], what: str) -> dict[str, Any]:
    """Read a mapping from the content of a YAML or JSON file; its path and `what` name it in errors.

    Raises:
        RecipeError: It is not YAML in UTF-8, or does not hold a mapping.
    """
    try:
        data = yaml.load(content.decode("utf-8"), _Loader)  # noqa: S506 (a SafeLoader)
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: {what} is not UTF-8: {error}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: {what} is not YAML: {error}") from error
    except RecipeError as error:
        raise RecipeError(f"{path}: {error.message}") from None
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: {what} is a mapping of names to values, not {type(data).__name__}")
    return {str(key): value for key, value in data.items()}
