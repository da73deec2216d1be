"""What Claude Code's hooks were told, kept as it is until a process with more time takes it.

A hook is a process that Claude Code starts and perhaps waits for. This one appends what it reads to a file, starts `turso-hooks
drain` if a turn is over and none runs, and ends: with 0, without a word, whatever happens, for a hook that fails or prints
changes what the agent does. It imports nothing that costs time, so it finds its folder by itself.

    {state folder}/claude-code/{key}.jsonl             one line a hook: {"at": nanoseconds since 1970, "said": {…}}
    {state folder}/claude-code/{key}.{n}.taken         the same, while it is turned into events
    {state folder}/claude-code/{key}.refused           a byte for each that was not kept
    {state folder}/claude-code/{key}.lock              held by the drain that runs

The key is a checksum of the database's URL (and of the working folder, if the URL is relative to it), which may not be written
down, for it may hold a token. This is not the journal: decoding and redaction come later, so only a drain of the same
installation may take it, not any process that ships.

Appending is one write under a shared lock, of a line that begins with a line break: a torn one costs only itself. A file is
taken by renaming it; whoever had it open before finds that out once it has the lock, and appends to the next one.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
import zlib

from turso_hooks.state_folder import default_state_folder

TYPE_CHECKING = False  # typing costs as much as all the rest here
if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "claude-code"
MAX_BYTES = 1 << 30
"""The most that one file may hold; the transcripts have what comes beyond it."""

DRAIN_IDLE_S = 5
_ENDS = (b'"Stop"', b'"SubagentStop"', b'"SessionEnd"', b'"StopFailure"')
"""What stands in the input of a hook that ends something. If it stands elsewhere in it, a drain has little to do."""

_DRAIN = "import sys; sys.path.pop(0); from turso_hooks.cli.main import main; main()"
"""Without the working folder, where a project may have modules of any name."""


def hook() -> None:
    """Keep what standard input has, for whoever drains it. Never raises, never prints, and ends the process with 0."""
    try:
        said = _standard_input()
        url = os.environ.get("TURSO_DATABASE_URL")
        if url and said.strip():
            inbox = Inbox(state_folder(), url)
            inbox.append(said, time.time_ns())
            if any(end in said for end in _ENDS) and not inbox.is_drained():
                _start_drain()
    except BaseException:  # noqa: BLE001, S110  # the agent waits for this process, and reads its exit code
        pass
    os._exit(0)  # nothing is buffered, and an interpreter's exit costs milliseconds


def _standard_input() -> bytes:
    pieces = []
    while piece := os.read(0, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def state_folder() -> str:
    """The folder of `Settings.state_folder`, without what it takes to read settings; a test compares the two."""
    named = os.environ.get("TURSO_HOOKS_STATE_FOLDER")
    if named:
        path = os.path.expanduser(named)  # noqa: PTH111  # pathlib costs as much as python
        return _as_pathlib(path if path.startswith("/") else f"{os.getcwd()}/{path}")  # noqa: PTH109  # as above
    return _as_pathlib(default_state_folder())


def _as_pathlib(path: str) -> str:
    """As `pathlib` writes it: without what is between two slashes and says nothing."""
    return "/" + "/".join(part for part in path.split("/") if part not in {"", "."})


def _start_drain() -> None:
    arguments = [sys.executable, "-c", _DRAIN, "drain", "--idle", str(DRAIN_IDLE_S)]
    os.closerange(3, 65536)  # what whoever started Claude Code has open, and waits to see closed
    nowhere = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
    os.posix_spawn(sys.executable, arguments, os.environ, file_actions=nowhere, setsid=True)


def waiting_bytes(folder: str, url: str | None) -> int:
    """How much there is to take for one database, or for all of them, in a state folder."""
    return sum(os.stat(path).st_size for path in _files(f"{folder}/{FOLDER}", Inbox(folder, url).name if url else ""))  # noqa: PTH116  # as above


def _files(folder: str, name: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  # as above
    except OSError:  # it is not there yet, or no folder
        return []
    return [f"{folder}/{each}" for each in names if each.startswith(name) and each.endswith((".jsonl", ".taken"))]


class Inbox:
    """The files for one database."""

    def __init__(self, folder: str, url: str) -> None:
        scheme, _, path = url.partition(":")
        if scheme.lower() == "file" and not path.startswith("/"):
            url += "\0" + os.getcwd()  # noqa: PTH109  # as above
        key = url.encode("utf-8", "surrogateescape")
        self.folder = f"{folder}/{FOLDER}"
        self.name = f"{zlib.crc32(key):08x}{zlib.adler32(key):08x}"
        self.path = f"{self.folder}/{self.name}.jsonl"

    def append(self, said: bytes, at_ns: int) -> None:
        """Append one line. Raises `OSError` if it cannot be kept; what there is no room for is counted in `.refused`."""
        # A line break in JSON stands between its tokens, where a space does as well.
        line = b'\n{"at":%d,"said":%b}\n' % (at_ns, said.strip().replace(b"\r", b" ").replace(b"\n", b" "))
        os.makedirs(self.folder, mode=0o700, exist_ok=True)  # noqa: PTH103  # as above
        while True:
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_SH)
                if self._is(fd):
                    if os.fstat(fd).st_size + len(line) > MAX_BYTES:
                        self._refuse()
                    else:
                        os.write(fd, line)  # a part of it is found out, and counted, by who takes it
                    break
            except OSError:
                self._refuse()
                raise
            finally:
                os.close(fd)

    def _is(self, fd: int) -> bool:
        """Whether what is open is still the file of that name."""
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self.path))  # noqa: PTH116  # as above
        except FileNotFoundError:
            return False

    def _refuse(self) -> None:
        fd = os.open(f"{self.folder}/{self.name}.refused", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, b".")
        finally:
            os.close(fd)

    def is_drained(self) -> bool:
        """Whether a drain runs that will see what was appended before this was asked."""
        lock = self.lock()
        if lock is None:
            return True
        os.close(lock)
        return False

    def lock(self) -> int | None:
        """The lock of the one drain, as a descriptor to close; None if another has it."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)  # noqa: PTH103  # as above
        fd = os.open(f"{self.folder}/{self.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return None
        return fd

    def take(self) -> Iterator[str]:
        """The files with lines, one after the other, each deleted when the next is asked for. Only for who has the lock."""
        try:
            taken = f"{self.folder}/{self.name}.{time.time_ns():020d}.taken"
            os.rename(self.path, taken)  # noqa: PTH104  # as above
            fd = os.open(taken, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX)  # until whoever is appending has done so
            os.close(fd)
        except FileNotFoundError:
            pass
        for path in _files(self.folder, self.name):
            if path.endswith(".taken"):
                yield path
                os.unlink(path)  # noqa: PTH108  # as above

    def take_refused(self) -> int:
        """How many were not kept since this was asked last."""
        path = f"{self.folder}/{self.name}.refused"
        try:
            number = os.stat(path).st_size  # noqa: PTH116  # as above
            os.unlink(path)  # noqa: PTH108  # as above
        except FileNotFoundError:
            return 0
        return number
