"""What is under way, and what it may hold in memory."""

from __future__ import annotations

from threading import Event, Lock

# What all frames in flight may hold, about. They are reckoned with at their largest, which they are not all at once.
MOST_BYTES = 200_000_000

# What part of that may wait to be put, where the way to the store is slow.
_WAITING = 0.3


class InFlight:
    """Says when another frame may be taken up.

    That is when fewer than `most` are worked on, one as large as the largest so far still fits beside what the others
    hold, and not too much waits to be put. How large one is shows only once it was read: as long as none was, one is
    taken up at a time. One is in any case, however large it is.

    Args:
        most: How many may be worked on at once.
        most_bytes: What all may hold; MOST_BYTES where it is None.
        expected: What one is likely to hold, as far as that is known.
    """

    def __init__(self, most: int, *, most_bytes: int | None = None, expected: int | None = None) -> None:
        self._most = most
        self._most_bytes = MOST_BYTES if most_bytes is None else most_bytes
        self._largest = expected
        self._flights = 0
        self._worked_on = 0
        self._bytes = 0
        self._waiting = 0
        self._lock = Lock()
        self._changed = Event()

    @property
    def has_room(self) -> bool:
        """Whether another frame may be taken up."""
        with self._lock:
            if not self._flights:
                return True
            fits = self._largest is not None and self._bytes + self._largest <= self._most_bytes
            return fits and self._worked_on < self._most and self._waiting <= _WAITING * self._most_bytes

    def begin(self) -> Flight:
        """Takes up another."""
        return Flight(self)

    def look(self) -> None:
        """From now on a change is noticed; what is looked at after this call is not older than that."""
        self._changed.clear()

    def wait(self) -> None:
        """Waits for a change since the last `look`."""
        self._changed.wait()

    def change(self, flights: int, worked_on: int, held: int, *, waiting: int = 0, measured: int | None = None) -> None:
        """Counts more or fewer flights, frames that are worked on, bytes, and of these those that wait to be put.

        It also notices how large one was.
        """
        with self._lock:
            self._flights += flights
            self._worked_on += worked_on
            self._bytes += held
            self._waiting += waiting
            if measured is not None:
                self._largest = max(measured, self._largest or 0)
        self._changed.set()

    @property
    def expected(self) -> int:
        """What the next is reckoned with."""
        return self._largest or 0


class Flight:
    """One frame, from when it is taken up until nothing of it is held any more.

    Args:
        all_of_them: Those that it is one of.
    """

    def __init__(self, all_of_them: InFlight) -> None:
        self._all = all_of_them
        self._held = all_of_them.expected
        self._waiting = 0
        self._is_worked_on = True
        self._has_ended = False
        self._lock = Lock()  # it is measured in one thread, and may be ended in another at that moment
        all_of_them.change(1, 1, self._held)

    def measure(self, size: int) -> None:
        """So much was held while it was worked on; 0 where nobody knows."""
        with self._lock:
            if size and not self._has_ended:
                self._hold(size, measured=size)
            else:
                self._all.change(0, 0, 0, measured=size or None)

    def put_by(self, held: int) -> None:
        """It is not worked on any more; so much of it is held on."""
        with self._lock:
            if not self._has_ended:
                self._leave_work()
                self._hold(held)

    def end(self) -> None:
        """Nothing of it is held any more."""
        with self._lock:
            if self._has_ended:
                return
            self._has_ended = True
            self._leave_work()
            self._hold(0)
            self._all.change(-1, 0, 0)

    def _leave_work(self) -> None:
        if self._is_worked_on:
            self._is_worked_on = False
            self._all.change(0, -1, 0)

    def _hold(self, held: int, *, measured: int | None = None) -> None:
        before, self._held = self._held, held
        waiting = 0 if self._is_worked_on else held - self._waiting
        self._waiting += waiting
        self._all.change(0, 0, held - before, waiting=waiting, measured=measured)
