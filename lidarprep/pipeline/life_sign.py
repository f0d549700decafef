"""Whether a run goes on, for all who work on its frames, wherever they do."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from lidarprep.storage.holder import this_machine

# Those that this process has begun.
_going: set[str] = set()


@dataclass(frozen=True)
class LifeSign:
    """One run's sign that it goes on, as data that another process can be given.

    In the process that has begun the run nothing else is needed. Others of the same machine see it by a file that
    stands as long as it does. On another machine, such as a cluster's, it is taken to go on.

    Args:
        id: Random: no other run has it.
        machine: Which it was begun on,
        pid: in which process.
        file: What stands as long as it goes on; None where no other process needs to see it.
    """

    id: str = field(default_factory=lambda: secrets.token_hex(16))
    machine: str = field(default_factory=this_machine)
    pid: int = field(default_factory=os.getpid)
    file: str | None = None

    @classmethod
    def begin(cls) -> LifeSign:
        """Of a run that begins now, in this process."""
        sign = cls()
        _going.add(sign.id)
        return sign

    def shown(self) -> LifeSign:
        """The same, to be seen by other processes, too; where no file can be made for that, it is not."""
        path = self._path
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError:
            return self
        return replace(self, file=str(path))

    def end(self) -> None:
        """From now on the run does not go on, wherever its frames are worked on."""
        _going.discard(self.id)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    @property
    def is_over(self) -> bool:
        """Whether the run has been stopped, or has ended."""
        if self.is_mine:
            return self.id not in _going
        if self.file is None or self.machine != this_machine():
            return False
        return not os.path.exists(self.file)  # noqa: PTH110  # Path.exists may raise

    @property
    def is_mine(self) -> bool:
        """Whether this process has begun the run."""
        return self.pid == os.getpid() and self.machine == this_machine()

    @property
    def _path(self) -> Path:
        return Path(tempfile.gettempdir()) / f"lidarprep-run-{self.id}"
