"""Space-free copies: reflinks and hard links.

btrfs, XFS, ZFS, bcachefs and some network file systems let two files share blocks until either is written to. To the
user they are two files, so that is done wherever it can be. A hard link is one file with two names, which changes
under both; so it is made only on request.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

# ioctl_ficlone(2); Python knows it from 3.12 on. Elsewhere than on Linux it is unknown, and refused as such.
_FICLONE = getattr(fcntl, "FICLONE", 0x40049409)

# These errors say that two places share no blocks at all, rather than that one file cannot be shared.
_NEVER = (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS)


class Reflinks:
    """Makes space-free copies.

    Args:
        hard_links: Whether hard links are wanted.
    """

    def __init__(self, *, hard_links: bool) -> None:
        self._hard_links = hard_links
        self._devices_apart: set[int] = set()

    def link(self, source: Path, new: Path, data: bytes) -> bool:
        """Make `new` a durable copy of a file that takes no space.

        Returns:
            Whether that could be done, and the file still has the bytes `data` that were read of it.
        """
        is_made = (self._hard_links and self._hard_link(source, new)) or self._clone(source, new)
        if is_made and new.read_bytes() != data:
            new.unlink()
            return False
        return is_made

    def _hard_link(self, source: Path, new: Path) -> bool:
        try:
            os.link(os.path.realpath(source), new)
        except FileNotFoundError:  # the source was deleted meanwhile
            return False
        except OSError as error:
            self._hard_links = False
            log.warning("images are copied, since no hard links can be made: %s", error.strerror or error)
            return False
        return True

    def _clone(self, source: Path, new: Path) -> bool:
        device = None
        try:
            device = source.stat().st_dev
            if device in self._devices_apart:
                return False
            with source.open("rb") as original, new.open("xb") as copy:
                fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
                os.fsync(copy.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            if error.errno in _NEVER and device is not None:
                self._devices_apart.add(device)
            return False
        return True
