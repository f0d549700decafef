"""Who holds a lock: a process of a machine, so told that no other is taken for it, and that its end is seen."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import secrets
import socket
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Args:
        id: Random: nobody else has it.
        host: Name of the machine, for people.
        machine: What tells it from others of that name; see `this_machine`.
        pid: Its process there.
        started: When that began, in the machine's own count; None where that cannot be known.
        since: When it took the lock, seconds since the Unix epoch; for people, since clocks differ, and jump.
        beat: How often it has said so. No two of its locks are of the same bytes.
    """

    id: str
    host: str
    machine: str
    pid: int
    started: int | None
    since: float
    beat: int = 0

    @classmethod
    def this(cls) -> Holder:
        """This process, from now on."""
        pid = os.getpid()
        started = None if (found := _process(pid)) is None else found[1]
        return cls(secrets.token_hex(16), socket.gethostname(), this_machine(), pid, started, time.time())

    @classmethod
    def read(cls, data: bytes) -> Holder | None:
        """From what a lock holds; None if that is nothing that this version has written."""
        try:
            fields = json.loads(data)
            return cls(
                str(fields["id"]),
                str(fields["host"]),
                str(fields["machine"]),
                int(fields["pid"]),
                None if fields["started"] is None else int(fields["started"]),
                float(fields["since"]),
                int(fields["beat"]),
            )
        except (ValueError, TypeError, KeyError, OverflowError):
            return None

    def written(self) -> bytes:
        """As a lock holds it."""
        return json.dumps(asdict(self)).encode()

    def again(self) -> Holder:
        """The same, a beat later."""
        return replace(self, beat=self.beat + 1)

    @property
    def is_dead(self) -> bool:
        """Whether it is known to be no more: a process of this very machine that has ended."""
        if self.machine != this_machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            pass  # of another user; or a number that no process has, which nobody has written in earnest
        found = _process(self.pid)
        if found is None:
            return False
        state, started = found
        # One that has ended may stay in the list; one that began at another time has only got its number.
        return state in "ZX" or (self.started is not None and self.started != started)

    def __str__(self) -> str:
        try:
            since = f" since {datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M:%S} UTC"
        except (ValueError, OverflowError, OSError):
            since = ""
        return f"process {self.pid} on {self.host}{since}"


@functools.cache
def _machine_of(pid: int) -> str:
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):  # a system without /proc
        parts += [_BOOT_ID.read_text().strip(), str(_NAMESPACE.stat().st_ino)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def this_machine() -> str:
    """What tells this machine, since it was started, and this container on it, from others of the same name.

    A digest of hostname, the kernel's boot id and the namespace of process numbers; of the hostname alone where a
    system has no /proc.
    """
    return _machine_of(os.getpid())


def _process(pid: int) -> tuple[str, int] | None:
    """A process's state and when it began, in ticks since the machine did (proc_pid_stat(5)); None if not known."""
    try:
        # The name, in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
