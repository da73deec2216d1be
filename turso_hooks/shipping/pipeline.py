"""The way of an event within one process: journal writer, counts, and the worker that ships, put together.

The worker is started by the first record, and again in a forked child by the child's first one.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from dataclasses import dataclass, field

from turso_hooks.drivers import DatabaseTarget, EmbeddedDatabase
from turso_hooks.errors import SettingsError
from turso_hooks.journal import JournalFolder, Writer
from turso_hooks.settings import Settings
from turso_hooks.shipping.counts import Counts, log
from turso_hooks.shipping.shipper import Shipper
from turso_hooks.shipping.worker import Worker

_BUSY_S = 1.0
"""How long one attempt waits for another writer's lock; the next attempt waits again."""


@dataclass(frozen=True)
class FlushResult:
    """What became of what was recorded.

    Attributes:
        is_complete: everything recorded before the call is in the database.
        waiting: how many records are not; they wait in the journal for the next attempt, process or `turso-hooks drain`.
        dead_letters: how many records the database did not take; they are set aside in it, with the reason.
        problem: why not, if that is known.
        counts: what was not kept, or not as it was, by reason, since this process began.
    """

    is_complete: bool = True
    waiting: int = 0
    dead_letters: int = 0
    problem: str | None = None
    counts: dict[str, int] = field(default_factory=dict)


class Pipeline:
    """Takes encoded events and sees that they get into the database of `target`. Raises `SettingsError` for a server."""

    def __init__(self, settings: Settings, target: DatabaseTarget, counts: Counts) -> None:
        if target.path is None:
            raise SettingsError(
                f"{target.name} is a server, and this version writes to files only: write TURSO_DATABASE_URL=file:agents.db"
            )
        self.settings = settings
        self.counts = counts
        self.folder = JournalFolder(settings.state_folder, target.name)
        self._path = target.path
        self._workers: dict[Writer, tuple[Worker, EmbeddedDatabase]] = {}
        self._lock = threading.RLock()
        self._take_up(self._new_writer())
        _pipelines.add(self)

    def flush(self, timeout_s: float) -> FlushResult:
        """Wait until what was recorded so far is in the database, at most `timeout_s` seconds."""
        worker = self._worker_of(self._writer)
        if worker is not None:
            worker.tell_counts()
        return self._flush(self._writer, worker, time.monotonic() + timeout_s)

    def close(self, timeout_s: float) -> FlushResult:
        """Flush, stop the thread and let go of the journal, at most `timeout_s` seconds. A later event starts anew."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            writer = self._writer
            worker = self._worker_of(writer)
            if worker is not None:
                worker.tell_counts(is_last=True)
            self._take_up(self._new_writer())
            writer.retire(self._writer)
        worker = self._worker_of(writer)  # an append that was under way may have started it only now
        result = self._flush(writer, worker, deadline)
        if worker is None:
            writer.close()
        else:
            worker.stop(deadline)
            self._workers.pop(writer, None)
        return result

    def _worker_of(self, writer: Writer) -> Worker | None:
        worker, _ = self._workers.get(writer, (None, None))
        return worker

    def _flush(self, writer: Writer, worker: Worker | None, deadline: float) -> FlushResult:
        if worker is None:
            waiting = writer.appended_records
            return FlushResult(is_complete=not waiting, waiting=waiting, counts=dict(self.counts.total()))
        is_complete = worker.wait_shipped(deadline)
        return FlushResult(
            is_complete=is_complete,
            waiting=0 if is_complete else max(worker.waiting_records(), 1),
            dead_letters=worker.dead_letters(),
            problem=None if is_complete else worker.problem,
            counts=dict(self.counts.total()),
        )

    def _new_writer(self) -> Writer:
        return Writer(
            self.folder,
            max_bytes=self.settings.journal_max_bytes,
            segment_bytes=self.settings.segment_bytes,
            fsync=self.settings.fsync,
            on_begin=self._start_worker,
        )

    def _take_up(self, writer: Writer) -> None:
        self._writer = writer
        self.append = writer.append
        """Keep one encoded event; see `Writer.append`."""

    def _start_worker(self, writer: Writer) -> None:
        database = EmbeddedDatabase(self._path, busy_timeout_s=_BUSY_S)
        shipper = Shipper(database, self.folder, writer=writer, batch_events=self.settings.batch_events)
        worker = Worker(shipper, writer, self.counts, self.settings.ship_interval_s)
        try:
            worker.start()
        except RuntimeError as error:  # the interpreter is shutting down: the next process ships
            log.debug("no shipping thread: %s", error)
            return
        self._workers[writer] = worker, database

    def _begin_anew(self) -> None:
        """In a forked child: the threads are the parent's, as are the connections; the first record starts our own."""
        for worker, database in self._workers.values():
            _inherited.append(worker)
            database.abandon()
        self._workers = {}
        self._lock = threading.RLock()


_pipelines: weakref.WeakSet[Pipeline] = weakref.WeakSet()
_inherited: list[Worker] = []
"""Workers of the parent: kept, because dropping one would close what the parent still uses."""


def close_all() -> None:
    """At exit: give every pipeline its time to ship what waits."""
    for pipeline in list(_pipelines):
        pipeline.close(pipeline.settings.exit_timeout_s)


def _after_fork_in_child() -> None:
    for pipeline in list(_pipelines):
        pipeline._begin_anew()  # noqa: SLF001  # the module's own


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
