"""The recorder: the plugin that keeps every event. Nothing that happens in here reaches the agent.

A hook call redacts the event, encodes it and appends it to the journal: microseconds, no network, no database, no lock that a
slow one holds. The rest happens on the shipping thread.

What to do is read from the environment with the first event (`settings`). Without `TURSO_DATABASE_URL` the recorder is inert;
with one it cannot use it warns once, in the log `turso_hooks`, and is inert.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable

from turso_hooks import forking
from turso_hooks.drivers import parse_database_url
from turso_hooks.errors import JournalError, JournalUnsynced, TursoHooksError, describe
from turso_hooks.events import Event, encode, encode_cut, encode_marked
from turso_hooks.hookspecs import hookimpl
from turso_hooks.settings import Settings, load_settings
from turso_hooks.shipping import Counts, FlushResult, Pipeline, warn_once

Redact = Callable[[Event], Event | None]
"""Shapes an event before it is kept; None drops it."""


def _record_event(self: Recorder, event: Event) -> None:
    """Keep an event. Returns in microseconds and never raises."""
    try:
        if self.redact is not None:
            kept = self.redact(event)
            if kept is None:
                return
            event = kept
        sink = self._sink
        pipeline = sink.pipeline
        if pipeline is None:
            pipeline = sink.open()
            if pipeline is None:
                return
        try:
            payload = encode(event)
        except Exception:  # noqa: BLE001  # msgspec passes on whatever a value's own code raises
            payload = encode_marked(event)
            sink.counts.add("rewritten")
        if len(payload) > sink.max_event_bytes:
            payload = encode_cut(event, sink.max_event_bytes)
            sink.counts.add("cut")
        pipeline.append(payload)
    except Exception as error:  # noqa: BLE001  # the agent never sees a failure of its log; it is counted and reported
        self._sink.lost(error)


class _Sink:
    """Where recorders put events: one pipeline, opened by the first event, or nothing."""

    def __init__(self, settings: Settings | None) -> None:
        self._given = settings
        self._lock = threading.RLock()
        self._nothing_is_kept: str | None = None
        """Why not, if so; it does not change any more."""
        self.pipeline: Pipeline | None = None
        self.counts = Counts()
        self.max_event_bytes = 0
        with _registry:
            _sinks.add(self)

    def open(self) -> Pipeline | None:
        """The pipeline that the settings ask for; None if there is none to be had, now and later."""
        if self._nothing_is_kept is not None:
            return None
        try:
            return self._configured()
        except TursoHooksError as error:
            self._nothing_is_kept = f"nothing is kept: {error}"
            warn_once(f"settings:{error}", "conversations are not kept: %s", error)
            return None

    def _configured(self) -> Pipeline | None:
        with self._lock:
            if self.pipeline is None:
                settings = self._given or load_settings()
                if not settings.database_url:
                    self._nothing_is_kept = "nothing is kept: no database is named; set TURSO_DATABASE_URL"
                    return None
                pipeline = Pipeline(settings, parse_database_url(settings.database_url), self.counts)
                self.max_event_bytes = settings.max_event_bytes
                self.pipeline = pipeline
            return self.pipeline

    def lost(self, error: Exception) -> None:
        """Count an event that is not kept, or not as asked for, and say so once for each reason."""
        reason = error.reason if isinstance(error, JournalError) else "unencodable"
        self.counts.add(reason)
        outcome = "kept, but not on the disk yet" if isinstance(error, JournalUnsynced) else "not kept"
        warn_once(f"lost:{reason}", "an event was %s (%s): %s", outcome, reason, describe(error))

    def flush(self, timeout_s: float) -> FlushResult:
        """See `Recorder.flush`."""
        return self._inert() if self.pipeline is None else self.pipeline.flush(timeout_s)

    def close(self, timeout_s: float) -> FlushResult:
        """See `Recorder.close`."""
        return self._inert() if self.pipeline is None else self.pipeline.close(timeout_s)

    def _inert(self) -> FlushResult:
        return FlushResult(problem=self._nothing_is_kept, counts=dict(self.counts.total()))

    def begin_anew(self) -> None:
        """In a forked child: locks may be held by threads that are not there, and the counts are the parent's to tell."""
        self._lock = threading.RLock()
        self.counts.begin_anew()


class Recorder:
    """The plugin object. `recorder` is the one that the entry point names; others are for those who bring their settings.

    Without `settings` the environment decides, at the first event. `redact` is set by the plugin manager with which a recorder
    is registered, and is that manager's chain of redactors.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._sink = _Sink(settings)
        self.redact: Redact | None = None

    def sibling(self) -> Recorder:
        """A recorder of the same settings, journal and counts, with redactors of its own."""
        other = object.__new__(type(self))
        other._sink = self._sink
        other.redact = None
        return other

    def is_sibling(self, other: Recorder) -> bool:
        """Whether two recorders share settings, journal and counts."""
        return self._sink is other._sink

    def record(self, event: Event) -> None:
        """Keep an event that did not come through a hook. Returns in microseconds and never raises."""
        _record_event(self, event)

    def count(self, reason: str, number: int = 1) -> None:
        """Count something that was not kept."""
        self._sink.counts.add(reason, number)

    def counts(self) -> Counter[str]:
        """What was not kept, or not kept as it was, by reason, since this process began."""
        return self._sink.counts.total()

    def flush(self, timeout_s: float) -> FlushResult:
        """Wait until everything recorded so far is in the database, at most `timeout_s` seconds."""
        return self._sink.flush(timeout_s)

    def close(self, timeout_s: float) -> FlushResult:
        """Flush, stop the shipping thread and let go of the journal. A later event starts all of it anew."""
        return self._sink.close(timeout_s)

    # One function under every hook's name: a method that calls another would cost each event a call more.
    session_started = hookimpl(_record_event, tryfirst=True)
    message_added = session_started
    model_call_started = session_started
    model_call_finished = session_started
    tool_call_started = session_started
    tool_call_finished = session_started
    session_ended = session_started
    note_added = session_started


_sinks: weakref.WeakSet[_Sink] = weakref.WeakSet()
_registry = threading.RLock()

recorder = Recorder()
"""The recorder of the entry point `turso`."""


def flush(timeout_s: float = 10.0) -> FlushResult:
    """Wait until everything recorded so far, by any recorder of this process, is in its database.

    Blocks for at most `timeout_s` seconds; in an async program call it on a worker thread. The result says what was not
    shipped, and why; that waits in the journal.
    """
    return _for_all(_Sink.flush, timeout_s)


def close(timeout_s: float = 10.0) -> FlushResult:
    """As `flush`, and stop the shipping threads. Happens by itself at exit; a later event starts them again."""
    return _for_all(_Sink.close, timeout_s)


def _for_all(what: Callable[[_Sink, float], FlushResult], timeout_s: float) -> FlushResult:
    deadline = time.monotonic() + timeout_s
    with _registry:
        sinks = list(_sinks)
    results = [what(sink, max(deadline - time.monotonic(), 0)) for sink in sinks]
    # Where one recorder keeps what is said, it is no news that another keeps nothing.
    keeping = [result for sink, result in zip(sinks, results, strict=True) if sink.pipeline is not None]
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(result.counts)
    return FlushResult(
        is_complete=all(result.is_complete for result in results),
        waiting=sum(result.waiting for result in results),
        dead_letters=sum(result.dead_letters for result in results),
        problem=next((result.problem for result in keeping or results if result.problem), None),
        counts=dict(counts),
    )


def _after_fork_in_child() -> None:
    global _registry  # noqa: PLW0603  # another thread may have held the lock when it was copied
    _registry = threading.RLock()
    for sink in list(_sinks):
        sink.begin_anew()


forking.in_child(_after_fork_in_child)
