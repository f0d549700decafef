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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Self, TypeVar, get_args

FaultKind = Literal["latency", "rate-limit", "error-before", "error-after", "cut-before", "cut-after", "truncate"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

HEADER = "x-sandbox-fault"

Number = TypeVar("Number", int, float)

LONGEST_LATENCY_S = 3600.0


@dataclass(frozen=True)
class Faults:
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

    rate: float = 0.0
    kinds: Sequence[FaultKind] = FAULT_KINDS
    seed: int | None = None
    schedule: Sequence[FaultKind | None] = ()
    latency_s: float = 0.05
    retry_after_s: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.rate, bool) or not isinstance(self.rate, (int, float)) or not 0 <= self.rate <= 1:
            raise ValueError(f"rate is {self.rate!r}; it must be from 0 to 1")
        for kind in (*self.kinds, *(kind for kind in self.schedule if kind is not None)):
            if kind not in FAULT_KINDS:
                raise ValueError(f"there is no fault {kind!r}; there are {', '.join(FAULT_KINDS)}")
        if not self.kinds:
            raise ValueError("kinds is empty")
        if self.seed is not None and not isinstance(self.seed, int):
            raise ValueError(f"seed is {self.seed!r}; it must be a whole number")
        if not isinstance(self.latency_s, (int, float)) or not 0 <= self.latency_s <= LONGEST_LATENCY_S:
            raise ValueError(f"latency_s is {self.latency_s!r}; it must be from 0 to {LONGEST_LATENCY_S:.0f}")
        if not isinstance(self.retry_after_s, int) or self.retry_after_s < 0:
            raise ValueError(f"retry_after_s is {self.retry_after_s!r}; it must be a whole number, at least 0")

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Read faults from a JSON object with these names.

        Raises:
            ValueError: It is not such an object.
        """
        if not isinstance(content, Mapping) or set(content) - set(cls.__dataclass_fields__):
            raise ValueError(f"faults are an object of {', '.join(cls.__dataclass_fields__)}")
        for name in ("kinds", "schedule"):
            if not isinstance(content.get(name, []), list):
                raise ValueError(f"{name} must be a list")
        return cls(**content)


class Fault(NamedTuple):
    """The fault of one request.

    Args:
        kind: Kind of fault.
        latency_s: Delay of a late answer, seconds.
        retry_after_s: Value of Retry-After, whole seconds.
    """

    kind: FaultKind
    latency_s: float
    retry_after_s: int


class FaultSource:
    """Chooses the fault of each request. Safe to use from several threads.

    Args:
        faults: The faults; none by default.
    """

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
            return {**asdict(self._faults), "schedule": list(self._schedule), "made": dict(self._made)}

    def next(self, header: str | None = None) -> Fault | None:
        """Return the fault of the next request, if any.

        Args:
            header: Value of the request's own header.

        Raises:
            ValueError: The header names no fault.
        """
        with self._lock:
            fault = self._asked(header) if header is not None else self._chosen()
            if fault is not None:
                self._made[fault.kind] += 1
            return fault

    def _chosen(self) -> Fault | None:
        kind: FaultKind | None = None
        if self._schedule:
            kind = self._schedule.pop(0)
        elif self._faults.rate and self._chance.random() < self._faults.rate:
            kind = self._chance.choice(self._faults.kinds)
        return None if kind is None else Fault(kind, self._faults.latency_s, self._faults.retry_after_s)

    def _asked(self, header: str) -> Fault:
        kind, _, value = (part.strip() for part in header.partition("="))
        faults = self._faults
        if value and kind == "latency":
            faults = Faults(latency_s=_number(float, value))
        elif value:
            faults = Faults(retry_after_s=_number(int, value))
        for known in FAULT_KINDS:
            if known == kind:
                return Fault(known, faults.latency_s, faults.retry_after_s)
        raise ValueError(f"there is no fault {kind!r}; there are {', '.join(FAULT_KINDS)}")


def _number(read: Callable[[str], Number], text: str) -> Number:
    try:
        return read(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a {'whole ' if read is int else ''}number") from None
