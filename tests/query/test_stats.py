"""Numbers are what a count of everything by hand gives, right after whatever was done to the rows, by whomever."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from turso_hooks.drivers import Database, EmbeddedDatabase, Statement
from turso_hooks.errors import QueryError
from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    ModelCallStarted,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
)
from turso_hooks.query import Numbers, Reader
from turso_hooks.query.stats import BY
from turso_hooks.query.stats.periods import Days
from turso_hooks.store import FIRST_WITH_STATISTICS, Rollups, differences, prepare_schema, row_of
from turso_hooks.store.migrations import MIGRATIONS, statements_of
from turso_hooks.store.writing import row_statements

START = datetime(2026, 1, 25, 20, tzinfo=timezone.utc)
SESSIONS = [f"s{n}" for n in range(6)]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[EmbeddedDatabase]:
    with EmbeddedDatabase(tmp_path / "stats.db") as database:
        prepare_schema(database)
        yield database


def write(database: Database, *events: Event) -> None:
    statements = [statement for statement in row_statements([row_of(event) for event in events]) if statement.rows]
    database.transaction(statements)


def run(database: Database, sql: str, *arguments: Any) -> None:
    database.transaction([Statement(sql, [arguments])])


def random_event(pick: random.Random) -> Event:
    common: dict[str, Any] = {
        "session_id": pick.choice(SESSIONS),
        "occurred_at": START + timedelta(minutes=pick.randrange(20_000)),
        "source_rank": pick.choice([1, 2, 3]),
        "event_id": f"{pick.getrandbits(128):032x}",
    }
    n = pick.randrange(8)
    model, provider = pick.choice([None, "m1", "m2", "m" * 300]), pick.choice([None, "p1", "p2"])
    duration = pick.choice([None, 0, 3, 17, 250, 999, 123_456, 10**10, -5])
    call: dict[str, Any] = {"tool_call_id": f"c{n}", "tool_name": pick.choice([None, "look", "edit", "it's"])}
    usage = pick.choice(
        [None, Usage(input=100, output=7), Usage(input=2**70, output=1, cache_read=50, cache_write=3, reasoning=2)]
    )
    kinds: list[Callable[[], Event]] = [
        lambda: SessionStarted(
            **common,
            agent_type=pick.choice([None, "a1", "a2"]),
            model=model,
            provider=provider,
            project=pick.choice([None, "p1", "p2"]),
            user_id=pick.choice([None, "u1"]),
            runner=pick.choice([None, "r 1.0", "r 1.1"]),
        ),
        lambda: SessionEnded(**common, status=pick.choice([None, "completed", "error", "cancelled"])),
        lambda: MessageAdded(
            **common, message_id=f"m{n}", role="user", content="hello", model=model, token_count=pick.choice([None, 12, 2**65])
        ),
        lambda: ToolCallStarted(**common, **call),
        lambda: ToolCallFinished(
            **common, **call, status=pick.choice(["completed", "error", "cancelled"]), duration_ms=duration
        ),
        lambda: ModelCallStarted(**common, model_call_id=f"c{n}", model=model, provider=provider),
        lambda: ModelCallFinished(
            **common,
            model_call_id=f"c{n}",
            model=model,
            provider=provider,
            usage=usage,
            duration_ms=duration,
            cost_usd=pick.choice([None, 0.0, 0.1, 1 / 3, 1e-9, float("nan"), -1.0, 1e300]),
            error=pick.choice([None, None, "it broke"]),
        ),
    ]
    return pick.choice(kinds)()


def as_the_original(pick: random.Random, database: Database) -> None:
    """What the original logger writes: version 1's columns, times in another form, or in the same."""
    form = pick.choice(["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%fZ"])
    at = (START + timedelta(minutes=pick.randrange(20_000))).strftime(form)
    session_id, n = pick.choice(["o1", "o2", *SESSIONS]), pick.getrandbits(32)
    upsert = "INSERT INTO sessions (id, agent_type, model, started_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
    run(database, upsert, session_id, pick.choice(["opencode", "claude"]), pick.choice(["m1", "m3"]), at)
    what = pick.randrange(5)
    if what == 0:
        sql = """INSERT INTO messages (id, session_id, sequence, role, content, created_at, token_count)
            VALUES (?, ?, 1, 'user', 'x', ?, ?)"""
        run(database, sql, f"o{n}", session_id, at, pick.choice([None, 5, "many", -3]))
    elif what == 1:
        sql = "INSERT INTO messages (id, session_id, sequence, role, content) VALUES (?, ?, 1, 'user', 'x')"
        run(database, sql, f"o{n}", session_id)
    elif what == 2:
        sql = "INSERT INTO tool_executions (id, session_id, tool_name, status, started_at) VALUES (?, ?, 'look', 'running', ?)"
        run(database, sql, f"o{n}", session_id, at)
    elif what == 3:
        sql = """UPDATE tool_executions SET status = ?, ended_at = ?, duration_ms = ?
            WHERE id IN (SELECT id FROM tool_executions WHERE status = 'running' LIMIT 1)"""
        run(database, sql, pick.choice(["completed", "error"]), at, pick.choice([None, 12, 1.5, "long"]))
    else:
        run(
            database,
            "UPDATE sessions SET status = ?, ended_at = ? WHERE id = ?",
            pick.choice(["completed", "error"]),
            at,
            session_id,
        )


def by_hand(pick: random.Random, database: Database) -> None:
    """What a person may do with SQL."""
    session_id = pick.choice(SESSIONS)
    table = pick.choice(["messages", "tool_executions", "model_calls"])
    what = pick.randrange(8)
    if what == 0:  # a whole session
        if table == "messages":  # children first, and not all at once
            run(database, "DELETE FROM messages WHERE session_id = ? AND rowid % 2", session_id)
        for each in ("tool_executions", "model_calls", "notes", "messages"):
            run(database, f"DELETE FROM {each} WHERE session_id = ?", session_id)
        run(database, "DELETE FROM sessions WHERE id = ?", session_id)
    elif what == 1:
        run(database, "DELETE FROM sessions WHERE id = ?", session_id)  # without what is in it
    elif what == 2:
        run(database, f"DELETE FROM {table} WHERE rowid % 5 = ?", pick.randrange(5))
    elif what == 3:
        run(database, "UPDATE sessions SET project = ?, user_id = ? WHERE id = ?", pick.choice([None, "p9"]), "u9", session_id)
    elif what == 4:
        run(database, f"UPDATE {table} SET session_id = ? WHERE rowid % 7 = 0", session_id)
    elif what == 5:
        run(
            database,
            "UPDATE messages SET created_at = ? WHERE rowid % 9 = 0",
            pick.choice(["2026-02-01 00:00:00", "no time", "1969-12-31T23:59:59Z"]),
        )
    elif what == 6:
        run(
            database,
            "UPDATE sessions SET started_at = ? WHERE id = ?",
            pick.choice(["2026-02-28T23:59:59.999Z", "?"]),
            session_id,
        )
    else:
        run(
            database, "UPDATE model_calls SET cost_usd = ?, input_tokens = ? WHERE rowid % 3 = 0", pick.choice([None, 0.25]), 10
        )


class ByHand:
    """The numbers of each value, by going through all rows."""

    def __init__(self, database: Database, by: str) -> None:
        self.by = by
        self.numbers: defaultdict[str, defaultdict[str, Any]] = defaultdict(lambda: defaultdict(int))
        self.sessions = {row["id"]: row for row in rows_of(database, "sessions")}
        self.used: set[tuple[str, str]] = set()
        for session in self.sessions.values():
            self.add_session(session)
        for row in rows_of(database, "messages"):
            numbers = self.of(row["session_id"], row["occurred_ms"], model=row["model"])
            numbers["messages"] += 1
            numbers["message_tokens"] += _number(row["token_count"])
        for row in rows_of(database, "tool_executions"):
            self.add_tool_call(row)
        for row in rows_of(database, "model_calls"):
            self.add_model_call(row)

    def of(self, session_id: str, ms: int | None, **own: str | None) -> defaultdict[str, Any]:
        """Where something counts; what is of no value of this kind counts nowhere."""
        session = self.sessions.get(session_id, {})
        happened = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=ms or 0)
        day = "" if ms is None else happened.date().isoformat()
        if self.by == "tool" and "tool" not in own:
            return defaultdict(int)
        values = {"day": day, "month": day[:7]}
        value = values.get(self.by) if self.by in values else own.get(self.by) or session.get(self.by) or ""
        return self.numbers[(value or "")[:200]]

    def add_session(self, session: dict[str, Any]) -> None:
        numbers = self.of(session["id"], session["occurred_ms"])
        numbers["sessions"] += 1
        numbers["sessions_completed"] += session["status"] == "completed"
        numbers["sessions_failed"] += session["status"] == "error"

    def add_tool_call(self, row: dict[str, Any]) -> None:
        numbers = self.of(row["session_id"], row["occurred_ms"], tool=row["tool_name"])
        _add_call(numbers, "tool", row)
        if self.by == "tool":
            numbers["sessions"] += (row["session_id"], row["tool_name"]) not in self.used
            self.used.add((row["session_id"], row["tool_name"]))

    def add_model_call(self, row: dict[str, Any]) -> None:
        numbers = self.of(row["session_id"], row["occurred_ms"], model=row["model"], provider=row["provider"])
        _add_call(numbers, "model", row)
        for column in ("input", "output", "cache_read", "cache_write", "reasoning"):
            numbers[f"{column}_tokens"] += _number(row[f"{column}_tokens"])
        cost = row["cost_usd"]
        numbers["cost_usd"] += cost if cost is not None and 0 <= cost <= 10**4 else 0


def rows_of(database: Database, table: str) -> list[dict[str, Any]]:
    found = database.execute(f"SELECT * FROM {table}")
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def _add_call(numbers: defaultdict[str, Any], what: str, row: dict[str, Any]) -> None:
    numbers[f"{what}_calls"] += 1
    numbers[f"{what}_errors"] += row["status"] == "error"
    if isinstance(row["duration_ms"], int) and row["duration_ms"] >= 0:
        numbers[f"{what}_lengths"] = [*(numbers[f"{what}_lengths"] or []), min(row["duration_ms"], 2**31)]


def _number(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and 0 <= value <= 10**10 else 0


def check(database: Database, by: str) -> None:
    rows = {row.value or "": row for row in Reader(database).stats(by).rows}
    expected = {value: numbers for value, numbers in ByHand(database, by).numbers.items() if any(numbers.values())}
    assert rows.keys() == expected.keys()
    for value, numbers in expected.items():
        check_row(rows[value], numbers)


COUNTED = (
    "sessions",
    "sessions_completed",
    "sessions_failed",
    "messages",
    "message_tokens",
    "tool_calls",
    "tool_errors",
    "model_calls",
    "model_errors",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


def check_row(row: Numbers, numbers: dict[str, Any]) -> None:
    for name in COUNTED:
        assert getattr(row, name) == numbers[name], (row.value, name)
    assert row.cost_usd == pytest.approx(numbers["cost_usd"], abs=1e-6)
    for durations, lengths in (
        (row.tool_durations, sorted(numbers["tool_lengths"] or [])),
        (row.model_durations, sorted(numbers["model_lengths"] or [])),
    ):
        assert durations.count == len(lengths)
        if lengths:
            for given, percent in ((durations.p50_ms, 50), (durations.p95_ms, 95), (durations.max_ms, 100)):
                true = lengths[-(-len(lengths) * percent // 100) - 1]
                assert given == pytest.approx(true, rel=0.06, abs=1)


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 20))])
def test_numbers_are_what_a_full_count_gives_after_anything_by_anyone(database: EmbeddedDatabase, seed: int) -> None:
    pick = random.Random(seed)
    rollups = Rollups(database)
    for _ in range(60):
        what = pick.randrange(11)
        if what < 5:
            events = [random_event(pick) for _ in range(pick.choice([1, 3, 40]))]
            write(database, *events)
            if pick.random() < 0.3:
                write(database, *events)  # a replay
        elif what < 8:
            as_the_original(pick, database)
        elif what < 9:
            by_hand(pick, database)
        else:
            if pick.random() < 0.5:
                run(
                    database,
                    "INSERT OR IGNORE INTO stats_uncounted SELECT id FROM sessions WHERE rowid % 2 = ?",
                    pick.randrange(2),
                )
            rollups.pace.at_once = pick.choice([1, 7, 5000, 5000])
            while rollups.is_waiting() and pick.random() < 0.9:
                rollups.do_some()
        assert list(differences(database)) == []
        check(database, pick.choice(BY))
    while rollups.is_waiting():
        rollups.do_some()
    assert list(differences(database)) == []
    for by in BY:
        check(database, by)


def test_statistics_that_are_forgotten_are_counted_again(database: EmbeddedDatabase) -> None:
    pick = random.Random(7)
    write(database, *(random_event(pick) for _ in range(300)))
    before = [Reader(database).stats(by) for by in BY]
    rollups = Rollups(database)
    rollups.forget()
    assert Reader(database).stats().uncounted_sessions == rollups.uncounted() == len(SESSIONS)
    rollups.recount_pace.at_once = 1
    while rollups.is_waiting():
        write(database, random_event(pick))  # the agents go on meanwhile
        run(database, "DELETE FROM messages WHERE rowid = (SELECT min(rowid) FROM messages)")
        rollups.do_some()
    assert list(differences(database)) == []
    for by in BY:
        check(database, by)
    assert Reader(database).stats().uncounted_sessions == 0
    assert before[0].total.sessions == Reader(database).stats().total.sessions


def test_the_difference_to_a_full_count_is_found(database: EmbeddedDatabase) -> None:
    pick = random.Random(8)
    write(database, *(random_event(pick) for _ in range(100)))
    run(database, "DELETE FROM stats_waiting WHERE rowid = (SELECT max(rowid) FROM stats_waiting WHERE counted = 'messages')")
    assert "-1 count" in next(differences(database))
    rollups = Rollups(database)
    rollups.do_some()
    run(database, "UPDATE session_stats SET count = count + 2 WHERE rowid = (SELECT min(rowid) FROM session_stats)")
    assert "+2 count" in next(differences(database))
    rollups.forget()
    while rollups.is_waiting():
        rollups.do_some()
    assert list(differences(database)) == []
    run(database, "UPDATE stats_durations SET durations = json_set(durations, '$.\"1\"', 2)")
    assert "+2 count" in next(differences(database))


def test_filters_say_which_sessions_are_meant_and_days_when_it_happened(database: EmbeddedDatabase) -> None:
    at = datetime(2026, 3, 31, 12, tzinfo=timezone.utc)
    for n in range(40):
        common: dict[str, Any] = {"session_id": f"f{n}", "occurred_at": at + timedelta(days=n)}
        write(
            database,
            SessionStarted(**common, agent_type="ab"[n % 2], project=f"project-{n % 4}", model="m"),
            MessageAdded(**common, role="user", content="x"),
            ToolCallFinished(**common, tool_call_id="c", tool_name="look", duration_ms=n),
        )
    rollups = Rollups(database)
    rollups.do_some()
    reader = Reader(database)
    both = reader.stats(
        "tool", agent_type="a", project="project-*", since=at + timedelta(days=2), until=at + timedelta(days=11)
    )
    assert (both.total.sessions, both.total.messages, both.total.tool_calls) == (5, 5, 5)
    assert [row.value for row in both.rows] == ["look"]
    assert (both.since, both.until) == (date(2026, 4, 2), date(2026, 4, 12))
    for since, until in ((None, 30), (1, None), (1, 31), (30, 33), (0, 40), (12, 13)):
        between = {
            name: None if days is None else at + timedelta(days=days) for name, days in (("since", since), ("until", until))
        }
        touched = range(since or 0, 40 if until is None else min(until + 1, 40))
        for filters in ({}, {"agent_type": "*"}):
            assert reader.stats("month", **between, **filters).total.messages == len(touched)  # type: ignore[arg-type]
            rows = reader.stats("day", **between, **filters).rows  # type: ignore[arg-type]
            assert [row.value for row in rows] == [str((at + timedelta(days=n)).date()) for n in touched]
    with pytest.raises(QueryError, match="the first must be earlier"):
        reader.stats(since=at, until=at)
    with pytest.raises(QueryError, match="by 'weekday'"):
        reader.stats("weekday")


@pytest.mark.parametrize("seed", range(3))
def test_periods_are_the_days_that_are_meant_each_once(seed: int) -> None:
    pick = random.Random(seed)
    for _ in range(60):
        since = date(2024, 1, 1) + timedelta(days=pick.randrange(400))
        until = since + timedelta(days=pick.randrange(1, 400))
        since, until = pick.choice(
            [(since, until), (since.replace(day=1), until), (since.replace(day=1), until.replace(day=1))]
        )
        if since >= until:
            continue
        days = [date(2023, 12, 1) + timedelta(days=n) for n in range(900)]
        found = [
            day
            for period in Days(since, until).as_months()
            for day in days
            if period.first <= str(day)[: 10 if period.span == "day" else 7] <= period.last
        ]
        assert sorted(found) == [day for day in days if since <= day < until]


def test_what_nobody_said_the_cost_of_is_estimated(database: EmbeddedDatabase) -> None:
    called: dict[str, Any] = {"session_id": "s", "occurred_at": datetime(2026, 1, 5, tzinfo=timezone.utc)}
    usage = Usage(input=1000, output=100, cache_read=200)
    write(
        database,
        SessionStarted(**called, agent_type="a", model="gpt-4o", provider="openai"),
        ModelCallFinished(**called, model_call_id="1", usage=usage),
        ModelCallFinished(**called, model_call_id="2", usage=usage, provider="a gateway", model="gpt-4o"),
        ModelCallFinished(**called, model_call_id="3", usage=usage, cost_usd=0.5),
        ModelCallFinished(**called, model_call_id="4", usage=usage, model="our own"),
        ModelCallFinished(**called, model_call_id="5", model="our own"),
    )
    total = Reader(database).stats("model").total
    dollars = (800 * 2.5 + 200 * 1.25 + 100 * 10) / 10**6  # https://openai.com/api/pricing
    assert total.estimated_cost_usd == pytest.approx(2 * dollars)
    assert (total.cost_usd, total.unpriced_calls, total.model_calls) == (0.5, 2, 5)
    by_model = {row.value: row for row in Reader(database).stats("model").rows}
    assert by_model["gpt-4o"].estimated_cost_usd == pytest.approx(2 * dollars)
    assert by_model["our own"].unpriced_calls == 2


def test_whatever_another_program_writes_it_can_write_and_is_added_up(database: EmbeddedDatabase) -> None:
    """A trigger that fails would fail its writer."""
    pick = random.Random(4)
    odd = [
        None,
        "",
        b"",
        b"\xff\x00",
        0,
        -1,
        2**63 - 1,
        1e308,
        "0",
        "abc",
        "2026-01-01",
        "9999-12-31 23:59:59",
        "\0",
        "n" * 5000,
    ]
    sessions = """INSERT OR IGNORE INTO sessions (id, agent_type, model, provider, project, started_at, status)
        VALUES (?, ?, ?, ?, ?, ?, ?)"""
    messages = """INSERT INTO messages (id, session_id, sequence, role, model, created_at, token_count)
        VALUES (?, ?, 1, 'x', ?, ?, ?)"""
    tools = """INSERT INTO tool_executions (id, session_id, tool_name, status, started_at, duration_ms)
        VALUES (?, ?, ?, ?, ?, ?)"""
    models = """INSERT INTO model_calls (id, session_id, model, provider, status, started_at, duration_ms, cost_usd,
        input_tokens, occurred_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

    def some(count: int, *, needed: bool = False) -> list[Any]:
        return [pick.choice(odd[1:] if needed else odd) for _ in range(count)]

    rollups = Rollups(database)
    for n in range(200):
        session_id = pick.choice(["s", "t", b"\xff"])
        of_session = pick.choice([session_id, None])
        run(database, sessions, of_session, *some(2, needed=True), *some(2), *some(2, needed=True))
        run(database, messages, f"m{n}", session_id, *some(1), *some(1, needed=True), *some(1))
        run(database, tools, f"t{n}", session_id, *some(3, needed=True), *some(1))
        run(database, models, f"c{n}", session_id, *some(2), *some(2, needed=True), *some(4))
        if n % 20 == 0:
            rollups.do_some()
            assert all(Reader(database).stats(by).total.messages == n + 1 for by in ("day", "model", "agent_type"))
    assert list(differences(database)) == []
    for table in ("messages", "tool_executions", "model_calls", "sessions"):
        run(database, f"DELETE FROM {table}")
    rollups.do_rest()
    assert database.execute("SELECT count(*) FROM stats").rows == [(0,)]


def test_rows_of_no_session_from_before_there_were_statistics_are_counted_too(tmp_path: Path) -> None:
    with EmbeddedDatabase(tmp_path / "old.db") as database:
        before = [migration for migration in MIGRATIONS if migration.version < FIRST_WITH_STATISTICS]
        database.transaction([Statement(sql) for migration in before for sql in statements_of(migration)])
        for n in range(3):
            run(
                database, "INSERT INTO messages (id, session_id, sequence, role, content) VALUES (?, 'gone', 1, 'user', 'x')", n
            )
        prepare_schema(database)
        rollups = Rollups(database)
        rollups.is_waiting()
        rollups.do_rest()
        assert Reader(database).stats().total.messages == 3
        run(database, "DELETE FROM messages")
        rollups.do_rest()
        assert Reader(database).stats().rows == ()
