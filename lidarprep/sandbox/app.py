"""The sandbox's HTTP side: the endpoints of the Scale API, answering in the reference's shapes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from lidarprep.errors import MissingExtraError

try:
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.routing import Route

    from lidarprep.sandbox import control, task_endpoints
    from lidarprep.sandbox.creating import create_task
    from lidarprep.sandbox.fault_middleware import FaultMiddleware
    from lidarprep.sandbox.web import Keys, failed, refused, unauthorized
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
        raise
    raise MissingExtraError("the sandbox", "sandbox") from None

from lidarprep.sandbox.background import Background
from lidarprep.sandbox.faults import Faults, FaultSource
from lidarprep.sandbox.lifecycle import Lifecycle
from lidarprep.sandbox.options import SandboxOptions
from lidarprep.sandbox.store import SandboxStore

# A task's parameters are a list of URLs and a few objects; the largest real ones are far below this.
MAX_BODY_BYTES = 8 * 1024 * 1024

TASK = "/v1/task/{task_id}"
CONTROL = "/sandbox/tasks/{task_id}"

ROUTES = (
    ("GET", "/v1/tasks", task_endpoints.list_tasks),
    ("POST", "/v1/task/{task_type}", create_task),
    ("GET", TASK, task_endpoints.get_task),
    ("POST", f"{TASK}/cancel", task_endpoints.cancel_task),
    ("POST", f"{TASK}/setMetadata", task_endpoints.set_metadata),
    ("POST", f"{TASK}/unique_id", task_endpoints.set_unique_id),
    ("DELETE", f"{TASK}/unique_id", task_endpoints.clear_unique_id),
    # The reference's headlines say POST for all three; its examples, and the official client, tell them apart.
    ("PUT", f"{TASK}/tags", task_endpoints.add_tags),
    ("POST", f"{TASK}/tags", task_endpoints.set_tags),
    ("DELETE", f"{TASK}/tags", task_endpoints.delete_tags),
    ("POST", f"{TASK}/dependents/options", task_endpoints.set_dependents),
    ("POST", f"{TASK}/dependents/force_creation", task_endpoints.force_dependents),
    ("GET", "/sandbox/status", control.show_status),
    ("POST", f"{CONTROL}/complete", control.complete_task),
    ("POST", f"{CONTROL}/error", control.fail_task),
    ("POST", f"{CONTROL}/audit", control.audit_task),
    ("GET", "/sandbox/faults", control.show_faults),
    ("PUT", "/sandbox/faults", control.set_faults),
    ("DELETE", "/sandbox/faults", control.clear_faults),
    ("GET", "/sandbox/files/{name}", control.get_file),
)


def create_app(
    store: SandboxStore,
    *,
    api_keys: Collection[str] | None = None,
    options: SandboxOptions | None = None,
    faults: Faults | FaultSource | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> Starlette:
    """The sandbox as an ASGI application.

    What it does by itself (statuses that move on, checks, callbacks) it does between the lifespan events of its server.

    Args:
        store: Where its tasks are.
        api_keys: The keys that it takes; any key if None. All of them see the same tasks.
        options: How it behaves.
        faults: Faults to make, or a source of them that the caller keeps hold of.
        max_body_bytes: Larger request bodies are refused with 413.
    """
    lifecycle = Lifecycle(store, options or SandboxOptions())
    source = faults if isinstance(faults, FaultSource) else FaultSource(faults)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with Background(lifecycle):
            yield

    app = Starlette(
        routes=[Route(path, endpoint, methods=[method]) for method, path, endpoint in ROUTES],
        middleware=[
            Middleware(FaultMiddleware, source=source),
            Middleware(AuthenticationMiddleware, backend=Keys(api_keys), on_error=unauthorized),
        ],
        exception_handlers={HTTPException: refused, Exception: failed},
        lifespan=lifespan,
    )
    app.state.lifecycle = lifecycle
    app.state.faults = source
    app.state.max_body_bytes = max_body_bytes
    app.state.under_way = {}
    return app
