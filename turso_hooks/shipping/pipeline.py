"""The way of an event within one process: journal writer, counts, and the worker that ships, put together.

The worker is started by the first record, and again in a forked child by the child's first one.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path

from turso_hooks import forking
from turso_hooks.drivers import DatabaseTarget
from turso_hooks.journal import JournalFolder, Writer
from turso_hooks.settings import Settings
from turso_hooks.shipping.counts import NO_EVENTS, Counts, log, warn_once
from turso_hooks.shipping.shipper import Shipper
from turso_hooks.shipping.worker import Worker
from turso_hooks.store import open_store

_BUSY_S = 1.0
"""How long one attempt waits for another writer's lock; the next attempt waits again."""


@dataclass(frozen=True)
class FlushResult:
    """What became of what was recorded.

    Attributes:
        is_complete: everything recorded before the call is in the database; also if nothing was, as `problem` says then.
        waiting: how many records are not; they wait in the journal for the next attempt, process or `turso-hooks drain`.
        dead_letters: how many records the database did not take; they are set aside in it, with the reason.
        problem: why not, if that is known; or why nothing is kept at all: no database is named, or a setting is wrong.
        counts: what was not kept, or not as it was, by reason, since this process began.
    """

    is_complete: bool = True
    waiting: int = 0
    dead_letters: int = 0
    problem: str | None = None
    counts: dict[str, int] = field(default_factory=dict)


class Pipeline:
    """Takes encoded events and sees that they get into the database of `target`, which is the one that `settings` name."""

    def __init__(self, settings: Settings, target: DatabaseTarget, counts: Counts) -> None:
        self.settings = settings
        self.counts = counts
        self._target = target
        self.folder = JournalFolder(settings.state_folder, target.name)
        self._workers: dict[Writer, Worker] = {}
        self._unfinished: dict[Path, int] = {}
        self._no_thread: str | None = None
        self._lock = threading.RLock()
        self._take_up(self._new_writer())
        with _registry:
            _pipelines.add(self)

    def flush(self, timeout_s: float) -> FlushResult:
        """Wait until what was recorded so far is in the database, at most `timeout_s` seconds."""
        worker = self._worker_of(self._writer)
        if worker is not None:
            worker.tell_counts()
        return self._flush(self._writer, worker, time.monotonic() + timeout_s)

    def close(self, timeout_s: float, *, is_exit: bool = False) -> FlushResult:
        """Flush, stop the thread and let go of the journal, at most `timeout_s` seconds. A later event starts anew.

        If there is time left, what processes that are gone left behind is shipped as well, for a second if none of it was yet.
        At exit Ctrl-C ends the waiting.
        """
        deadline = time.monotonic() + timeout_s
        with self._lock:
            writer = self._writer
            worker = self._worker_of(writer)
            if worker is not None:
                worker.tell_counts(is_last=True)
            else:
                self.counts.tell(writer.append_beyond_cap)  # nothing was taken so far; if this is, shipping begins with it
            self._take_up(self._new_writer())
            writer.retire(self._writer)
        worker = self._workers.get(writer)  # an append that was under way may have started it only now
        try:
            result = self._flush(writer, worker, deadline)
            if worker is not None and result.is_complete:
                worker.wait_adopted(deadline)
        except KeyboardInterrupt:
            if not is_exit:
                raise
            deadline = time.monotonic()
            result = self._flush(writer, worker, deadline)
        if not result.is_complete and writer.segments():
            self._unfinished[writer.segments()[-1].path] = (
                writer.appended_records if worker is None else worker.waiting_records()
            )
        if worker is not None and result.problem:
            worker.note_problem(result.problem)
        self._say_untold()
        if worker is None:
            writer.close()
        else:
            worker.stop(deadline)
            self._workers.pop(writer, None)
        return result

    def _say_untold(self) -> None:
        """What is not kept, and not told either, is said at least."""
        untold = {reason: number for reason, number in self.counts.untold().items() if reason not in NO_EVENTS}
        if untold:
            said = ", ".join(f"{number} {reason}" for reason, number in sorted(untold.items()))
            warn_once(f"untold:{self.folder.target}:{said}", "the journal for %s takes no counts: %s", self.folder.target, said)

    def _worker_of(self, writer: Writer) -> Worker | None:
        if writer.appended_records and not writer.is_retired:
            self._start_worker(writer)
        return self._workers.get(writer)

    def _flush(self, writer: Writer, worker: Worker | None, deadline: float) -> FlushResult:
        if worker is None:
            waiting = writer.appended_records
            is_complete, problem, dead_letters = not waiting, self._no_thread, 0
        else:
            is_complete = worker.wait_shipped(deadline)
            waiting = 0 if is_complete else max(worker.waiting_records(), 1)
            problem, dead_letters = worker.problem_now(), worker.dead_letters()
        left = self._left_waiting()
        return FlushResult(
            is_complete=is_complete and not left,
            waiting=waiting + left,
            dead_letters=dead_letters,
            problem=None if is_complete else problem,
            counts=dict(self.counts.total()),
        )

    def _left_waiting(self) -> int:
        """How many records earlier calls of `close` had to leave that no shipper has taken yet."""
        self._unfinished = {path: waiting for path, waiting in self._unfinished.items() if path.exists()}
        return sum(self._unfinished.values())

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
        """Start shipping, if that does not go on already: no thread may have been to be had before."""
        if writer in self._workers:
            return
        database = open_store(self.settings, self._target, busy_timeout_s=_BUSY_S)
        shipper = Shipper(
            database,
            self.folder,
            writer=writer,
            batch_events=self.settings.batch_events,
            search_index=self.settings.search_index,
            retention_days=self.settings.retention_days,
        )
        worker = Worker(shipper, writer, self.counts, self.settings.ship_interval_s)
        if self._workers.setdefault(writer, worker) is not worker:  # another thread was quicker
            return
        try:
            worker.start()
        except RuntimeError as error:
            del self._workers[writer]
            self._report_no_thread(error)
        else:
            self._no_thread = None

    def _report_no_thread(self, error: RuntimeError) -> None:
        self._no_thread = f"no shipping thread can be started ({error})"
        if "interpreter" in str(error):  # it is shutting down: the next process ships
            log.debug("%s", self._no_thread)
        else:
            warn_once("no-thread", "%s; events wait in the journal, and it is tried again", self._no_thread)

    def _begin_anew(self) -> None:
        """In a forked child: the threads are the parent's, as are the connections; the first record starts our own."""
        _inherited.extend(self._workers.values())
        self._workers = {}
        self._unfinished = {}
        self._lock = threading.RLock()


_pipelines: weakref.WeakSet[Pipeline] = weakref.WeakSet()
_registry = threading.RLock()
_inherited: list[Worker] = []
"""Workers of the parent: kept, because dropping one would close what the parent still uses."""


def close_all() -> None:
    """At exit: give all pipelines together the time of the most patient to ship what waits."""
    with _registry:
        pipelines = list(_pipelines)
    deadline = time.monotonic() + max((pipeline.settings.exit_timeout_s for pipeline in pipelines), default=0.0)
    for pipeline in pipelines:
        result = pipeline.close(min(pipeline.settings.exit_timeout_s, max(deadline - time.monotonic(), 0)), is_exit=True)
        if not result.is_complete and pipeline.settings.exit_timeout_s:
            target, problem = pipeline.folder.target, result.problem or "there was no time for more"
            warn_once(f"exit:{target}", "%d records wait in the journal for %s: %s", result.waiting, target, problem)


def _after_fork_in_child() -> None:
    global _registry  # noqa: PLW0603  # another thread may have held the lock when it was copied
    _registry = threading.RLock()
    for pipeline in list(_pipelines):
        pipeline._begin_anew()  # noqa: SLF001  # the module's own


atexit.register(close_all)
forking.in_child(_after_fork_in_child)
