"""How quick the numbers of a year are, in a small database and in one with ten times as much in that year."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.test_search import p50_ms
from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.events import Event, MessageAdded, ModelCallFinished, SessionEnded, SessionStarted, ToolCallFinished, Usage
from turso_hooks.query import Reader
from turso_hooks.query.stats import BY
from turso_hooks.store import Rollups, prepare_schema, row_of
from turso_hooks.store.writing import row_statements

pytestmark = pytest.mark.benchmark(group="stats")

START = datetime(2025, 1, 1, tzinfo=timezone.utc)
YEAR = timedelta(days=365)
IN_EACH = 100
"""Messages in a session: each second one comes of a model call, each fourth one of a tool."""


def conversation(n: int, at: datetime) -> Iterator[Event]:
    pick = random.Random(n)
    session_id, model = f"{n:08x}-{pick.getrandbits(64):016x}", pick.randrange(7)
    yield SessionStarted(
        session_id=session_id,
        agent_type=f"agent-{pick.randrange(5)}",
        model=f"model-{model}",
        provider=f"provider-{model // 3}",
        project=f"project-{pick.randrange(10)}",
        user_id=f"user-{pick.randrange(30)}",
        runner="runner 1.0",
        occurred_at=at,
    )
    for k in range(IN_EACH):
        at += timedelta(seconds=2)
        common: dict[str, Any] = {"session_id": session_id, "occurred_at": at}
        yield MessageAdded(**common, message_id=f"m{k}", role="assistant" if k % 2 else "user", content="so it is")
        if k % 2:
            usage = Usage(input=1000 + k, output=pick.randrange(500), cache_read=k)
            took_ms = pick.lognormvariate(8, 1)
            yield ModelCallFinished(**common, model_call_id=f"c{k}", model=f"model-{model}", usage=usage, duration_ms=took_ms)
        if k % 4 == 2:
            tool, status = f"tool-{min(19, int(pick.expovariate(0.3)))}", "error" if pick.random() < 0.05 else "completed"
            took_ms = pick.lognormvariate(5, 2)
            yield ToolCallFinished(**common, tool_call_id=f"t{k}", tool_name=tool, status=status, duration_ms=took_ms)
    yield SessionEnded(session_id=session_id, status="completed", occurred_at=at)


def fill(database: EmbeddedDatabase, numbers: range) -> None:
    """So many conversations, evenly over the year."""
    rollups = Rollups(database)
    for begin in range(numbers.start, numbers.stop, 50):
        together = range(begin, min(begin + 50, numbers.stop))
        rows = [
            row_of(event) for n in together for event in conversation(n, START + YEAR * ((n - numbers.start) / len(numbers)))
        ]
        database.transaction([statement for statement in row_statements(rows) if statement.rows])
        if begin % 1000 == 0:
            rollups.do_some()
    while rollups.is_waiting():
        rollups.do_some()


def exported(path: Path) -> tuple[float, float]:
    """How many seconds an export of everything took, and how much memory at most, in MB."""
    command = [sys.executable, "-m", "turso_hooks.cli.main", "export", "jsonl", "--db", f"file:{path}", "-o", "/dev/null"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # it would wait for it again
    assert process.returncode == 0
    return time.perf_counter() - began, used.ru_maxrss / 1000


def test_the_numbers_of_a_year(tmp_path: Path, measure: Any, grown_rows: int) -> None:
    figures: dict[str, dict[str, float]] = {}
    sessions = grown_rows // IN_EACH
    with EmbeddedDatabase(tmp_path / "year.db") as database:
        prepare_schema(database)
        for size, numbers in (("small", range(sessions // 10)), ("large", range(sessions // 10, sessions))):
            fill(database, numbers)
            reader = Reader(database)
            for by in BY:
                figures.setdefault(f"by {by}", {})[size] = p50_ms(partial(reader.stats, by, since=START, until=START + YEAR))
            began = time.perf_counter()
            filtered = reader.stats("model", project="project-1", since=START, until=START + YEAR)
            figures.setdefault("by model, of a project", {})[size] = 1000 * (time.perf_counter() - began)
            figures.setdefault("exporting", {})[size], memory_mb = exported(tmp_path / "year.db")
            figures.setdefault("memory", {})[size] = memory_mb
            assert 0 < filtered.total.messages < reader.stats("model", since=START, until=START + YEAR).total.messages
    exporting, memory = figures.pop("exporting"), figures.pop("memory")
    all_figures = {name: {"p50": figure["large"]} for name, figure in figures.items()}
    all_figures |= {f"{name}, of a tenth": {"p50": figure["small"]} for name, figure in figures.items()}
    all_figures["export"] = {"rate": grown_rows / exporting["large"], "memory": memory["large"]}
    all_figures["of a tenth"] = {"memory": memory["small"]}
    found = measure(lambda: all_figures, rounds=1)
    found.show(f"exporting {grown_rows:,} messages as JSON Lines", "export", "rate", "messages/s")
    found.compare("its memory, beside that for a tenth", "export", "of a tenth", "memory", "MB", most=1.2)
    for name in figures:
        is_filtered = name.endswith("of a project")
        what = f"a year {name}, of {grown_rows:,} messages"
        found.show(what, name, "p50", "ms", most=None if is_filtered else 100)
        beside = f"a year {name}, beside a tenth in that year"
        found.compare(beside, name, f"{name}, of a tenth", "p50", "ms", most=None if is_filtered else 1.5)
