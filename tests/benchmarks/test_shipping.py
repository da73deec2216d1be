"""How soon what was logged is in the database, beside bare inserts into the same tables; and what a full journal takes."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from turso_hooks import MessageAdded
from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.events import Event, encode
from turso_hooks.journal import JournalFolder, Writer
from turso_hooks.settings import Settings
from turso_hooks.shipping import Shipper
from turso_hooks.store import prepare_schema, row_of

pytestmark = pytest.mark.benchmark(group="shipping")

SESSIONS = 200
IN_ONE = 1000
BACKLOG = 1_000_000
ARRIVALS = 15
LONGEST_WAIT_S = 0.2
POLL_S = 0.0005

Sessions = Callable[[int], "list[Event]"]
Names = Callable[[], str]


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def check(path: Path, events: list[Event]) -> None:
    """Nothing that was measured was left out: every event is a row, but the ends of sessions, which share theirs."""
    with closing(sqlite3.connect(path)) as connection:
        tables = ("sessions", "messages", "tool_executions")
        rows = sum(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)
    assert rows == len(events) - SESSIONS


def drain(shipper: Shipper) -> None:
    while shipper.adopt():
        while shipper.ship_adopted():
            pass


def test_draining_a_full_journal(tmp_path: Path, measure: Any, floor: Any, sessions: Any) -> None:
    events = list(sessions(SESSIONS))
    payloads = [encode(event) for event in events]
    numbers = count()

    def full_journal(name: str) -> JournalFolder:
        folder = JournalFolder(tmp_path / "state", name)
        writer = Writer(folder, max_bytes=2**33, segment_bytes=Settings().segment_bytes)
        for payload in payloads:
            writer.append(payload)
        writer.close()
        return folder

    def one_round() -> dict[str, dict[str, float]]:
        n = next(numbers)
        bare_s = seconds(floor(f"bare-{n}").insert_many(events, IN_ONE))
        path = tmp_path / f"drained-{n}.db"
        with EmbeddedDatabase(path) as database:
            prepare_schema(database)
        shipper = Shipper(EmbeddedDatabase(path), full_journal(str(n)), search_index=False)
        drained_s = seconds(lambda: drain(shipper))
        shipper.close()
        check(path, events)
        return {"executemany": {"rate": len(events) / bare_s}, "drained": {"rate": len(events) / drained_s}}

    found = measure(one_round)
    found.compare("draining a full journal", "drained", "executemany", "rate", "events/s", least=0.5)


def test_logging_and_shipping_at_once(tmp_path: Path, measure: Any, floor: Any, logging_to: Any, sessions: Any) -> None:
    events = list(sessions(SESSIONS))
    numbers = count()

    def one_round() -> dict[str, dict[str, float]]:
        n = next(numbers)
        bare_s = seconds(floor(f"bare-{n}").insert_many(events, IN_ONE))
        recorder, manager = logging_to(f"both-{n}")

        def log() -> None:
            for event in sessions(SESSIONS):
                manager.emit(event)
            assert recorder.flush(60).is_complete

        both_s = seconds(log)
        recorder.close(10)
        check(tmp_path / f"both-{n}.db", events)
        return {"executemany": {"rate": len(events) / bare_s}, "both": {"rate": len(events) / both_s}}

    found = measure(one_round)
    what = "building, logging and shipping at once, in one process"
    found.compare(what, "both", "executemany", "rate", "events/s", least=0.3)


def test_from_the_hook_to_the_committed_row(tmp_path: Path, measure: Any, floor: Any, logging_to: Any) -> None:
    intervals = {"default": Settings().ship_interval_s, "quick": 0.01}
    by_hand = floor("bare")
    ways: dict[str, tuple[Path, Callable[[MessageAdded], object]]] = {
        "autocommit insert": (
            tmp_path / "bare.db",
            lambda event: by_hand.connection.execute(*by_hand.statement(row_of(event))),
        )
    }
    for name, interval_s in intervals.items():
        _, manager = logging_to(name, ship_interval_s=interval_s)
        ways[name] = (tmp_path / f"{name}.db", manager.emit)
        manager.emit(MessageAdded(session_id="s", role="user", message_id="first"))

    def arrival_ms(path: Path, log: Callable[[MessageAdded], object]) -> float:
        event = MessageAdded(session_id="s", role="user", content="x" * 897)
        time.sleep(random.uniform(0, LONGEST_WAIT_S))  # so that calls fall anywhere between two looks
        with closing(sqlite3.connect(path)) as reader:
            begin = time.perf_counter()
            log(event)
            while not reader.execute("SELECT 1 FROM messages WHERE id = ?", (event.event_id,)).fetchone():
                time.sleep(POLL_S)
            return (time.perf_counter() - begin) * 1000

    def one_round() -> dict[str, dict[str, float]]:
        taken = {name: sorted(arrival_ms(*way) for _ in range(ARRIVALS)) for name, way in ways.items()}
        return {name: {"p50": times[ARRIVALS // 2], "longest": times[-1]} for name, times in taken.items()}

    for path, _ in ways.values():
        while not _has_tables(path):
            time.sleep(POLL_S)
    found = measure(one_round)
    for name, interval_s in intervals.items():
        what = f"hook to committed row, looking every {interval_s * 1000:g} ms: p50"
        found.compare(what, name, "autocommit insert", "p50", "ms")
        found.show("the same: the longest of a round", name, "longest", "ms")


def _has_tables(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
            return bool(reader.execute("SELECT 1 FROM sqlite_master WHERE name = 'dead_letters'").fetchone())
    except sqlite3.OperationalError:
        return False


def test_a_backlog_of_a_million(tmp_path: Path, measure: Any) -> None:
    def child(what: str) -> dict[str, float]:
        command = [sys.executable, str(Path(__file__).with_name("backlog.py")), what, str(tmp_path), str(BACKLOG)]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, float] = json.loads(result.stdout)
        return found

    def one_round() -> dict[str, dict[str, float]]:
        return {"left": child("leave"), "agent": child("drain")}

    found = measure(one_round, 1)
    found.show("a backlog of 1,000,000 events (1 KiB each): left behind at", "left", "rate", "events/s")
    found.show("the same: drained, beside an agent that logs every ms, at", "agent", "rate", "events/s")
    found.show("the same: memory of that process at most", "agent", "memory_mb", "MB", most=100)
    found.show("the same: memory it had before", "agent", "memory_before_mb", "MB")
    found.show("the same: the agent's hook calls, p99.9", "agent", "p99.9", "us", most=10_000)
    found.show("the same: the agent's hook calls, longest", "agent", "longest", "us")
