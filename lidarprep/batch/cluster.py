"""Scenes on the workers of a Dask cluster: submitted a few at a time, and again where the scheduler was lost.

What goes through the scheduler is small: a scene as its batch describes it, and its record. Recordings and attachments
go between a worker and the stores. Credentials, and the key of the API, are those of each worker's own environment.
Dask starts a scene again whose worker has died. A scheduler that has died knows nothing of its tasks, so they are
submitted to the next one: a scene that is done is only looked at again. Kernels are compiled by the scenes that use
them, once a machine: to compile all of them would take longer.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from lidarprep._malloc import configure_malloc
from lidarprep.batch.one import lost
from lidarprep.batch.record import SceneRecord
from lidarprep.batch.scenes import BatchScene
from lidarprep.errors import ClusterError, MissingExtraError, RecipeError

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger(__name__)

LOCAL = "local"

# Seconds that a scheduler has to answer: at first, and while it is restarted.
_CONNECT_S = 20.0
_RECONNECT_S = 600.0

# Scenes that are submitted for each thread: one that runs, and one that waits.
_A_THREAD = 2

# Scenes that are submitted at least: from those that wait, an adaptive cluster sees that it needs workers.
_FEWEST = 8

# Seconds between looks at how many threads there are.
_LOOK_S = 5.0

# How often a scene is submitted whose result does not come, for another reason than its worker's death.
_TRIES = 10

# Seconds that a record may take to come, and a client to close.
_FETCH_S = 60.0
_CLOSE_S = 10.0


class Cluster:
    """A Dask cluster, by the address of its scheduler.

    Args:
        address: tcp://host:8786, tls://host:8786, as `Client` takes it.
        security: Its certificates; as Dask itself is configured where it is None.
    """

    def __init__(self, address: str, security: Any = None) -> None:
        self.address = address
        self._security = security

    @classmethod
    def of(cls, client: Client) -> Self:
        """Return the cluster of a client. It is reached by clients of our own, which outlive a scheduler."""
        scheduler = client.scheduler
        if scheduler is None:
            raise ClusterError("the Dask client is closed", fix="Make another.")
        return cls(str(scheduler.address), client.security)

    @classmethod
    @contextmanager
    def open(cls, address: str, workers: int | None = None) -> Iterator[Self]:
        """Give the cluster at an address; "local" starts one of processes on this machine, for as long as it is used.

        Args:
            address: Of its scheduler, or "local".
            workers: Processes of a local one, of one thread each; as many as cores where it is None.

        Raises:
            MissingExtraError: Dask is not installed.
        """
        _require_dask()
        from distributed import LocalCluster

        for name in ("distributed", "distributed.client"):  # what is lost is said here, in a line instead of a stack
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if address != LOCAL:
            yield cls(address)
            return
        processes: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1, "processes": True}
        with LocalCluster(**processes, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL) as local:
            yield cls(str(local.scheduler_address), local.security)

    def connect(self, seconds: float) -> Client:
        """Return a client.

        Raises:
            ClusterError: No scheduler has answered in so many seconds.
            RecipeError: The address makes no sense.
        """
        _require_dask()
        from distributed import Client

        class LidarprepClient(Client):
            """A client that is closed where it does not start. Else it is when it is collected, perhaps by its own
            thread, which waits for itself then."""

            def start(self, **options: Any) -> None:
                try:
                    super().start(**options)
                except BaseException:
                    self.close(_CLOSE_S)
                    raise

        try:
            return LidarprepClient(self.address, security=self._security, timeout=seconds, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise ClusterError(
                f"no scheduler answers at {self.address}: {error}", fix="Is it running, and reached from here?"
            ) from error
        except (ValueError, TypeError) as error:
            raise RecipeError(
                f"{self.address!r} is no address of a cluster: {error}", fix="Write it tcp://host:8786, or local."
            ) from error


@dataclass
class _Job:
    """A scene, what the ledger says of it, and how often it was submitted."""

    scene: BatchScene
    known: SceneRecord
    tries: int = 0


class ClusterRun:
    """Scenes of one call of `prepare_many`, on a cluster.

    Args:
        cluster: The cluster.
        prepare: `prepare_one` with its options. Where `workers` is None, frames prepared at once of each scene are a
            worker's share of its machine's cores.
    """

    def __init__(self, cluster: Cluster, prepare: partial[SceneRecord]) -> None:
        self._cluster = cluster
        self._prepare = prepare
        self._submit: bool = prepare.keywords["submit"]
        self._most, self._looked = _FEWEST, float("-inf")

    def records(self, scenes: Iterator[tuple[BatchScene, SceneRecord]]) -> Generator[SceneRecord, None, None]:
        """Prepare scenes, and yield their records as they come.

        Args:
            scenes: Each with what the ledger says of it; taken as the cluster has room.

        Raises:
            ClusterError: The scheduler does not answer any more, or a worker cannot prepare what the others can.
        """
        with ExitStack() as stack:
            client = stack.enter_context(self._cluster.connect(_CONNECT_S))
            self._check_workers(client)
            again: deque[_Job] = deque()
            while not (yield from self._records_of(client, scenes, again)):
                log.warning("the scheduler at %s is lost; %d scenes wait for it", self._cluster.address, len(again))
                stack.pop_all().close()
                client = stack.enter_context(self._cluster.connect(_RECONNECT_S))

    def _records_of(
        self, client: Client, scenes: Iterator[tuple[BatchScene, SceneRecord]], again: deque[_Job]
    ) -> Generator[SceneRecord, None, bool]:
        """Yield records, and return whether that were all; if not, the scheduler is lost, and `again` has the rest."""
        from distributed import as_completed

        ended = as_completed(loop=client.loop)
        begun: dict[str, _Job] = {}
        while client.status == "running":
            most = self._most_begun(client)
            while len(begun) < most:
                job = again.popleft() if again else next((_Job(*one) for one in scenes), None)
                if job is None:
                    break
                future = self._begin(client, job)
                begun[str(future.key)] = job
                ended.add(future)
            if not begun:
                return True
            for future in ended.next_batch():
                job = begun.pop(str(future.key))
                record = _record_of(future, job)
                if record is None:
                    again.append(job)
                else:
                    yield record
        again.extend(begun.values())
        return False

    def _begin(self, client: Client, job: _Job) -> Future[Any]:
        job.tries += 1
        return client.submit(
            prepare_on_worker,
            job.scene,
            job.known,
            _version(),
            self._prepare,
            key=f"lidarprep-{job.scene.name}-{secrets.token_hex(8)}",
            pure=False,
        )

    def _most_begun(self, client: Client) -> int:
        """Return how many scenes are to be submitted at once, by the threads that the cluster has at present."""
        if time.monotonic() - self._looked >= _LOOK_S:
            try:
                threads = sum(client.nthreads().values())
            except Exception:  # noqa: BLE001  # of a scheduler that is being lost: its client says so next
                return self._most
            self._looked = time.monotonic()
            self._most = max(_FEWEST, _A_THREAD * threads)
            if not threads:
                log.warning("the cluster at %s has no workers: waiting for some", self._cluster.address)
        return self._most

    def _check_workers(self, client: Client) -> None:
        """Check the workers that there are, and share the cores of their machines among their threads.

        Those that come later are checked by their first scene.

        Raises:
            ClusterError: One cannot prepare what this process asks for.
        """
        from distributed.comm.addressing import get_address_host

        found = client.run(facts, on_error="return")
        for address, fact in found.items():
            if isinstance(fact, ImportError):
                raise ClusterError(
                    f"the worker {address} cannot import lidarprep: {fact}", fix="Install lidarprep on all workers."
                )
            if isinstance(fact, Facts):
                require_fit(fact, address, _version(), submit=self._submit)
        threads: Counter[str] = Counter()
        for address, count in client.nthreads().items():
            threads[get_address_host(address)] += count
        cores = {get_address_host(address): fact.cores for address, fact in found.items() if isinstance(fact, Facts)}
        shares = [count // max(1, threads[host]) for host, count in cores.items()]
        frame_workers = self._prepare.keywords["workers"] or max(1, min(shares, default=1))
        self._prepare = partial(self._prepare, workers=frame_workers)
        log.info(
            "%d workers of lidarprep %s at %s; frames at once of a scene: %d",
            len(found),
            _version(),
            self._cluster.address,
            frame_workers,
        )


def _record_of(future: Future[Any], job: _Job) -> SceneRecord | None:
    """Return the record of a scene that has ended; None if it is to be submitted again.

    Raises:
        ClusterError: Its worker cannot prepare any.
    """
    from distributed import KilledWorker

    if future.status == "error":
        error = future.exception()
        if isinstance(error, ClusterError):
            raise error
        if isinstance(error, ImportError):
            raise ClusterError(f"a worker lacks what a scene takes: {error}", fix="Install lidarprep on all workers.")
        if isinstance(error, KilledWorker):
            return lost(
                job.known,
                f"{error.allowed_failures + 1} workers died that had it, the last at {error.last_worker.address}\n"
                "Was memory short? Give workers more of it, or fewer threads. `lidarprep batch retry` tries it again.",
            )
        return lost(job.known, f"{type(error).__name__}: {error}")
    if future.status == "finished":
        try:
            record: SceneRecord = future.result(timeout=_FETCH_S)
            return record
        except Exception as failure:  # of the cluster: the scene is done, which another look tells
            log.debug("the record of %s was not fetched", job.scene.name, exc_info=True)
            why = type(failure).__name__
    else:
        why = str(future.status)
    return lost(job.known, f"its record did not come from the cluster ({why})") if job.tries >= _TRIES else None


class Facts(NamedTuple):
    """What a worker is.

    Args:
        version: Of its lidarprep.
        has_key: Whether its environment has a key of the API.
        cores: Of its machine, or of its part of that.
    """

    version: str
    has_key: bool
    cores: int


def facts() -> Facts:
    """Return what this worker is."""
    from dask.system import CPU_COUNT  # heeds what a container is given

    return Facts(_version(), bool(os.environ.get("SCALE_API_KEY")), CPU_COUNT)


def require_fit(worker: Facts, address: str, version: str, *, submit: bool) -> None:
    """Check that a worker can prepare what it is asked for. If not, no scene is tried by it: it would fail them all.

    Raises:
        ClusterError: It has another version, which would prepare all scenes again; or lacks the key.
    """
    if worker.version != version:
        raise ClusterError(
            f"the worker {address} has lidarprep {worker.version}, and this process {version}",
            fix="Install the same version on all.",
        )
    if submit and not worker.has_key:
        raise ClusterError(
            f"SCALE_API_KEY is not set on the worker {address}, which is to submit tasks",
            fix="Set it in the workers' environment; it is never sent to them.",
        )


def prepare_on_worker(
    scene: BatchScene, known: SceneRecord, version: str, prepare: partial[SceneRecord]
) -> SceneRecord:
    """Prepare one scene on a worker.

    Raises:
        ClusterError: The worker is not fit for it.
    """
    from distributed import get_worker

    _begin_worker()
    submits = prepare.keywords["submit"] and scene.task is not None
    require_fit(facts(), get_worker().address, version, submit=submits)
    return prepare(scene, known)


@cache
def _begin_worker() -> None:
    """Set up this process once, before its first scene."""
    configure_malloc()


@cache
def _version() -> str:
    from importlib.metadata import version

    return version("lidarprep")


def _require_dask() -> None:
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise MissingExtraError("a cluster", "dask") from None
