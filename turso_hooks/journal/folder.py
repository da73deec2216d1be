"""The files of a journal: where they lie, what they are called, who may read them, and who owns which.

    {state folder}/journals/{hash of the database}/       mode 0700
        target                                            the database's URL without secrets, for people
        {writer id}.{number of the segment}.v1.segment    mode 0600

A segment belongs to whoever holds its `flock`: its writer while that lives, and then whichever shipper takes it. The lock
goes with the last descriptor of its open file, so a forked child must close the ones it inherits and never unlock them. A
segment is created under another name and renamed once it is locked: nobody can adopt it in between. Files of another version
have another ending and are never touched.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path

from turso_hooks import forking
from turso_hooks.errors import JournalUnwritable
from turso_hooks.journal.framing import salt_of

_SEGMENT_NAME = re.compile(r"(?P<writer>[0-9a-f]{32})\.(?P<index>\d{8})\.v1\.segment")
_FOREIGN_NAME = re.compile(r"[0-9a-f]{32}\.(\d{8}\.)?v\d+\.[a-z]+")
_UNFINISHED_S = 60.0
"""Creating a file takes microseconds; one that is still unfinished after a minute belongs to a process that died at it."""

_OPEN_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


def new_writer_id() -> str:
    """32 hex digits: the time in nanoseconds, then random ones, so that older writers sort first."""
    return f"{time.time_ns():016x}{os.urandom(8).hex()}"


@dataclass(frozen=True)
class JournalFile:
    """A file with records: whose it is, and which of that writer's."""

    path: Path
    writer_id: str
    index: int


_open_segments: set[Segment] = set()
_being_opened: list[tuple[int, Path]] = []
"""Threads that have opened a file, in which folder, from before that until it is among `_open_segments`.

Not a lock, for which a fork would wait: whoever held it could be made to log by a `__del__`, and wait for a writer.
"""


@contextmanager
def _opening(folder: Path) -> Iterator[None]:
    entry = (threading.get_ident(), folder)
    _being_opened.append(entry)
    try:
        yield
    finally:
        with suppress(ValueError):  # a forked child has forgotten it
            _being_opened.remove(entry)


def _close_inherited() -> None:
    """In a forked child: close what belongs to the parent. The parent's descriptors keep the locks."""
    inherited = list(_open_segments)
    _open_segments.clear()
    for segment in inherited:
        segment.close()
    others = {folder for thread, folder in _being_opened if thread != threading.get_ident()}
    _being_opened.clear()
    if others:
        _close_descriptors(others)


def _close_descriptors(folders: set[Path]) -> None:
    """Close whatever is open of the files in these folders: a thread that is not here had not come to say so."""
    files: set[tuple[int, int]] = set()
    for folder in folders:
        with suppress(OSError):
            files.update(identity for path in folder.iterdir() if (identity := _identity(path.lstat)))
    for name in os.listdir("/dev/fd"):  # noqa: PTH208  # no paths
        descriptor = int(name)
        if _identity(partial(os.fstat, descriptor)) in files:
            os.close(descriptor)


def _identity(look: Callable[[], os.stat_result]) -> tuple[int, int] | None:
    try:
        found = look()
    except OSError:
        return None
    return found.st_dev, found.st_ino


forking.in_child(_close_inherited)


@dataclass(eq=False)
class Segment:
    """A segment that is open, and locked by this process unless it only looks; forked children close theirs."""

    path: Path
    writer_id: str
    index: int
    fd: int
    is_final: bool
    """Nothing more will be appended."""
    size: int = 0
    """Bytes in it; set once `is_final`, and for one that is looked into."""
    salt: int = field(init=False)

    def __post_init__(self) -> None:
        """Derive what reading and writing need, and be known as open."""
        self.salt = salt_of(self.writer_id)
        _open_segments.add(self)

    def length(self) -> int:
        """How many bytes are in it now."""
        return os.fstat(self.fd).st_size

    def is_in_place(self) -> bool:
        """Whether the file that is open is still the one at its path: someone may have deleted or replaced it."""
        there = _identity(self.path.stat)
        return there is not None and there == _identity(partial(os.fstat, self.fd))

    def close(self) -> None:
        """Let go of the file, and with it of the lock."""
        fd, self.fd = self.fd, -1
        _open_segments.discard(self)
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def remove(self) -> None:
        """Delete the file, all of it being in the database, and let go of it."""
        if self.is_in_place():
            with suppress(FileNotFoundError):
                self.path.unlink()
        self.close()


class JournalFolder:
    """The folder in which what is bound for one database waits."""

    def __init__(self, state_folder: Path, target: str) -> None:
        self.target = target
        self.unreadable: set[Path] = set()
        """Files that `adopt` could not open, such as another user's."""
        self.path = state_folder / "journals" / blake2b(target.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()

    @classmethod
    def all_in(cls, state_folder: Path) -> list[JournalFolder]:
        """Every journal that is there, in the order of their targets. One whose label is gone has the target `unknown:…`."""
        found: list[JournalFolder] = []
        with suppress(FileNotFoundError, NotADirectoryError):
            for path in (state_folder / "journals").iterdir():
                if path.is_dir():
                    try:
                        target = (path / "target").read_text("utf-8", errors="surrogateescape").rstrip("\n")
                    except OSError:
                        target = ""
                    folder = cls(state_folder, target or f"unknown:{path.name}")
                    folder.path = path
                    found.append(folder)
        return sorted(found, key=lambda folder: folder.target)

    def create(self) -> None:
        """Make the folder, readable by its owner only, and say in it which database it is for."""
        for folder in (self.path.parent.parent, self.path.parent, self.path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.path / "target").exists():
            self.write_note("target", self.target + "\n")

    def write_note(self, name: str, text: str) -> None:
        """Write a small file beside the segments, wholly or not at all, whoever else does so at once. Raises `OSError`."""
        beginning = self.path / f".{name}.{os.getpid()}.{threading.get_ident()}.new"
        fd = os.open(beginning, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        beginning.rename(self.path / name)

    def create_segment(self, writer_id: str, index: int) -> Segment:
        """A new, empty, locked segment. Raises `JournalUnwritable`, saying why."""
        path = self.path / f"{writer_id}.{index:08d}.v1.segment"
        with _opening(self.path):
            return Segment(path, writer_id, index, self._create_locked(path), is_final=False)

    def adopt(self, *, without: Collection[str] = (), limit: int = 64) -> list[Segment]:
        """Take up to `limit` segments whose writer is gone, oldest writer first, except those of the writers `without`.

        Of one writer they are taken in order, and none after one that someone else holds: a writer's records are shipped in
        order, by one shipper at a time. What cannot be opened is noted in `unreadable`, and the rest goes on.
        """
        self._sweep()
        adopted: list[Segment] = []
        held = set(without)
        for path, match in self._matching(_SEGMENT_NAME):
            if match["writer"] in held:
                continue
            if len(adopted) >= limit:
                break
            try:
                segment = _open_locked(path, match["writer"], int(match["index"]))
            except JournalUnwritable:
                self.unreadable.add(path)
                segment = None
            if segment is None:
                held.add(match["writer"])
            else:
                adopted.append(segment)
        return adopted

    def used_bytes(self) -> int:
        """What all files of the journal hold together."""
        total = 0
        with suppress(FileNotFoundError), os.scandir(self.path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    total += entry.stat().st_size
        return total

    def files(self) -> list[JournalFile]:
        """The segments, each writer's in order and the oldest writer first."""
        return [JournalFile(path, m["writer"], int(m["index"])) for path, m in self._matching(_SEGMENT_NAME)]

    def waiting(self) -> list[tuple[Path, int]]:
        """The files with records and their sizes, whoever owns them."""
        found: list[tuple[Path, int]] = []
        for file in self.files():
            with suppress(FileNotFoundError):
                if size := file.path.stat().st_size:
                    found.append((file.path, size))
        return found

    def of_another_version(self) -> list[Path]:
        """Journal files written by another version of turso-hooks, which this one leaves alone."""
        known = {file.path for file in self.files()}
        return [path for path, _ in self._matching(_FOREIGN_NAME) if path not in known]

    def _matching(self, pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
        try:
            names = sorted(path.name for path in self.path.iterdir())
        except FileNotFoundError:
            return
        for name in names:
            if match := pattern.fullmatch(name):
                yield self.path / name, match

    def _sweep(self) -> None:
        """Delete what a process left that died while it was creating a file: such files are empty and have no name yet."""
        for path in self.path.glob(".*.new"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _UNFINISHED_S:
                    path.unlink()

    def _create_locked(self, path: Path) -> int:
        beginning = path.with_name(f".{path.name}.new")
        try:
            self.create()
            fd = os.open(beginning, _OPEN_FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                beginning.rename(path)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise JournalUnwritable(f"cannot create {path}: {error.strerror or error}") from error
        return fd


def _open_locked(path: Path, writer_id: str, index: int) -> Segment | None:
    """The file at `path` if its lock can be had, and if it still is that file once it is."""
    try:
        with _opening(path.parent):
            fd = os.open(path, _OPEN_FLAGS)
            segment = Segment(path, writer_id, index, fd, is_final=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalUnwritable(f"cannot open {path}: {error.strerror or error}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        segment.close()
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return None
        raise JournalUnwritable(f"cannot lock {path}: {error.strerror or error}") from error
    if not segment.is_in_place():
        segment.close()
        return None
    segment.size = segment.length()
    return segment
