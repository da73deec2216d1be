"""Reading transcripts from where the last reading ended: the files of Claude Code's sessions, as they lie on the disk.

    {CLAUDE_CONFIG_DIR or ~/.claude}/projects/{folder}/{session id}.jsonl
    {CLAUDE_CONFIG_DIR or ~/.claude}/projects/{folder}/{session id}/subagents/agent-{agent id}.jsonl, and .meta.json beside it

A file that has not changed is not opened. One that grew is read from the end of the last whole line; one that is another than
before, or shorter, from its beginning, which changes no row. How far each was read is in a `Progress`, which one process keeps
at a time in a file of its own: if two do at once, or it is lost, lines are read again.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from turso_hooks.events import Event, MessageAdded, ToolCallFinished, ToolCallStarted
from turso_hooks.transcripts.claude_code import Reader, State, SubAgent, last_prices, sub_agent_of

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A longer line is passed over and counted; the API takes requests of half as much."""

OVER_AFTER_S = 24 * 3600.0
"""To a file that has not changed for so long nothing will come any more, unless its session is resumed."""

_MARK_BYTES = 512
"""Lines of the same session differ in these: they hold ids and a time."""

_TAIL_BYTES = 16 * 1024
"""Where Claude Code has written what a session has cost, if it ended."""

_SUBAGENTS = "subagents"


class FileRead(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How far a file was read, and what its reader remembers."""

    size: int = 0
    modified_ns: int = 0
    meta_ns: int = 0
    offset: int = 0
    mark: int = 0
    """A checksum of the last bytes before `offset`, by which it is seen whether that is still the same file."""
    is_over: bool = False
    state: State = msgspec.field(default_factory=State)


class _Kept(msgspec.Struct, kw_only=True):
    """A `Progress` as its file has it."""

    database: str
    files: dict[str, FileRead]


class Progress:
    """How far each transcript is in a database, kept in `path`.

    `database` identifies it: what was read into another one, or one that was deleted since, counts as unread.
    """

    def __init__(self, path: Path, database: str) -> None:
        self._path = path
        self._database = database
        self.files: dict[str, FileRead] = {}
        with suppress(OSError, ValueError, RecursionError, msgspec.ValidationError):
            kept = msgspec.convert(json.loads(path.read_bytes()), type=_Kept)
            if kept.database == database:
                self.files = kept.files

    def save(self) -> None:
        """Keep it. What is written is whole, or not there. Raises `OSError`."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beginning = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        # By `json`, for msgspec writes neither half an emoji nor a path that is no Unicode.
        beginning.write_text(
            f'{{"database": {json.dumps(self._database)}, "files": {{{", ".join(self._kept())}}}}}', encoding="ascii"
        )
        beginning.chmod(0o600)
        beginning.replace(self._path)

    def _kept(self) -> Iterator[str]:
        for path, read in self.files.items():
            with suppress(RecursionError):  # a line in lines in lines: such a file is read anew
                yield f"{json.dumps(path)}: {json.dumps(msgspec.to_builtins(read))}"


@dataclass
class Found:
    """What a follower has come across since it was made."""

    files: int = 0
    unchanged: int = 0
    lines: int = 0
    messages: int = 0
    tool_calls: int = 0
    not_understood: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)

    def add(self, other: Found) -> None:
        """Add what another follower has come across."""
        self.files += other.files
        self.unchanged += other.unchanged
        self.lines += other.lines
        self.messages += other.messages
        self.tool_calls += other.tool_calls
        self.not_understood += other.not_understood
        self.skipped += other.skipped
        self.unreadable |= other.unreadable


class Follower:
    """Reads transcripts and says what is new in them to `emit`; how far each is, by its path, is in `files`."""

    def __init__(self, emit: Callable[[Event], object], files: dict[str, FileRead]) -> None:
        self._emit = emit
        self._files = files
        self.found = Found()

    def read(self, session: Path) -> int:
        """Read what is new of a session and its sub-agents; the number of lines."""
        lines = self.read_one(session, {})
        main = self._files.get(str(session))
        prices = Reader(session.stem, _EPOCH, state=main.state).prices() if main else {}
        return lines + sum(self.read_one(path, prices) for path in sub_agents(session))

    def read_one(self, path: Path, prices: Mapping[str, float]) -> int:
        """Read what is new of one file; `prices` is what a token of input costs, for each model of which that is known."""
        known = self._files.get(str(path))
        try:
            now = path.stat()
            meta = _meta(path)
            if known is not None and _is_unchanged(known, now, meta) and not _is_news(known, prices):
                self.found.unchanged += 1
                return 0
            with path.open("rb") as file:
                return self._from(path, file.fileno(), known, meta, prices)
        except (OSError, ValueError) as error:  # ValueError: a NUL in its name
            self.found.unreadable[str(path)] = getattr(error, "strerror", None) or str(error)
            return 0

    def _from(
        self,
        path: Path,
        fd: int,
        known: FileRead | None,
        meta: Path | None,
        prices: Mapping[str, float],
    ) -> int:
        now = os.fstat(fd)
        if known is None or not 0 <= known.offset <= now.st_size or _mark(fd, known.offset) != known.mark:
            known = FileRead()
        is_old = time.time() - now.st_mtime > OVER_AFTER_S
        reader = Reader(_session_of(path), _time(now.st_mtime), agent=_agent(path, meta), state=known.state)
        lines = 0
        # Else each call would be told twice: with what it used, and at the end with what it has cost.
        self._say(reader.set_prices({**_prices_at_the_end(fd, now.st_size), **prices}))
        for line, offset in _lines(fd, known.offset, takes_rest=is_old):
            lines += 1
            if line:
                self._say(reader.read(line, known.offset))
            else:
                reader.not_understood["line that is too long"] += 1
            known.offset = offset
        is_over = is_old or _is_finished(meta)
        self._say(reader.finish() if is_over else reader.flush())
        known.size, known.modified_ns, known.meta_ns = now.st_size, now.st_mtime_ns, _modified_ns(meta)
        known.mark, known.is_over = _mark(fd, known.offset), is_over
        self._files[str(path)] = known
        self._count(reader, lines)
        return lines

    def _say(self, events: Iterable[Event]) -> None:
        found = self.found
        for event in events:
            self._emit(event)
            if isinstance(event, MessageAdded):
                found.messages += 1
            elif isinstance(event, ToolCallStarted) or (isinstance(event, ToolCallFinished) and event.started_at):
                found.tool_calls += 1

    def _count(self, reader: Reader, lines: int) -> None:
        found = self.found
        found.files += 1
        found.lines += lines
        found.not_understood += reader.not_understood
        found.skipped += reader.skipped


def projects_folder(environment: Mapping[str, str]) -> Path:
    """Where Claude Code keeps the transcripts of this user."""
    configured = environment.get("CLAUDE_CONFIG_DIR")
    return (Path(configured) if configured else Path.home() / ".claude") / "projects"


def sessions_in(path: Path) -> Iterator[Path]:
    """The transcripts of sessions at a path: itself, or those below it if it is a folder.

    Those of sub-agents come with their session, and by themselves only if it is gone.
    """
    if not path.is_dir():
        yield path
        return
    for folder, _, names in os.walk(path):
        if Path(folder).name != _SUBAGENTS:
            yield from sorted(Path(folder, name) for name in names if name.endswith(".jsonl"))
        elif not Path(f"{Path(folder).parent}.jsonl").exists():  # what they were asked by is gone
            yield from sorted(Path(folder, name) for name in names if _is_agent(name))


def sub_agents(session: Path) -> list[Path]:
    """The transcripts of a session's sub-agents."""
    folder = session.with_suffix("") / _SUBAGENTS
    try:
        return sorted(Path(folder, name) for name in os.listdir(folder) if _is_agent(name))  # noqa: PTH208  # names, not paths
    except (OSError, ValueError):  # ValueError: a NUL in its name
        return []


def _is_agent(name: str) -> bool:
    return name.startswith("agent-") and name.endswith(".jsonl")


def _lines(fd: int, offset: int, *, takes_rest: bool) -> Iterator[tuple[bytes, int]]:
    """Whole lines from an offset on, each with the offset behind it; empty for one that is too long.

    What comes after the last line break is a line if `takes_rest`, else it waits until it is one.
    """
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(offset)
        while line := file.readline(MAX_LINE_BYTES):
            offset += len(line)
            if line.endswith(b"\n"):
                yield line, offset
            elif len(line) < MAX_LINE_BYTES:
                if takes_rest:
                    yield line, offset
                return  # whatever is appended meanwhile belongs to it
            else:
                while line and not line.endswith(b"\n"):
                    line = file.readline(MAX_LINE_BYTES)
                    offset += len(line)
                if not line and not takes_rest:
                    return
                yield b"", offset


def _mark(fd: int, offset: int) -> int:
    begin = max(offset - _MARK_BYTES, 0)
    return zlib.crc32(os.pread(fd, offset - begin, begin))


def _prices_at_the_end(fd: int, size: int) -> dict[str, float]:
    return last_prices(os.pread(fd, _TAIL_BYTES, max(size - _TAIL_BYTES, 0)).splitlines())


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _session_of(path: Path) -> str:
    return path.parent.parent.name if path.parent.name == _SUBAGENTS else path.stem


def _meta(path: Path) -> Path | None:
    """The file that says whose transcript it is, if it is a sub-agent's."""
    return path.with_suffix(".meta.json") if _is_agent(path.name) else None


def _agent(path: Path, meta: Path | None) -> SubAgent | None:
    if meta is None:
        return None
    said = None
    with suppress(OSError):
        said = meta.read_bytes()
    return sub_agent_of(path.stem.removeprefix("agent-"), said)


def _modified_ns(path: Path | None) -> int:
    try:
        return path.stat().st_mtime_ns if path else 0
    except OSError:
        return 0


def _is_finished(meta: Path | None) -> bool:
    """Whether a sub-agent has ended, as its `.meta.json` says."""
    if meta is None:
        return False
    try:
        return msgspec.json.decode(meta.read_bytes()).get("finished") is True
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _is_unchanged(known: FileRead, now: os.stat_result, meta: Path | None) -> bool:
    is_same = (known.size, known.modified_ns, known.meta_ns) == (now.st_size, now.st_mtime_ns, _modified_ns(meta))
    return is_same and (known.is_over or time.time() - now.st_mtime <= OVER_AFTER_S)


def _is_news(known: FileRead, prices: Mapping[str, float]) -> bool:
    """Whether there are calls whose price is known only now."""
    return any(call.model in prices for session in known.state.sessions.values() for call in session.unpriced)
