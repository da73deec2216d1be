"""Whether, after a run, every event is in the database once, or in the journal, or counted by reason."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from chaos.schedule import Agent
from chaos.world import NEWER, World, name_of
from turso_hooks.drivers import open_database, parse_database_url
from turso_hooks.errors import EventError
from turso_hooks.journal import look_into, slices_of
from turso_hooks.shipping import Books, read_books
from turso_hooks.store import read_dead_letters

KEPT = "SELECT content FROM messages UNION ALL SELECT tool_call_id FROM tool_executions"
_LINE = re.compile(r"(?P<process>\d+) (?:begun (?P<begun>\S+)|done (?P<done>\S+) (?P<refused>\d+)|(?P<raised>raised .*))")
"""What is not like that tells nothing of events, or is the half of a line that a process leaves behind when it is killed."""

LINES = 40
"""More than that of one process is a flood."""


@dataclass
class Diary:
    """What the agents say they have logged."""

    begun: set[str] = field(default_factory=set)
    done: dict[str, str] = field(default_factory=dict)
    """Events whose hook call has returned, and the process that made it."""
    refused: Counter[str] = field(default_factory=Counter)
    """Process to how many its journal had refused, as far as it came to say so."""
    raised: list[str] = field(default_factory=list)


def read_diaries(folder: Path) -> Diary:
    diary = Diary()
    for path in folder.iterdir():
        for line in path.read_text().splitlines():
            match = _LINE.fullmatch(line)
            if match is None:
                continue
            process = f"{path.name}:{match['process']}"
            if match["begun"]:
                diary.begun.add(match["begun"])
            elif match["done"]:
                diary.done[match["done"]] = process
                diary.refused[process] = max(diary.refused[process], int(match["refused"]))
            elif match["raised"]:
                diary.raised.append(line)
    return diary


def audit(world: World) -> list[str]:
    """What does not add up; empty if everything does."""
    diary = read_diaries(world.diaries)
    found = [Counter(rows) for rows in _databases(world)]
    there = set().union(*found)
    waiting, letters = _waiting(world), _letters(world)
    missing = diary.done.keys() - there - waiting - letters - world.damaged
    lost = defaultdict(set)
    for name in missing:
        lost[diary.done[name]].add(name)
    books = _books(world)
    problems = [f"raised in the agent: {line}" for line in diary.raised]
    problems += [f"twice in one database: {name}" for rows in found for name, number in rows.items() if number > 1]
    problems += [f"never logged: {name}" for name in sorted(there - diary.begun)]
    for process, names in lost.items():
        if len(names) > diary.refused[process]:
            problems.append(f"{process} lost {len(names)}, and {diary.refused[process]} were refused: {sorted(names)[:5]}")
    problems += _odd_books(world, books, diary, missing)
    problems += [f"touched: {path}" for path in world.newer if path.exists() and path.read_bytes() != NEWER]
    if not world.schedule.says("delete the folder"):
        problems += [f"gone: {path}" for path in world.newer if not path.exists()]
    problems += [f"still waiting: {name}" for name in sorted(waiting)[:5]]
    return problems + _complaints(world)


def _odd_books(world: World, books: Books, diary: Diary, missing: set[str]) -> list[str]:
    """What is wrong with the books themselves."""
    schedule = world.schedule
    problems = [f"numbers twice: {writer}" for writer in books.writers if writer.repeated]
    is_of_another = any(schedule.says(what) for what in ("replace the database", "delete the database", "delete the folder"))
    silent = world.killed | {agent.name for agent in schedule.agents if _ends_abruptly(agent)}
    told = {name for name in missing if diary.done[name].partition(":")[0] not in silent}
    counted = books.total("missing") + books.total("refused")
    is_said = any("takes no counts" in log.read_text(errors="replace") for log in world.folder.glob("*.log"))
    if len(told) > counted and not (is_said or is_of_another or world.damages_counts):
        problems.append(f"{len(told)} events are missing whose processes came to say so, and {counted} are counted")
    is_damaged = bool(world.damaged) or any(schedule.says(what) for what in ("flip a byte", "cut a file", "cut a live file"))
    is_refused = bool(sum(diary.refused.values()))
    if books.problems and not (is_of_another or is_damaged or is_refused):
        problems += books.problems
    return problems


def _ends_abruptly(agent: Agent) -> bool:
    """Whether one of its processes ends without a word: by `os._exit`, as forked children do, or by a signal."""
    says_nothing = agent.ending in {"_exit", "linger"} or (agent.style, agent.ending) == ("fork", "exit")
    return says_nothing or agent.style.startswith("pool")


def _databases(world: World) -> list[list[str]]:
    """The names of the events in each database there was."""
    if world.server is not None:
        return [[str(name) for (name,) in world.server.ask(KEPT)]] if _has_tables(world) else [[]]
    found = []
    for folder in (*world.old_databases, world.folder / "data"):
        path = folder / "agents.db"
        if path.exists():
            with contextlib.closing(sqlite3.connect(path)) as database:
                with contextlib.suppress(sqlite3.OperationalError):  # no table yet
                    found.append([str(name) for (name,) in database.execute(KEPT)])
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return found


def _has_tables(world: World) -> bool:
    assert world.server is not None
    return bool(world.server.ask("SELECT 1 FROM sqlite_master WHERE name = 'tool_executions'"))


def _waiting(world: World) -> set[str]:
    found = set()
    for look in look_into(world.journal):
        for piece in slices_of(look.segment):
            for record in piece.records:
                with contextlib.suppress(EventError):
                    found.add(name_of(record.payload))
    return found


def _letters(world: World) -> set[str]:
    found = set()
    with open_database(parse_database_url(world.direct_url)) as database:
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'dead_letters'").rows:
            for letter in read_dead_letters(database):
                with contextlib.suppress(EventError):
                    found.add(name_of(letter.payload))
    return found


def _books(world: World) -> Books:
    with open_database(parse_database_url(world.direct_url)) as database:
        return read_books(world.journal, database)


def _complaints(world: World) -> list[str]:
    """Tracebacks and lines without end in what the processes said."""
    problems = []
    for log in sorted(world.folder.glob("*.log")):
        text = log.read_text(errors="replace")
        if "multiprocessing/pool.py" in text:  # whose workers complain where the process they work for was killed
            continue
        lines = text.splitlines()
        if "Traceback" in text or "Fatal" in text:
            problems.append(f"{log.name}: {text[-1500:]}")
        if len(lines) > LINES:
            problems.append(f"{log.name}: {len(lines)} lines, such as {lines[-1]}")
    return problems
