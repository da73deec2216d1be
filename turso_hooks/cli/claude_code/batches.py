"""Transcripts in batches, read by several processes if there are many of them: reading costs about as much as shipping."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from turso_hooks.adapters.claude_code.following import FileRead, Follower, Found, Progress, sub_agents
from turso_hooks.cli.importer import Importer
from turso_hooks.errors import TranscriptError
from turso_hooks.settings import Settings

_BATCH_BYTES = 4 * 1024 * 1024
_BATCH_FILES = 200
_MOST_PROCESSES = 4
"""One writes into the database at a time."""


@dataclass(frozen=True)
class Batch:
    """Sessions to be read together, and how far each of their files was read before."""

    sessions: list[Path]
    files: dict[str, FileRead]
    size_bytes: int


@dataclass(frozen=True)
class Imported:
    """A batch that is in the database, and what became of all events of the process that read it."""

    found: Found
    files: dict[str, FileRead]
    size_bytes: int
    process_id: int
    counts: dict[str, int]


def batches(sessions: Iterable[Path], progress: Progress) -> list[Batch]:
    """Sessions in batches of a few megabytes."""
    made: list[Batch] = []
    batch = Batch([], {}, 0)
    for session in sessions:
        paths = [session, *sub_agents(session)]
        files = {str(path): progress.files[str(path)] for path in paths if str(path) in progress.files}
        size = batch.size_bytes + sum(map(_size, paths))
        batch = Batch([*batch.sessions, session], batch.files | files, size)
        if size >= _BATCH_BYTES or len(batch.sessions) >= _BATCH_FILES:
            made.append(batch)
            batch = Batch([], {}, 0)
    return [*made, batch] if batch.sessions else made


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def imported(settings: Settings, batches: list[Batch], advance: Callable[[int], object]) -> Iterator[Imported]:
    """Import batches, in this process if there are few. Raises `DatabaseError` or `TranscriptError`."""
    processes = min(len(batches) // 2, (os.cpu_count() or 1) + 1, _MOST_PROCESSES)
    if processes < 2:  # noqa: PLR2004  # one is this one
        with Importer(settings) as importer:
            for batch in batches:
                yield _read(importer, batch)
                advance(batch.size_bytes)
        return
    spawning = get_context("spawn")
    ending, end = spawning.Pipe(duplex=False)  # an event would be a file that is gone for who begins late
    with ending, end, ProcessPoolExecutor(processes, spawning, _begin, (settings, ending)) as pool:
        try:
            with _unheard(signal.SIGINT):  # until they ignore it
                results = pool.map(_read_here, batches)
            for done in results:
                yield done
                advance(done.size_bytes)
        except BrokenProcessPool as error:
            raise TranscriptError("a process that read transcripts was killed; import again to go on") from error
        except BaseException:
            end.close()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _unheard(number: signal.Signals) -> Iterator[None]:
    """A signal waits; processes that are started meanwhile go on not hearing it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_importers: list[Importer] = []
"""That of a process that was started to read."""


def _begin(settings: Settings, ending: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started this, and says so
    _importers.append(Importer(settings, ending.poll))


def _read_here(batch: Batch) -> Imported:
    return _read(_importers[0], batch)


def _read(importer: Importer, batch: Batch) -> Imported:
    files = dict(batch.files)
    follower = Follower(importer.emit, files)
    for session in batch.sessions:
        follower.read(session)
    importer.ship()
    return Imported(follower.found, files, batch.size_bytes, os.getpid(), importer.counts)
