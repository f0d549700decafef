"""A lock in a store of objects: one object, that its holder renews for as long as it lives.

Every step is one conditional put: in place of nothing, of exactly the lock that was found dead, or of exactly the
holder's own last one. Of all who try, one succeeds, however late a request arrives; a holder whose lock is gone sees it
at the next renewal.

No machine's clock is asked for the time. How old a lock is tells the store, by its own clock; one that has not been
renewed for HOLD_SECONDS is watched for longer than a beat, and taken over if it still stands. A holder counts the
seconds since its last renewal, those of a machine that slept among them. Before each request that changes anything the
store asks it whether its lock is that old; if so, it is renewed first, or found to be lost, and then nothing is changed
any more. What is left is a request that was on its way already, and what other processes store for the holder.

A store that knows no conditions would put whatever the condition is: the lock asks it. There, who has put his lock
waits a while and looks whether it still stands, and looks before each renewal: two that are slow by more than that
while may both believe that they hold it, until the next renewal of one.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time

from lidarprep.errors import StorageError
from lidarprep.storage.holder import Holder
from lidarprep.storage.store import LOCK_KEY, ConditionalStore, Store, Tagged

# Seconds between two renewals, and seconds that each holds the lock for.
BEAT_SECONDS = 20.0
HOLD_SECONDS = 60.0
# Seconds after which one looks whether a lock is his, in a store that knows no conditions.
SETTLE_SECONDS = 2.0

# A tag that no object has: an MD5 that nothing is known to have, in the form that stores give their tags in.
_NO_TAG = f'"{"0" * 32}"'

# What is found of a lock that was lost, and is nobody's by now.
_GONE = Tagged(b"", "", math.inf)

# Times that the lock is put and looked for in turn, while others take and leave it.
_MOST_ROUNDS = 20

# Counts on while a machine sleeps: on Linux no other clock does, elsewhere the monotonic one.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def held_by_another(store: Store, holder: Holder | None, age: float = math.inf) -> StorageError:
    """The refusal of a lock that is another's.

    Args:
        store: Of the place.
        holder: Whose it is, where that can be read.
        age: Seconds since it was renewed.
    """
    who = "another process" if holder is None else str(holder)
    fix = "Wait for its end, or choose another destination."
    if age < HOLD_SECONDS:
        fix += f" If that run is no more, its lock runs out in {HOLD_SECONDS - age:.0f} seconds."
    return StorageError(f"another run is storing at {store.location('').rstrip('/')}: {who}", fix=fix)


class ObjectLock:
    """A lock in a store of objects.

    Args:
        store: Of the place.
    """

    def __init__(self, store: ConditionalStore) -> None:
        self._store = store
        self._holder = Holder.this()
        self._tag: str | None = None  # of its own last put
        self._renewed_at = -math.inf
        self._heeds_conditions = True
        self._lost: Tagged | None = None
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Takes the lock, or a dead run's.

        Raises:
            StorageError: Another run holds it; or it cannot be made.
        """
        try:
            self._take()
        except BaseException:
            self.release()
            raise
        # A daemon: a process that ends must not wait for it.
        self._thread = threading.Thread(target=self._beat, name="lidarprep-lock", daemon=True)
        self._thread.start()
        self._store.guard(self.check)

    def check(self) -> None:
        """Sees that it is still held, and renews it where nothing has done so in time.

        Raises:
            StorageError: Another run has taken it over; or it was not renewed in time, and cannot be now.
        """
        if self._lost is None and self._has_run_out:
            self._renew(only_if_run_out=True)
        if self._lost is not None:
            raise self._refused(self._lost)

    def release(self) -> None:
        """Leaves a lock alone that another run has taken over."""
        self._ended.set()
        self._store.guard(None)
        if self._thread is not None:
            self._thread.join()
        if self._tag is None:
            return
        with contextlib.suppress(StorageError), self._store.hurried():  # it ends by itself
            if self._has_run_out:
                self._renew()
            if self._lost is None and (self._heeds_conditions or self._another() is None):
                self._store.discard_if(LOCK_KEY, self._tag)

    def _take(self) -> None:
        found = self._store.get_tagged(LOCK_KEY)
        if found is not None and not self._is_over(found):
            raise self._refused(found)
        winner = self._put(None if found is None else found.tag)
        if winner is None and (put := self._store.put_if(LOCK_KEY, self._next(), _NO_TAG)) is not None:
            self._heeds_conditions, self._tag = False, put
            self._ended.wait(SETTLE_SECONDS)
            winner = self._another()
        if winner is not None:
            self._tag = None
            raise self._refused(winner)

    def _put(self, tag: str | None, *, is_renewal: bool = False) -> Tagged | None:
        """Puts this run's lock in place of exactly what has the tag, or of nothing; what another has put, if that is.

        What stands there and is this run's own was put by a request whose answer was lost. A lock that is renewed and
        is gone was taken over by a run that has ended meanwhile: it is lost.
        """
        for _ in range(_MOST_ROUNDS):
            begun = time.clock_gettime(_CLOCK)
            put = self._store.put_if(LOCK_KEY, self._next(), tag)
            if put is not None:
                self._tag, self._renewed_at = put, begun
                return None
            found = self._store.get_tagged(LOCK_KEY)
            if found is not None and not self._is_mine(found):
                return found
            if found is None and is_renewal:
                return _GONE
            tag = None if found is None else found.tag
        raise StorageError(
            f"{self._store.location(LOCK_KEY)} can neither be stored nor be found",
            fix="Look whether the store is sound.",
        )

    def _next(self) -> bytes:
        self._holder = self._holder.again()
        return self._holder.written()

    def _another(self) -> Tagged | None:
        """What stands there, if it is not this run's lock."""
        found = self._store.get_tagged(LOCK_KEY)
        return None if found is None or self._is_mine(found) else found

    def _is_mine(self, found: Tagged) -> bool:
        holder = Holder.read(found.data)
        return holder is not None and holder.id == self._holder.id

    def _is_over(self, found: Tagged) -> bool:
        """Whether a lock's holder is dead, or does not renew it."""
        holder = Holder.read(found.data)
        if holder is not None and holder.is_dead:
            return True
        if found.age < HOLD_SECONDS:
            return False
        self._ended.wait(BEAT_SECONDS * 1.25)
        now = self._store.get_tagged(LOCK_KEY)
        return now is None or now.tag == found.tag

    def _refused(self, found: Tagged) -> StorageError:
        return held_by_another(self._store, Holder.read(found.data), found.age)

    @property
    def _has_run_out(self) -> bool:
        """Whether another run may by now think that this one is dead."""
        return time.clock_gettime(_CLOCK) - self._renewed_at >= HOLD_SECONDS

    def _renew(self, only_if_run_out: bool = False) -> None:
        with self._turn:
            if only_if_run_out and not self._has_run_out:
                return  # another thread has done so meanwhile
            if self._lost is None and not self._heeds_conditions:
                self._lost = self._another()
            if self._lost is None:
                self._lost = self._put(self._tag, is_renewal=True)

    def _beat(self) -> None:
        while self._lost is None and not self._ended.wait(BEAT_SECONDS):
            # The next beat tries again; and the run itself will meet what is wrong with the store.
            with contextlib.suppress(StorageError), self._store.hurried():
                self._renew()
