"""Loaded by Python as it starts, in a child of the trials: counts what the child does to its destination, and acts.

TRIAL_OUT: the destination. TRIAL_LOG: a file that gets a line "event path" for each event that is counted, "open path"
for each point file that is read, and "journal RECORD" before each sync of a journal. Events count from 1; before the
one of that number
TRIAL_KILL_AT: the child kills itself by SIGKILL.
TRIAL_STOP_AT: it stops itself by SIGSTOP, to go on later.
TRIAL_FILL_AT: it fills a disk by the file TRIAL_FILL.
TRIAL_CLOCK_AT: its clock jumps by TRIAL_CLOCK_BY seconds; without a number, at the start.
TRIAL_REFUSE: a text; of the events in whose line it stands, with OUT for the destination, that of the number
TRIAL_REFUSE_AT, and all after it, are refused as by a full disk.
"""

import builtins
import contextlib
import errno
import os
import signal
import sys
import threading
import time
from pathlib import Path

out = os.environ.get("TRIAL_OUT")
counted = {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "os.truncate", "fsync"}
lock = threading.RLock()
state = {"count": 0, "alike": 0}
thread = threading.local()
log = None


def number(name):
    return int(os.environ.get(f"TRIAL_{name}", "0"))


def note(event, path):
    global log
    if log is None:
        log = os.open(os.environ["TRIAL_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with contextlib.suppress(OSError):  # a limit that is set for the trial must not be met here
        os.write(log, f"{event} {path}\n".encode())


def meet(event, path):
    """Called for each event on the destination, before it happens."""
    with lock:
        state["count"] += 1
        note(event, path)
        if state["count"] == number("KILL_AT"):
            os.kill(os.getpid(), signal.SIGKILL)
        if state["count"] == number("STOP_AT"):
            os.kill(os.getpid(), signal.SIGSTOP)
        if state["count"] == number("FILL_AT"):
            fill(os.environ["TRIAL_FILL"])
        if state["count"] == number("CLOCK_AT"):
            shift_clock(number("CLOCK_BY"))
        refused = os.environ.get("TRIAL_REFUSE")
        if refused is not None and refused in f"{event} {path}\n".replace(out, "OUT"):
            state["alike"] += 1
            if state["alike"] >= number("REFUSE_AT"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill(path):
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    for size in (1 << 16, 1):
        try:
            while os.write(handle, bytes(size)):
                pass
        except OSError:
            continue
    os.close(handle)


def shift_clock(seconds):
    whole, nanoseconds = time.time, time.time_ns
    time.time = lambda: whole() + seconds
    time.time_ns = lambda: nanoseconds() + seconds * 10**9


def watch(event, arguments):
    if event not in counted and event != "open":
        return
    if getattr(thread, "busy", False) or not arguments or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    path = os.fsdecode(arguments[0])
    thread.busy = True  # what the hook itself opens is not of interest
    try:
        if event != "open":
            if path.startswith(out):
                meet(event, f"{path} -> {os.fsdecode(arguments[1])}" if event == "os.rename" else path)
            return
        mode, flags = arguments[1], arguments[2]
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        writes = writes or (isinstance(mode, str) and bool(set(mode) & set("wax+")))
        if writes and path.startswith(out):
            meet("write", path)
        elif "/pointcloud/" in path:
            with lock:
                note("open", path)
    finally:
        thread.busy = False


def watched(sync):
    def synced(handle):
        number = handle if isinstance(handle, int) else handle.fileno()
        path = str(Path(f"/proc/self/fd/{number}").readlink())
        if path.startswith(out) and not getattr(thread, "busy", False):
            thread.busy = True
            try:
                if path.endswith("journal.jsonl"):
                    note("journal", Path(path).read_text().splitlines()[-1])
                meet("fsync", path)
            finally:
                thread.busy = False
        return sync(handle)

    return synced


if out and "TRIAL_LOG" in os.environ and not hasattr(builtins, "trial_is_watched"):
    builtins.trial_is_watched = True
    if "://" in out:
        out = "\0"  # no file's path begins so: only what is read is noted
    if number("CLOCK_BY") and not number("CLOCK_AT"):
        shift_clock(number("CLOCK_BY"))
    os.fsync = watched(os.fsync)
    os.fdatasync = watched(os.fdatasync)
    sys.addaudithook(watch)
