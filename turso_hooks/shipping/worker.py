"""The shipping thread: when to ship, what to do about failures, and whom to tell when it is done.

A daemon thread with a clock. The agent's threads never wake it (that would cost more than the append): it looks for new
records at every tick, and goes on without a pause while there are any. `flush` and `close` wake it.

Failures are sorted here. What may pass by itself (`DatabaseUnavailable`) is tried again after a growing, random pause; what a
person must mend is said once, clearly, and tried again in the same way; a refused row has become a dead letter before it gets
here. Nothing is thrown away in any case: it waits in the journal.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from turso_hooks.errors import DatabaseError, DatabaseLocked, DatabaseUnavailable, describe
from turso_hooks.journal import Writer
from turso_hooks.shipping.backoff import backoff_s
from turso_hooks.shipping.counts import Counts, log, warn_once
from turso_hooks.shipping.shipper import Shipper

_ADOPT_EVERY_S = 2.0
"""How often to look for segments without a writer."""

_ADOPT_FOR_S = 1.0
"""How long at once to be busy with these: a large backlog is no reason to do nothing else."""

_LET_OTHERS_S = 0.001
"""Between two batches: SQLite's lock goes to whoever asks first, and who has just let go of it would always be that."""

_BATCHES_A_ROUND = 20
"""Batches of this process's own records between two looks at the clock."""

_TELL_EVERY_S = 1.0
"""How often counts are written to the journal while they grow."""

_TELL_SELDOM_S = 600.0
"""How often at least, while the database is out of reach: they go beyond the journal's cap, and must not go on for ever."""

_CHECK_EVERY_S = 1.0
"""How often to look whether the journal is still where it was."""

_LOCKED_PAUSE_S = 0.5
"""The longest pause while another program holds the database: it lets go without telling."""

_WANTED_PAUSE_S = 0.1
"""How long to wait before the one further attempt for whoever flushes or exits."""

_PATIENCE_S = 30.0
"""How long a database may be out of reach before it is worth a warning."""


class Worker:
    """The shipping thread of one process and one database."""

    def __init__(self, shipper: Shipper, writer: Writer, counts: Counts, interval_s: float) -> None:
        self._shipper = shipper
        self._writer = writer
        self._counts = counts
        self._interval_s = min(interval_s, threading.TIMEOUT_MAX)
        self._wake = threading.Event()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._has_told_last = False
        self._has_more = False
        self._failures = 0
        self._failing_since = 0.0
        self._shipped_then = 0
        self._is_wanted = False
        self._has_adopted = False
        self._has_reached = False
        self._has_warned = False
        self._retry_at = 0.0
        self._adopt_at = 0.0
        self._tell_at = 0.0
        self._check_at = 0.0
        self._tell_every_s = _TELL_EVERY_S
        self.problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="turso-hooks", daemon=True)

    def start(self) -> None:
        """Start the thread. Raises `RuntimeError` where the interpreter does not allow it any more."""
        self._thread.start()

    def wait_shipped(self, deadline: float) -> bool:
        """Wait until everything recorded before this call is in the database, or until `deadline` (monotonic)."""
        goal = self._writer.end()
        self._retry_at, self._is_wanted = 0.0, True
        self._wake.set()
        with self._changed:
            while self._shipper.own_position < goal:
                rest_s = deadline - time.monotonic()
                if rest_s <= 0 or not self._thread.is_alive():
                    return self._shipper.own_position >= goal
                self._changed.wait(min(rest_s, threading.TIMEOUT_MAX))
        return True

    def wait_adopted(self, deadline: float) -> None:
        """Wait until this worker has once shipped, for a second, what processes that are gone left; or until `deadline`."""
        with self._changed:
            while not (self._has_adopted or self.problem) and self._thread.is_alive():
                rest_s = deadline - time.monotonic()
                if rest_s <= 0:
                    return
                self._changed.wait(min(rest_s, threading.TIMEOUT_MAX))

    def problem_now(self) -> str | None:
        """What is in the way; a database that has not answered yet is."""
        is_unheard = not (self.problem or self._has_reached or self._shipper.shipped.records) and self._thread.is_alive()
        return f"no answer of {self._writer.folder.target} so far" if is_unheard else self.problem

    def note_problem(self, problem: str) -> None:
        """Note in the journal what is in the way, if that is not known there."""
        if not self.problem:
            self._shipper.note_failed(problem)

    def stop(self, deadline: float) -> None:
        """Ask the thread to end, and wait for that until `deadline` (monotonic)."""
        self._is_stopping = True
        self._wake.set()
        self._thread.join(min(max(deadline - time.monotonic(), 0), threading.TIMEOUT_MAX))

    def waiting_records(self) -> int:
        """How many of this process's records are not in the database yet."""
        return max(self._writer.appended_records - self._shipper.shipped.own_records, 0)

    def dead_letters(self) -> int:
        """How many records this worker has set aside because the database did not take them."""
        return self._shipper.shipped.dead_letters

    def tell_counts(self, *, is_last: bool = False) -> bool:
        """Write what was counted since the last time to the journal, so that it survives the process. Whether there was any.

        `is_last` says that the writer is about to be retired: what is counted later is another worker's to tell.
        """
        with self._counts.telling:
            if self._has_told_last:
                return False
            self._has_told_last = is_last
            return self._counts.tell(self._writer.append_beyond_cap)

    def _run(self) -> None:
        while not self._is_stopping:
            if not self._has_more:
                self._wake.wait(self._interval_s)
            self._wake.clear()
            self._attempt(self._look_after_journal)
            if time.monotonic() >= self._retry_at:
                self._attempt(self._work)
            self._notify()
        if not self.problem:
            self._attempt(self._finish)
        self._shipper.close()

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except DatabaseError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001  # the thread must outlive whatever goes wrong, and say so
            problem = describe(error)
            warn_once(f"shipping:{type(error).__name__}", "shipping failed: %s; events wait in the journal", problem)
            log.debug("shipping failed", exc_info=True)
            self._failed(DatabaseUnavailable("ship", "the journal", problem))

    def _look_after_journal(self) -> None:
        """What has its time whether the database answers or not."""
        now = time.monotonic()
        if now >= self._tell_at:
            is_told = self.tell_counts()
            if not self._failures:
                self._tell_every_s = _TELL_EVERY_S
            elif is_told:
                self._tell_every_s = min(2 * self._tell_every_s, _TELL_SELDOM_S)
            self._tell_at = now + self._tell_every_s
        if now >= self._check_at:
            self._check_at = now + _CHECK_EVERY_S
            if not self._writer.check():
                warn_once("journal-gone", "the journal %s was deleted while in use", self._writer.folder.path)
            for path in self._writer.folder.unreadable:
                warn_once(f"unreadable:{path}", "the journal file %s cannot be opened: see to its rights, or remove it", path)

    def _work(self) -> None:
        self._has_more = self._ship_own()
        self._has_reached = True
        now = time.monotonic()
        if now >= self._adopt_at:
            self._adopt_at = now + _ADOPT_EVERY_S
            if not self._ship_adopted(now + _ADOPT_FOR_S):
                self._adopt_at, self._has_more = now, True
            self._has_adopted = True
        if self._failures:
            self._shipper.note_reached()
            self._tell_at = 0.0  # what was counted meanwhile, and told more and more seldom
            self._tell_recovered()
        self._failures, self.problem, self._has_warned = 0, None, False

    def _ship_adopted(self, until: float) -> bool:
        """Ship what others left behind, until a moment (monotonic); whether there is nothing more of it."""
        while self._shipper.adopt():
            while self._shipper.ship_adopted():
                if self._is_stopping or time.monotonic() > until:
                    return False
                self._ship_own()
        return True

    def _finish(self) -> None:
        """Delete what is wholly shipped, and say that this writer is done if it is."""
        if not self._ship_own():
            self._shipper.finish_own()

    def _ship_own(self) -> bool:
        """Ship some of this process's records; whether there are more. Not all at once: other things have their time too."""
        for _ in range(_BATCHES_A_ROUND):
            if not self._shipper.ship_own():
                return False
            self._notify()
            self._wake.wait(_LET_OTHERS_S)
        return True

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _tell_recovered(self) -> None:
        """Whoever was warned is told that it is over."""
        if self._has_warned:
            with suppress(Exception):  # a log handler of the host's is no reason to stop
                log.info("%s is reached again; what waited in the journal is shipped", self._writer.folder.target)

    def _failed(self, error: DatabaseError) -> None:
        now = time.monotonic()
        if not self._failures or self._shipper.shipped.records != self._shipped_then:
            self._failures, self._failing_since = 0, now  # on a bad line, but getting on: no reason to wait longer each time
        self._shipped_then = self._shipper.shipped.records
        self._failures += 1
        self._has_more = False
        pause_s = backoff_s(self._failures, random.random())  # noqa: S311  # a pause is no secret
        asked_s = error.retry_after_s if isinstance(error, DatabaseUnavailable) else None
        if isinstance(error, DatabaseLocked):
            pause_s = min(pause_s, _LOCKED_PAUSE_S)
        if self._is_wanted:  # by somebody who came while this attempt was under way already
            self._is_wanted, asked_s = False, None
            pause_s = min(pause_s, _WANTED_PAUSE_S)
        self._retry_at = now + max(pause_s, asked_s or 0)
        self.problem = str(error)
        is_passing = isinstance(error, DatabaseUnavailable)
        if not is_passing or now - self._failing_since > _PATIENCE_S:
            self._has_warned = True
            # Of what a server says each time in other words the code is enough.
            warn_once(
                f"database:{error.code if error.code.startswith('HTTP') else error.problem}",
                "%s. Events wait in the journal until then.",
                error,
            )
        log.debug("shipping failed: %s", error)
