"""Whether inserting slows down while a database grows, beside bare inserts into the same tables.

Two databases grow in alternation, 50,000 events at a time: one from a journal, one by `executemany`. Then, in each round, the
next 50,000 events go into both of these, and into two new ones that hold 25,000 rows before and 75,000 after. So all that a
quotient is made of is measured within seconds, whatever else the machine does. 5 million rows take about 3 GB in each of the
two, which are deleted afterwards.
"""

from __future__ import annotations

import random
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from turso_hooks import MessageAdded, SessionEnded, SessionStarted, ToolCallFinished
from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.events import Event, encode
from turso_hooks.journal import JournalFolder, Writer
from turso_hooks.shipping import Shipper
from turso_hooks.store import prepare_schema

pytestmark = pytest.mark.benchmark(group="growth")

SMALL_ROWS = 50_000
WINDOW = 166
"""Conversations in what is measured at once: 50,000 events."""

ROWS_EACH = 301
"""Of a conversation; its end has no row of its own."""

IN_ONE = 1000

Rates = dict[str, float]


def conversations(count: int) -> list[Event]:
    """Conversations with random ids, as foreign programs choose them: keys that begin with one are in order only within it."""
    return [event for _ in range(count) for event in _conversation(str(uuid.UUID(int=random.getrandbits(128), version=4)))]


def _conversation(session_id: str) -> Iterator[Event]:
    yield SessionStarted(session_id=session_id, agent_type="planner", model="gpt-5.1")
    for turn in range(100):
        yield MessageAdded(session_id=session_id, role="user", content="q" * 100)
        yield MessageAdded(session_id=session_id, role="assistant", content="a" * 200)
        call: dict[str, Any] = {"tool_call_id": f"call-{turn}", "tool_name": "bash", "duration_ms": 12}
        yield ToolCallFinished(session_id=session_id, **call, input={"command": "c" * 50}, output="o" * 200)
    yield SessionEnded(session_id=session_id)


class Drained:
    """A database that is filled from a journal."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "drained.db"
        with EmbeddedDatabase(self.path) as database:
            prepare_schema(database)
        self._folder = JournalFolder(folder / "state", "growth")
        self._shipper = Shipper(EmbeddedDatabase(self.path), self._folder, batch_events=IN_ONE, search_index=False)

    def ready(self, events: list[Event]) -> Callable[[], None]:
        """Put the events into the journal; what is returned takes them into the database."""
        with closing(Writer(self._folder, max_bytes=2**33, segment_bytes=2**24)) as writer:
            for event in events:
                writer.append(encode(event))
        return self._drain

    def _drain(self) -> None:
        while self._shipper.adopt():
            while self._shipper.ship_adopted():
                pass

    def close(self) -> None:
        self._shipper.close()


class Bare:
    """A database that is filled by `executemany`."""

    def __init__(self, folder: Path, floor: Callable[[str], Any]) -> None:
        self.path = folder / "bare.db"
        self._floor = floor(str(self.path.with_suffix("")))  # the name is an absolute path, and stands for itself

    def ready(self, events: list[Event]) -> Callable[[], None]:
        insert: Callable[[], None] = self._floor.insert_many(events, IN_ONE)
        return insert

    def close(self) -> None:
        self._floor.connection.close()


class Pair:
    """Both of them, with the same rows."""

    def __init__(self, folder: Path, floor: Callable[[str], Any]) -> None:
        self.contenders: dict[str, Drained | Bare] = {"drained": Drained(folder), "executemany": Bare(folder, floor)}
        self.rows = 0

    def take(self, count: int) -> Rates:
        """Insert so many conversations more into both; who is first is left to chance."""
        events = conversations(count)
        rates = {}
        for name in random.sample(list(self.contenders), 2):
            insert = self.contenders[name].ready(events)
            begin = time.perf_counter()
            insert()
            rates[name] = len(events) / (time.perf_counter() - begin)
        self.rows += count * ROWS_EACH
        return rates

    def close(self) -> None:
        """Close both; nothing of what was measured was left out."""
        for contender in self.contenders.values():
            contender.close()
            with closing(sqlite3.connect(contender.path)) as connection:
                tables = ("sessions", "messages", "tool_executions")
                counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
            assert sum(counts) == self.rows


def grown_to(rows: int, pair: Pair) -> None:
    """Fill both in alternation, and print on the way how quick they are."""
    while pair.rows < rows:
        rates = pair.take(WINDOW)
        print(f"{pair.rows:,} rows:", *(f"{name} {rate:,.0f}/s" for name, rate in rates.items()), flush=True)


def test_the_rate_of_inserting_into_a_grown_database(tmp_path: Path, measure: Any, floor: Any, grown_rows: int) -> None:
    def at_small_size() -> Rates:
        with TemporaryDirectory(dir=tmp_path) as folder, closing(Pair(Path(folder), floor)) as small:
            small.take(SMALL_ROWS // ROWS_EACH - WINDOW // 2)
            return small.take(WINDOW)

    with TemporaryDirectory(dir=tmp_path) as folder, closing(Pair(Path(folder), floor)) as large:
        grown_to(grown_rows, large)

        def one_round() -> dict[str, Rates]:
            small_rates, large_rates = at_small_size(), large.take(WINDOW)
            return {
                name: {"small": small, "large": large_rates[name], "quotient": large_rates[name] / small}
                for name, small in small_rates.items()
            }

        found = measure(one_round)
    pair = ("drained", "executemany")
    found.compare(f"insert rate at {SMALL_ROWS:,} rows", *pair, "small", "events/s")
    found.compare(f"insert rate at {grown_rows:,} rows", *pair, "large", "events/s")
    found.compare("the latter over the former", *pair, "quotient", "of it", least=0.9)
