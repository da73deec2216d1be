"""Benchmarks: every figure beside its floor, both measured in turns within one run, shown as a table at the end.

    python -m pytest -m benchmark

What is compared takes turns: `ROUNDS` rounds, and in each of them every contender once. A ratio is the median of the rounds'
ratios, a figure the median of the rounds' figures, so that a machine that grows slow or quick in between does not decide.
Nothing is asserted about speed: the table names the limit that is aimed at and says where it is not kept.
`--benchmark-json FILE` keeps all figures of all rounds.
"""

from __future__ import annotations

import gc
import os
import platform
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from turso_hooks import MessageAdded, SessionEnded, SessionStarted, ToolCallFinished
from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.events import Event
from turso_hooks.manager import PluginManager, build_plugin_manager
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings
from turso_hooks.store import Row, prepare_schema, row_of
from turso_hooks.store.rows.tables import MESSAGES, SESSIONS

GROWTH_ROWS = {"short": 200_000, "long": 5_000_000}
ROUNDS = 5
BLOCKS = 10

Figures = dict[str, dict[str, float]]
"""Contender to figure (`p50`, `rate` …) to value."""

_TABLE = pytest.StashKey[list["Line"]]()


@dataclass
class Line:
    """One line of the table: a figure, the floor it stands beside, and the limit of their ratio or of the figure itself."""

    what: str
    figure: str
    floor: str = ""
    ratio: float | None = None
    limit: str = ""
    is_kept: bool = True


@dataclass
class Rounds:
    """What `measure` found, round by round."""

    table: list[Line]
    rounds: list[Figures] = field(default_factory=list)

    def median(self, contender: str, figure: str) -> float:
        return statistics.median(each[contender][figure] for each in self.rounds)

    def ratio(self, contender: str, floor: str, figure: str) -> float:
        return statistics.median(each[contender][figure] / each[floor][figure] for each in self.rounds)

    def show(
        self,
        what: str,
        contender: str,
        figure: str,
        unit: str,
        *,
        most: float | None = None,
        least: float | None = None,
    ) -> None:
        """A figure by itself, and what it should be at most or at least."""
        value = self.median(contender, figure)
        limit = f"at most {most:g} {unit}" if most is not None else f"at least {least:,} {unit}" if least is not None else ""
        is_kept = (most is None or value <= most) and (least is None or value >= least)
        self.table.append(Line(what, _shown(value, unit), limit=limit, is_kept=is_kept))

    def note(self, what: str, number: int, *, most: int) -> None:
        """A number that is not measured but counted, over all rounds."""
        self.table.append(Line(what, str(number), limit=f"at most {most}", is_kept=number <= most))

    def compare(
        self,
        what: str,
        contender: str,
        floor: str,
        figure: str,
        unit: str,
        *,
        most: float | None = None,
        least: float | None = None,
    ) -> None:
        """A figure beside its floor, and what their ratio should be at most or at least."""
        ratio = self.ratio(contender, floor, figure)
        limit = f"at most {most:g}" if most is not None else f"at least {least:g}" if least is not None else ""
        is_kept = (most is None or ratio <= most) and (least is None or ratio >= least)
        floor_shown = f"{_shown(self.median(floor, figure), unit)}, {floor}"
        self.table.append(Line(what, _shown(self.median(contender, figure), unit), floor_shown, ratio, limit, is_kept))


def _shown(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


@pytest.fixture
def grown_rows(pytestconfig: pytest.Config) -> int:
    """How many rows a database grows to."""
    asked: str = pytestconfig.getoption("growth")
    return GROWTH_ROWS.get(asked) or int(asked)


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> list[Line]:
    return pytestconfig.stash.setdefault(_TABLE, [])


@pytest.fixture
def measure(benchmark: Any, table: list[Line]) -> Callable[..., Rounds]:
    """Runs a round that measures all contenders in turns, several times."""

    def measure(one_round: Callable[[], Figures], rounds: int = ROUNDS) -> Rounds:
        found = Rounds(table)
        benchmark.pedantic(lambda: found.rounds.append(one_round()), rounds=rounds, iterations=1)
        benchmark.extra_info["rounds"] = found.rounds
        return found

    return measure


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, as Markdown."""
    lines = config.stash.get(_TABLE, [])
    if not lines:
        return
    terminalreporter.section("benchmarks")
    machine = (
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    terminalreporter.line(f"{machine}; medians of {ROUNDS} interleaved rounds where a floor is named\n")
    terminalreporter.line("| what | figure | floor | ratio | aimed at | |")
    terminalreporter.line("|---|---|---|---|---|---|")
    for line in lines:
        ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
        mark = "" if not line.limit else "kept" if line.is_kept else "**not kept**"
        terminalreporter.line(f"| {line.what} | {line.figure} | {line.floor} | {ratio} | {line.limit} | {mark} |")


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    """The garbage of one contender must not be swept up in another's turn."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def distribution(samples_ns: list[int]) -> dict[str, float]:
    """The percentiles of some calls, in microseconds."""
    ordered = sorted(samples_ns)
    at = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    return {name: ordered[int(len(ordered) * share)] / 1000 for name, share in at.items()}


@pytest.fixture
def in_turns() -> Callable[..., Figures]:
    """Times calls of several contenders, `BLOCKS` blocks of each in turn, with a pause before every call.

    A contender is a function that gives what is to be called next, ready to go. Within a block it is alone: each finds the
    processor's caches as its own last call and the pause left them.
    """
    clock = time.perf_counter_ns

    def block(prepare: Callable[[], Callable[[], object]], calls: int, pause_s: float) -> Iterator[int]:
        for _ in range(calls):
            call = prepare()
            if pause_s:
                time.sleep(pause_s)
            begin = clock()
            call()
            yield clock() - begin

    def in_turns(contenders: dict[str, Callable[[], Callable[[], object]]], calls: int, pause_s: float = 0.0) -> Figures:
        samples: dict[str, list[int]] = {name: [] for name in contenders}
        for _ in range(BLOCKS):
            for name, prepare in contenders.items():
                samples[name] += block(prepare, calls // BLOCKS, pause_s)
        return {name: distribution(taken) for name, taken in samples.items()}

    return in_turns


@pytest.fixture
def logging_to(tmp_path: Path) -> Iterator[Callable[..., tuple[Recorder, PluginManager]]]:
    """A recorder with a database of its own, `{name}.db`, and the plugin manager that reaches it."""
    made: list[Recorder] = []

    def make(name: str, **options: Any) -> tuple[Recorder, PluginManager]:
        options.setdefault("journal_max_bytes", 2**33)
        settings = Settings(database_url=f"file:{tmp_path / name}.db", state_folder=tmp_path / f"state-{name}", **options)
        recorder = Recorder(settings)
        made.append(recorder)
        return recorder, build_plugin_manager(recorder)

    yield make
    for recorder in made:
        recorder.close(0)


class Floor:
    """Rows into the tables of turso-hooks by hand, as quick as plain sqlite3 does it: WAL, synchronous NORMAL, INSERT."""

    def __init__(self, path: Path) -> None:
        with EmbeddedDatabase(path) as database:
            prepare_schema(database)
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self._sequence = 0

    def statement(self, row: Row) -> tuple[str, tuple[Any, ...]]:
        """The INSERT of a row and what it binds; the end of a session, which is a row already, is passed over."""
        columns, values = row.table.columns, row.values
        if row.table is MESSAGES:
            self._sequence += 1
            columns, values = (*columns, "sequence"), (*values[: len(columns)], self._sequence)
        elif row.table is SESSIONS:
            values = tuple("unknown" if name in {"agent_type", "model"} else v for name, v in zip(columns, values, strict=True))
        marks = ", ".join("?" * len(columns))
        return f"INSERT INTO {row.table.name} ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING", values

    def insert_many(self, events: list[Event], in_one: int) -> Callable[[], None]:
        """Ready to insert the events' rows by `executemany`, `in_one` events a transaction."""
        transactions: list[dict[str, list[tuple[Any, ...]]]] = []
        for begin in range(0, len(events), in_one):
            by_table: dict[str, list[tuple[Any, ...]]] = {}
            for event in events[begin : begin + in_one]:
                sql, values = self.statement(row_of(event))
                by_table.setdefault(sql, []).append(values)
            transactions.append(by_table)

        def insert() -> None:
            for by_table in transactions:
                self.connection.execute("BEGIN IMMEDIATE")
                for sql, rows in by_table.items():
                    self.connection.executemany(sql, rows)
                self.connection.execute("COMMIT")

        return insert


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Callable[[str], Floor]]:
    made: list[Floor] = []

    def make(name: str) -> Floor:
        made.append(Floor(tmp_path / f"{name}.db"))
        return made[-1]

    yield make
    for each in made:
        each.connection.close()


@pytest.fixture
def sessions() -> Callable[[int], Iterator[Event]]:
    """Conversations of 302 events, built as they are asked for.

    A start, 100 turns of a short question, a long answer and a tool call, an end.
    """

    def make(count: int) -> Iterator[Event]:
        for n in range(count):
            yield from _session(f"session-{n:06}")

    return make


def _session(session_id: str) -> Iterator[Event]:
    yield SessionStarted(session_id=session_id, agent_type="planner", model="gpt-5.1")
    for turn in range(100):
        yield MessageAdded(session_id=session_id, role="user", content="q" * 200)
        yield MessageAdded(session_id=session_id, role="assistant", content="a" * 800)
        yield ToolCallFinished(
            session_id=session_id,
            tool_call_id=f"call-{turn}",
            tool_name="bash",
            input={"command": "c" * 136},
            output="o" * 1500,
            duration_ms=12,
        )
    yield SessionEnded(session_id=session_id)
