"""How a sandbox behaves."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SandboxOptions:
    """How a sandbox behaves.

    Args:
        complete_after_s: Pending tasks are completed by themselves after so many seconds; never if None.
        check_attachments: Each attachment of a lidar or multistage task is read and decoded; a task with a bad one ends
            in status "error", with the reason in its response.
        callback_auth_key: Value of the `scale-callback-auth` header; made up if it is not given.
        callbacks_anywhere: Callbacks go to any host; else to loopback addresses only, so that trying things out
            surprises nobody's server.
        callback_tries: How often a callback is tried until it is answered 200.
        callback_pace: Factor on the waits between tries. By default 20 tries take 24 hours, as with the service.

    Raises:
        ValueError: A number makes no sense.
    """

    complete_after_s: float | None = None
    check_attachments: bool = False
    callback_auth_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    callbacks_anywhere: bool = False
    callback_tries: int = 20
    callback_pace: float = 1.0

    def __post_init__(self) -> None:
        if self.complete_after_s is not None and not 0 <= self.complete_after_s < float("inf"):
            raise ValueError(f"complete_after_s is {self.complete_after_s}; it must be at least 0")
        if self.callback_tries < 1 or not 0 <= self.callback_pace < float("inf"):
            raise ValueError("callback_tries must be at least 1, callback_pace at least 0")
        if not self.callback_auth_key.isascii() or not self.callback_auth_key.isprintable():
            raise ValueError("callback_auth_key must be printable ASCII, as it goes into a header")
