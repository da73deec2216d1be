"""Appending records: one `os.write` each, to a segment that only this process writes.

When `append` has returned, the record is in the operating system's hands: it survives the process, killed or not. It
survives a power cut only with `fsync`.

Any thread may append, and so may a signal handler or a `__del__` that interrupts an append: the lock is re-entrant, and no
step leaves a state in which a second append on the same thread goes wrong. A forked child lets go of the segments it
inherited, without unlocking them, and becomes a writer of its own with its first append.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable

from turso_hooks import forking
from turso_hooks.errors import JournalError, JournalFull, JournalTorn, JournalUnsynced, JournalUnwritable
from turso_hooks.journal.folder import JournalFolder, Segment, new_writer_id
from turso_hooks.journal.framing import HEADER_BYTES, frame

_RETRY_S = 1.0
"""How long a refusal stands before the disk is asked again: a hook must not pay for a full one each time."""

_MOST_OPEN = 64
"""Segments a process keeps open, and so descriptors of its host's: beyond that the last one grows past its size."""

_SHARES = 64
"""Into how many parts the journal's size is divided: each process may exceed it by one."""

_write = os.write


class Writer:
    """Appends the records of one process to the journal in `folder`.

    `max_bytes` is what the whole folder may hold, `segment_bytes` when a segment is closed and the next begun. `on_begin` is
    called with this writer, on the appending thread, whenever it begins a segment.
    """

    def __init__(
        self,
        folder: JournalFolder,
        *,
        max_bytes: int,
        segment_bytes: int,
        fsync: bool = False,
        on_begin: Callable[[Writer], None] = lambda _: None,
    ) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._fsync = fsync
        self._on_begin = on_begin
        self._successor: Writer | None = None
        self._begin_anew()
        with _registry:
            _writers.add(self)

    def _begin_anew(self) -> None:
        self.writer_id = new_writer_id()
        self.appended_records = 0
        self._lock = threading.RLock()
        self._sealed_end = (0, 0)
        self._numbers = itertools.count()
        self._segments: list[Segment] = []
        self._next_index = 1
        self._current: Segment | None = None
        self._room_bytes = 0
        """What may be appended before anything has to be looked at: room of the folder and of the segment."""
        self._granted_bytes = 0
        """What `_room_bytes` was when it was last set."""
        self._share_bytes = 0
        """What this process may still take of the folder's room, as of that moment."""
        self._found_full_at = float("-inf")
        self._refusal: JournalError | None = None
        self._refused_at = float("-inf")
        self._is_rotating = False

    def append(self, payload: bytes) -> None:
        """Append one record. Raises `JournalFull` or `JournalUnwritable`: then it is not kept, and its number is used up."""
        # All in one function, and one comparison for everything that is seldom: this is the agent's time.
        with self._lock:
            number = next(self._numbers)
            segment = self._current
            if segment is None or len(payload) + HEADER_BYTES > self._room_bytes:
                segment = self._make_room(len(payload) + HEADER_BYTES)
            if segment is not None:
                record = frame(payload, number, segment.salt)
                try:
                    written = _write(segment.fd, record)
                except OSError as error:
                    raise JournalUnwritable(f"cannot append to {segment.path}: {error.strerror}") from error
                if written != len(record):
                    self.seal()
                    raise JournalTorn(f"cannot append to {segment.path}: the disk took {written} of {len(record)} bytes")
                self._room_bytes -= written
                self.appended_records += 1
                if self._fsync:
                    self._sync(segment)
                return
        # Not under the lock: holding two of them, in whatever order, could meet a fork that takes all of them.
        assert self._successor is not None
        self._successor.append(payload)

    def append_beyond_cap(self, payload: bytes) -> None:
        """As `append`, for the few bytes that tell what was refused: a full journal takes them all the same."""
        lent_bytes = len(payload) + HEADER_BYTES
        with self._lock:
            self._share_bytes += lent_bytes
            self._refused_at = float("-inf")  # it may be the last word: no refusal stands
        try:
            self.append(payload)
        except JournalError:
            with self._lock:
                self._share_bytes -= lent_bytes
            raise

    @staticmethod
    def _sync(segment: Segment) -> None:
        try:
            os.fsync(segment.fd)
        except OSError as error:
            raise JournalUnsynced(f"cannot force {segment.path} to the disk: {error.strerror}") from error

    def segments(self) -> list[Segment]:
        """The segments of this process that are not discarded, oldest first; the last one may still grow."""
        return list(self._segments)

    def end(self) -> tuple[int, int]:
        """Up to where this process has appended: a segment's number and an offset in it. (0, 0) before the first record."""
        with self._lock:
            current = self._current
            size = 0 if current is None else current.length()
            return self._sealed_end if current is None or size == 0 else (current.index, size)

    def seal(self) -> None:
        """Close the current segment for appending; the next record begins another. A deleted one is left the same way."""
        with self._lock:
            if self._current is not None:
                self._seal(self._current)
                self._current = None

    def discard(self, segment: Segment) -> bool:
        """Delete a sealed segment: all of it is in the database. False if there is more in it than when it was sealed.

        That happens if a signal handler made the segment be sealed in the middle of an append, which then went on.
        """
        with self._lock:
            if segment in self._segments:
                size = segment.length()
                if size != segment.size:
                    segment.size = size
                    return False
                segment.remove()
                self._segments.remove(segment)
        return True

    def check(self) -> bool:
        """Whether the current segment is still where it was made; if not, it is sealed, and stays readable."""
        with self._lock:
            current = self._current
            if current is None or current.is_in_place():
                return True
            self._seal(current)
            self._current = None
            return False

    def retire(self, successor: Writer) -> None:
        """Take no more records: what is appended from now on, even by a thread that is at it, goes to `successor`."""
        with self._lock:
            self.seal()
            self._successor = successor

    @property
    def is_retired(self) -> bool:
        """Whether it takes no more records."""
        return self._successor is not None

    def close(self) -> None:
        """Let go of all segments: what is in them is there for the next shipper to adopt."""
        with self._lock:
            self.seal()
            for segment in self._segments:
                segment.close()
            self._segments.clear()

    def _make_room(self, needed_bytes: int) -> Segment | None:
        """The segment for a record that exceeds the room known of; None if this writer takes no more."""
        if self._current is None and self._successor is not None:
            return None
        self._share_bytes -= self._granted_bytes - self._room_bytes
        self._granted_bytes = self._room_bytes = 0
        if self._current is None:
            self._segment_for(needed_bytes)  # even if the record is then refused: shipping begins with the first segment
        if needed_bytes > self._share_bytes:
            self._take_share(needed_bytes)
        segment = self._segment_for(needed_bytes)
        rest_bytes = self._segment_bytes - segment.length() % self._segment_bytes
        self._granted_bytes = self._room_bytes = max(needed_bytes, min(self._share_bytes, rest_bytes))
        return segment

    def _segment_for(self, needed_bytes: int) -> Segment:
        """The current segment if the record fits, or if it is empty; else a new one.

        While none can be begun, and for an append that interrupts the beginning of one, the old one goes on.
        """
        current = self._current
        if current is not None:
            size = current.length()
            if size == 0 or size + needed_bytes <= self._segment_bytes or len(self._segments) >= _MOST_OPEN:
                return current
            if self._is_rotating or self._is_refusal_standing():
                return current
        if self._refusal is not None and self._is_refusal_standing():
            raise self._refusal
        return self._begin_segment()

    def _begin_segment(self) -> Segment:
        self._is_rotating = True
        index, self._next_index = self._next_index, self._next_index + 1
        try:
            created = self.folder.create_segment(self.writer_id, index)
        except JournalUnwritable as error:
            self._refusal, self._refused_at = error, time.monotonic()
            if self._current is None:
                raise
            return self._current
        finally:
            self._is_rotating = False
        return self._take_up(created)

    def _take_up(self, created: Segment) -> Segment:
        """Make a segment the current one, unless an append that interrupted this has begun a later one by now."""
        self._segments.append(created)
        latest = max(self._segments, key=lambda segment: segment.index)
        if latest is not created:
            self._segments.remove(created)
            created.remove()
            return latest
        previous, self._current = self._current, created
        if previous is not None:
            self._seal(previous)
        self._on_begin(self)
        return created

    def _is_refusal_standing(self) -> bool:
        return time.monotonic() - self._refused_at < _RETRY_S

    def _seal(self, segment: Segment) -> None:
        segment.size = segment.length()
        segment.is_final = True
        if segment.size:
            self._sealed_end = (segment.index, segment.size)

    def _take_share(self, needed_bytes: int) -> None:
        """Measure the folder and take a share of the room; raises `JournalFull` if there is none.

        Other processes write to the folder as well, so that no more than a share is taken at a time. A folder found full is
        measured again only after a while.
        """
        now = time.monotonic()
        if now - self._found_full_at >= _RETRY_S:
            free_bytes = max(self._max_bytes - self._used_bytes(), 0)
            share_bytes = self._max_bytes // _SHARES
            fits = needed_bytes <= free_bytes
            self._share_bytes = min(free_bytes, max(needed_bytes, share_bytes) if fits else share_bytes)
            if not fits and free_bytes < share_bytes:
                self._found_full_at = now
        if needed_bytes > self._share_bytes:
            raise JournalFull(f"the journal for {self.folder.target} holds {self._max_bytes} bytes, as many as it may")

    def _used_bytes(self) -> int:
        try:
            return self.folder.used_bytes()
        except OSError as error:
            raise JournalUnwritable(f"cannot look into {self.folder.path}: {error.strerror}") from error

    def _abandon(self) -> None:
        """In a forked child: the segments are the parent's, and closed by now; start over."""
        self._begin_anew()

    def _acquire(self) -> None:
        self._lock.acquire()

    def _release(self) -> None:
        self._lock.release()


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()
_registry = threading.RLock()
_held_for_fork: list[Writer] = []


def _before_fork() -> None:
    """Wait until nobody is in the middle of an append, so that the child inherits whole states."""
    _registry.acquire()
    _held_for_fork[:] = _writers
    for writer in _held_for_fork:
        writer._acquire()  # noqa: SLF001  # the module's own


def _after_fork_in_parent() -> None:
    for writer in _held_for_fork:
        writer._release()  # noqa: SLF001  # the module's own
    _held_for_fork.clear()
    _registry.release()


def _after_fork_in_child() -> None:
    global _registry  # noqa: PLW0603  # not released: some programs fork in ways of their own, and never held it
    for writer in {*_held_for_fork, *_writers}:
        writer._abandon()  # noqa: SLF001  # the module's own
    _held_for_fork.clear()
    _registry = threading.RLock()


forking.hold(forking.WRITERS, _before_fork, _after_fork_in_parent, _after_fork_in_child)
