"""What it costs to keep the search index, and how quick questions are in a small database and in one ten times as large.

Conversations are of the shape of real ones (tau-bench's: 100 messages in a session here, questions of 100 characters, answers
of 176, tool output of 640), of made-up words as frequent as words are: the n-th of them is said a 1/n-th as often as the first.
Three words are said in a known part of all rows.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from turso_hooks.drivers import EmbeddedDatabase, Statement
from turso_hooks.events import Event, MessageAdded, SessionEnded, SessionStarted, ToolCallFinished
from turso_hooks.query import Reader
from turso_hooks.store import ADDED_AT_ONCE, Rollups, SearchIndex, prepare_schema, row_of
from turso_hooks.store.statistics.tables import STATS_TRIGGERS
from turso_hooks.store.writing import row_statements

pytestmark = pytest.mark.benchmark(group="search")

START = datetime(2025, 1, 1, tzinfo=timezone.utc)
IN_EACH, IN_A_LONG_ONE = 100, 500
"""Messages in a session."""
ASKED = 15
FREQUENCIES = {"zeppelin": 0.001, "cormorant": 0.01, "harbour": 0.15}
WORDS = ["".join(random.Random(n).choices("abcdefghijklmnoprstuvwxyz", k=random.Random(n).randint(2, 11))) for n in range(8000)]
WEIGHTS = list(accumulate(1 / (n + 1) for n in range(len(WORDS))))
IDEOGRAPHS = "".join(map(chr, range(0x4E00, 0x4E00 + 3000)))


def said(pick: random.Random, chars: int) -> str:
    words = pick.choices(WORDS, cum_weights=WEIGHTS, k=chars // 6)
    words += [word for word, part in FREQUENCIES.items() if pick.random() < part]
    return " ".join(words)


def said_in_chinese(pick: random.Random, chars: int) -> str:
    return "".join(pick.choices(IDEOGRAPHS, k=chars // 3))  # as many bytes


def conversation(n: int, say: Callable[[random.Random, int], str] = said, messages: int = IN_EACH) -> Iterator[Event]:
    pick = random.Random(n)
    session_id, at = f"{n:08x}-{pick.getrandbits(64):016x}", START + timedelta(minutes=10 * n)
    yield SessionStarted(
        session_id=session_id, agent_type=f"agent-{n % 5}", model=f"model-{n % 7}", title=say(pick, 30), occurred_at=at
    )
    for k in range(messages):
        at += timedelta(seconds=2)
        common: dict[str, Any] = {"session_id": session_id, "occurred_at": at}
        if k % 4 == 2:
            output = say(pick, 640)
            yield ToolCallFinished(
                **common, tool_call_id=f"c{k}", tool_name="look", input={"for": say(pick, 40)}, output=output, duration_ms=5
            )
            yield MessageAdded(**common, message_id=f"c{k}", tool_call_id=f"c{k}", role="tool", content=output)
        else:
            role, chars = ("user", 100) if k % 4 == 0 else ("assistant", 176)
            yield MessageAdded(**common, message_id=f"m{k}", role=role, content=say(pick, chars))
    yield SessionEnded(session_id=session_id, status="completed", occurred_at=at)


class Filled:
    """A database that is filled with conversations, with an index and statistics or without."""

    def __init__(self, path: Path, *, has_index: bool, has_statistics: bool = True) -> None:
        self.path = path
        self.database = EmbeddedDatabase(path)
        prepare_schema(self.database)
        if not has_statistics:
            names = [trigger.split()[2] for trigger in STATS_TRIGGERS]
            self.database.transaction([Statement(f"DROP TRIGGER {name}") for name in names])
        self._index = SearchIndex(self.database) if has_index else None
        self._rollups = Rollups(self.database) if has_statistics else None
        self._unindexed = 0
        self.events = 0
        self.sessions = 0
        self.took_s = 0.0

    def add(self, sessions: int, say: Callable[[random.Random, int], str] = said, messages: int = IN_EACH) -> None:
        """So many conversations more; building their rows is not counted."""
        rows = []
        for n in range(self.sessions, self.sessions + sessions):
            rows += [row_of(event) for event in conversation(n, say, messages)]
            if len(rows) >= 1000 or n == self.sessions + sessions - 1:
                statements = [statement for statement in row_statements(rows) if statement.rows]
                self._timed(lambda statements=statements: self.database.transaction(statements))  # type: ignore[misc]  # bound now
                self.events += len(rows)
                self._unindexed += len(rows)
                rows = []
                if self._unindexed >= ADDED_AT_ONCE and self._index is not None:
                    self._timed(self._index.add_some)
                    self._unindexed = 0
        self.sessions += sessions
        while self._index is not None and self._index.is_waiting():
            self._timed(self._index.add_some)
        while self._rollups is not None and self._rollups.is_waiting():
            self._timed(self._rollups.do_some)

    def _timed(self, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        work()
        self.took_s += time.perf_counter() - began

    @property
    def rate(self) -> float:
        return self.events / self.took_s


KEPT = {
    "without": {"has_index": False, "has_statistics": False},
    "with statistics": {"has_index": False, "has_statistics": True},
    "with the index": {"has_index": True, "has_statistics": False},
    "with both": {"has_index": True, "has_statistics": True},
}
LEAST = {"with the index": 0.4, "with both": 0.35}


@pytest.mark.parametrize("language", ["words", "Chinese"])
def test_inserting_with_the_search_index_and_statistics(tmp_path: Path, measure: Any, language: str) -> None:
    names = list(KEPT) if language == "words" else ["without", "with both"]

    def one_round() -> dict[str, dict[str, float]]:
        rates = {}
        for name in random.sample(names, len(names)):
            path = tmp_path / f"{name}-{random.getrandbits(32)}.db"
            filled = Filled(path, **KEPT[name])
            with closing(filled.database):
                filled.add(200, said if language == "words" else said_in_chinese)
            rates[name] = {"rate": filled.rate}
            path.unlink()
        return rates

    found = measure(one_round)
    for name in names[1:]:
        least = LEAST.get(name) if language == "words" else None
        found.compare(f"inserting {name}, {language}", name, "without", "rate", "events/s", least=least)


BARE = {
    "first page of sessions": """SELECT *, (SELECT count(*) FROM messages WHERE session_id = sessions.id),
        (SELECT count(*) FROM tool_executions WHERE session_id = sessions.id)
        FROM sessions ORDER BY occurred_ms DESC, id DESC LIMIT 50""",
    "a page by agent": """SELECT *, (SELECT count(*) FROM messages WHERE session_id = sessions.id),
        (SELECT count(*) FROM tool_executions WHERE session_id = sessions.id)
        FROM sessions WHERE agent_type = 'agent-1' ORDER BY occurred_ms DESC, id DESC LIMIT 50""",
    "a session of 500 messages": f"""SELECT * FROM messages WHERE session_id = ?
        ORDER BY occurred_ms, created_at, position, id LIMIT {IN_A_LONG_ONE}""",
}


def p50_ms(ask: Callable[[], object]) -> float:
    ask()
    samples = []
    for _ in range(ASKED):
        began = time.perf_counter()
        ask()
        samples.append(time.perf_counter() - began)
    return 1000 * statistics.median(samples)


def questions(reader: Reader, session_id: str) -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {
        "first page of sessions": reader.list_sessions,
        "a page by agent": lambda: reader.list_sessions(agent_type="agent-1"),
        "a session of 500 messages": lambda: reader.messages(session_id, limit=IN_A_LONG_ONE),
        "what came last": reader.tail,
    }
    pairs = [("harbour", "cormorant"), ("harbour", "zeppelin"), ("cormorant", "zeppelin")]
    for one, other in pairs:
        query = f"{one} {other}"
        found[f"search {query}"] = lambda query=query: reader.search(query)  # type: ignore[misc]  # bound now
        found[f"search {query}, by relevance"] = lambda query=query: reader.search(query, order="relevance")  # type: ignore[misc]  # bound now
    return found


def test_questions_in_a_grown_database(tmp_path: Path, measure: Any, grown_rows: int) -> None:
    filled = Filled(tmp_path / "grown.db", has_index=True)
    figures: dict[str, dict[str, float]] = {}
    for size, rows in (("small", grown_rows // 10), ("large", grown_rows)):
        filled.add(rows // IN_EACH - filled.sessions - 1)
        filled.add(1, messages=IN_A_LONG_ONE)
        with closing(sqlite3.connect(filled.path)) as bare:
            reader = Reader(filled.database)
            session_id = reader.list_sessions(limit=1)[0].session_id
            for name, ask in questions(reader, session_id).items():
                figures.setdefault(name, {})[size] = p50_ms(ask)
                if size == "large" and name in BARE:
                    arguments = (session_id,) if "?" in BARE[name] else ()
                    sql = BARE[name]
                    figures[name]["bare"] = p50_ms(lambda sql=sql, given=arguments: bare.execute(sql, given).fetchall())  # type: ignore[misc]  # bound now
    filled.database.close()
    found = measure(lambda: {name: {"p50": figure["large"]} for name, figure in figures.items()} | _beside(figures), rounds=1)
    for name, figure in figures.items():
        what = f"{name}, of {grown_rows:,} messages"
        found.show(what, name, "p50", "ms", most=50 if name.startswith("search") else 5)
        found.compare(f"{name}, beside a tenth", name, f"{name} in a tenth", "p50", "ms", most=1.5)
        if "bare" in figure:
            found.compare(f"{name}, beside bare SQL", name, f"{name} in bare SQL", "p50", "ms", most=1.5)


def _beside(figures: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    tenths = {f"{name} in a tenth": {"p50": figure["small"]} for name, figure in figures.items()}
    return tenths | {f"{name} in bare SQL": {"p50": figure["bare"]} for name, figure in figures.items() if "bare" in figure}
