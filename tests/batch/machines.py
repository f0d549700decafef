"""Machines of a cluster: processes in network namespaces of their own, which can be killed, cut off and started again.

Where namespaces cannot be made, they are processes on loopback, and one that is cut off is stopped instead.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Network:
    """A machine a name, each reached by an address of its own.

    Args:
        scratch: Where their logs go.
        names: The machines; None of them can be added later.
        isolated: Whether to give each a network namespace, joined by a bridge in one more.
    """

    def __init__(self, scratch: Path, names: Sequence[str], *, isolated: bool) -> None:
        self.scratch = scratch
        self.isolated = isolated
        self._names = {name: number for number, name in enumerate(names, 1)}
        self._prefix = f"lp{os.getpid()}"

    @contextmanager
    def up(self) -> Iterator[None]:
        if not self.isolated:
            yield
            return
        with ExitStack() as stack:
            hub = self._make(stack, "hub")
            _ip("-n", hub, "link", "add", "br0", "type", "bridge")
            _ip("-n", hub, "link", "set", "br0", "up")
            for name, number in self._names.items():
                space = self._make(stack, name)
                _ip("-n", hub, "link", "add", f"to{number}", "type", "veth", "peer", "name", "eth0", "netns", space)
                _ip("-n", hub, "link", "set", f"to{number}", "master", "br0", "up")
                _ip("-n", space, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
                _ip("-n", space, "link", "set", "eth0", "up")
            yield

    def _make(self, stack: ExitStack, name: str) -> str:
        space = f"{self._prefix}-{name}"
        _ip("netns", "add", space)
        stack.callback(_ip, "netns", "del", space)
        _ip("-n", space, "link", "set", "lo", "up")
        return space

    def address(self, name: str) -> str:
        return f"10.77.0.{self._names[name]}" if self.isolated else "127.0.0.1"

    def inside(self, name: str, command: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", f"{self._prefix}-{name}", *command] if self.isolated else list(command)

    def cut(self, machine: Machine) -> None:
        """Let nothing reach a machine, nor leave it."""
        if self.isolated:
            _ip("-n", f"{self._prefix}-hub", "link", "set", f"to{self._names[machine.name]}", "down")
        else:
            machine.signal(signal.SIGSTOP)

    def join(self, machine: Machine) -> None:
        if self.isolated:
            _ip("-n", f"{self._prefix}-hub", "link", "set", f"to{self._names[machine.name]}", "up")
        else:
            machine.signal(signal.SIGCONT)


@dataclass
class Machine:
    """A process of a network, started again whenever it ends, as by Kubernetes or systemd.

    Args:
        network: Its network.
        name: Its name there.
        command: What it runs.
        environment: What it has besides this process's.
    """

    network: Network
    name: str
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    kills: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_closed: bool = False

    @contextmanager
    def running(self) -> Iterator[Machine]:
        keeper = threading.Thread(target=self._keep, name=f"keeper-{self.name}")
        self._start()
        keeper.start()
        try:
            yield self
        finally:
            self._is_closed = True
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
            keeper.join()

    def kill(self) -> None:
        self.kills += 1
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        with self._lock, suppress(ProcessLookupError):
            if self._process is not None:
                self._process.send_signal(number)

    @property
    def log(self) -> str:
        return (self.network.scratch / f"{self.name}.log").read_text(errors="replace")

    def _start(self) -> None:
        with self._lock, (self.network.scratch / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.network.inside(self.name, self.command),
                env=os.environ | {"PYTHONPATH": str(ROOT)} | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _keep(self) -> None:
        while not self._is_closed:
            assert self._process is not None
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.2)
                if not self._is_closed:
                    self._start()
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()


def can_isolate() -> bool:
    """Whether network namespaces can be made here."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    name = f"lp{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True)
    if made.returncode:
        return False
    joined = subprocess.run(["ip", "-n", name, "link", "add", "br0", "type", "bridge"], capture_output=True).returncode
    _ip("netns", "del", name)
    return not joined


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def python(*words: str) -> list[str]:
    return [sys.executable, *words]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 300) -> None:
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"it did not come in {seconds} s: {what}")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
