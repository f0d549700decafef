"""Methods that take the parameters of a model as their keyword arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

from lidarprep.api.parameters import TaskParameters

Keywords = ParamSpec("Keywords")
Client = TypeVar("Client")
Result = TypeVar("Result")


def keywords_of(
    model: Callable[Keywords, TaskParameters],
) -> Callable[
    [Callable[[Client, Mapping[str, Any]], Result]],
    Callable[Concatenate[Client, Keywords], Result],
]:
    """Gives a method the keyword arguments of a parameter model.

    The tables of the reference are written once, in the models; type checkers, editors and `help` show them as the
    method's own.
    """

    def decorate(
        method: Callable[[Client, Mapping[str, Any]], Result],
    ) -> Callable[Concatenate[Client, Keywords], Result]:
        @functools.wraps(method)
        def with_keywords(client: Client, /, *args: Keywords.args, **parameters: Keywords.kwargs) -> Result:
            if args:
                raise TypeError(f"{method.__name__} takes task parameters by name")
            return method(client, parameters)

        with_keywords.__signature__ = _readable_signature(method, model)  # type: ignore[attr-defined]
        return with_keywords

    return decorate


def _readable_signature(method: Callable[..., object], model: Callable[..., TaskParameters]) -> inspect.Signature:
    """The method's signature with the model's keywords: what is required first, types as they are written there."""
    own = inspect.signature(method)
    keywords = list(inspect.signature(model).parameters.values())
    keywords.sort(key=lambda keyword: keyword.default is not keyword.empty)
    if inspect.isclass(model):
        types: dict[str, Any] = {}
        for base in reversed(inspect.getmro(model)):
            types.update(inspect.get_annotations(base))
        keywords = [keyword.replace(annotation=types[keyword.name]) for keyword in keywords]
    return own.replace(parameters=[own.parameters["self"], *keywords])
