"""Choose faults for requests, as on a bad day of the network and the service.

A fault comes by chance (`Faults.rate`, seeded), by a schedule, or by the request's own header:

    X-Sandbox-Fault: cut-after            one fault
    X-Sandbox-Fault: latency=0.5          0.5 seconds
    X-Sandbox-Fault: rate-limit=2         429 with Retry-After: 2

A cut resets the TCP connection, before the request is carried out or after it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, Field, ValidationError

FaultKind = Literal["latency", "rate-limit", "error-before", "error-after", "cut-before", "cut-after", "truncate"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

HEADER = "x-sandbox-fault"

LONGEST_LATENCY_S = 3600.0


class Faults(BaseModel, frozen=True, strict=True, extra="forbid"):
    """Kinds and frequency of faults.

    Args:
        rate: Share of requests that meet a fault, 0 to 1.
        kinds: The kinds to choose from, all equally likely. latency: the answer is late. rate-limit: 429 with
            Retry-After. error-before, error-after: 500 without the work, 502 after it. cut-before, cut-after: the
            connection is reset before the work, or after it. truncate: half of the answer's body, then the connection
            ends.
        seed: The same seed gives the same faults to the same sequence of requests.
        schedule: Faults of the next requests, one each, before chance begins; None for a request without.
        latency_s: Delay of a late answer, seconds.
        retry_after_s: Value of Retry-After, whole seconds.

    Raises:
        ValueError: A value makes no sense.
    """

    rate: float = Field(default=0.0, ge=0, le=1)
    kinds: Sequence[FaultKind] = Field(default=FAULT_KINDS, min_length=1)
    seed: int | None = None
    schedule: Sequence[FaultKind | None] = ()
    latency_s: float = Field(default=0.05, ge=0, le=LONGEST_LATENCY_S)
    retry_after_s: int = Field(default=1, ge=0)

    @classmethod
    def read(cls, content: Any, *, strict: bool = True) -> Self:
        """Read faults from a JSON object with these names; values may be text unless `strict`.

        Raises:
            ValueError: It is not such an object; the message is one sentence.
        """
        try:
            return cls.model_validate(content, strict=strict)
        except ValidationError as error:
            problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"])) or "faults"
        raise ValueError(f"{name} is {problem['input']!r}: {problem['msg']}")


class FaultSource:
    """Chooses the fault of each request; none by default. Safe to use from several threads."""

    def __init__(self, faults: Faults | None = None) -> None:
        self._lock = threading.Lock()
        self.set(faults or Faults())

    def set(self, faults: Faults) -> None:
        """Start over with other faults."""
        with self._lock:
            self._faults = faults
            self._schedule = list(faults.schedule)
            self._chance = random.Random(faults.seed)  # noqa: S311 — no secret
            self._made = dict.fromkeys(FAULT_KINDS, 0)

    def clear(self) -> None:
        """Make no faults from now on."""
        self.set(Faults())

    def describe(self) -> dict[str, Any]:
        """Return the settings, the rest of the schedule, and the number of faults of each kind so far."""
        with self._lock:
            return {**self._faults.model_dump(), "schedule": list(self._schedule), "made": dict(self._made)}

    def next(self, header: str | None = None) -> tuple[FaultKind, Faults] | None:
        """Return the kind and the settings of the next request's fault, if any.

        The request's own header comes first; a ValueError says that it names no fault.
        """
        with self._lock:
            kind, faults = self._asked(header) if header is not None else (self._chosen(), self._faults)
            if kind is None:
                return None
            self._made[kind] += 1
            return kind, faults

    def _chosen(self) -> FaultKind | None:
        if self._schedule:
            return self._schedule.pop(0)
        if self._faults.rate and self._chance.random() < self._faults.rate:
            return self._chance.choice(self._faults.kinds)
        return None

    def _asked(self, header: str) -> tuple[FaultKind, Faults]:
        name, _, value = (part.strip() for part in header.partition("="))
        setting = "latency_s" if name == "latency" else "retry_after_s"
        faults = Faults.read({setting: value}, strict=False) if value else self._faults
        for kind in FAULT_KINDS:
            if kind == name:
                return kind, faults
        raise ValueError(f"there is no fault {name!r}; there are {', '.join(FAULT_KINDS)}")
