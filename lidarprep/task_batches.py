"""Batches at Scale: a task is put into one that takes it, and batches are closed.

A batch takes tasks until it is finalized; then they are worked on. Several programs may put tasks into one batch, so
each is made by whoever comes first, and finalizing twice is the same as once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from lidarprep.errors import BadRequestError, ConflictError, NotFoundError, ParameterError, UniqueIdConflictError

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient, Task

# Its status until it is finalized.
STAGING = "staging"


def require_project(parameters: Mapping[str, Any]) -> str:
    """Return the project of a task, which its batch belongs to, too.

    Raises:
        ParameterError: There is none; or a batch is named among the parameters, too.
    """
    project = parameters.get("project")
    if not isinstance(project, str) or not project:
        raise ParameterError(
            "a batch at Scale belongs to a project, and the task has none",
            fix="Give it as a parameter, project=NAME; or put the tasks into no batch (--batch-size 0).",
        )
    if parameters.get("batch") is not None:
        raise ParameterError(
            f"the parameters hold the batch {parameters['batch']!r}, and another was asked for",
            fix="Leave one of them out.",
        )
    return project


def create_in_batch(
    client: ScaleClient,
    task_type: str,
    parameters: Mapping[str, Any],
    batch: str,
    *,
    resubmit: bool = False,
    id_is_content: bool = False,
) -> Task:
    """Create a task in a batch, or return the one that has its unique_id, whatever batch that is in.

    Args:
        client: Where to create it.
        task_type, parameters, resubmit, id_is_content: As of the client's `create_task`.
        batch: The batch, which is made if there is none; BATCH-2, BATCH-3 and so on once it is finalized.

    Raises:
        ApiError: As `create_task`; or the batch cannot be made.
    """
    project = str(parameters["project"])
    for name in _names(batch):
        _ensure(client, project, name)
        try:
            return client.create_task(
                task_type,
                {**parameters, "batch": name},
                resubmit=resubmit,
                id_is_content=id_is_content,
                any_batch=True,
            )
        except (BadRequestError, ConflictError) as refused:
            is_of_another = isinstance(refused, UniqueIdConflictError) and refused.task_id is not None
            if is_of_another or not is_finalized(client, name):
                raise
    raise AssertionError("there are infinitely many names")


def finalize(client: ScaleClient, name: str) -> bool:
    """Finalize a batch; tell whether it was not finalized before.

    Raises:
        ApiError: It is not there, or cannot be finalized.
    """
    if is_finalized(client, name):
        return False
    client.finalize_batch(name)
    return True


def is_finalized(client: ScaleClient, name: str) -> bool:
    """Tell whether a batch is finalized, so that it takes no more tasks.

    Raises:
        NotFoundError: There is none.
    """
    return client.get_batch(name).status not in (None, STAGING)


def _ensure(client: ScaleClient, project: str, name: str) -> None:
    """Make a batch if there is none."""
    try:
        client.get_batch(name)
    except NotFoundError:
        try:
            client.create_batch(project, name)
        except (BadRequestError, ConflictError) as refused:
            try:
                client.get_batch(name)  # another program was faster
            except NotFoundError:
                raise refused from None


def _names(batch: str) -> Iterator[str]:
    yield batch
    for number in count(2):
        yield f"{batch}-{number}"
