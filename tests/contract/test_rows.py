"""The same events make the same rows, in a file one by one and on a server many at once."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from turso_hooks.drivers import Database, EmbeddedDatabase, open_database, parse_database_url
from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    ModelCallStarted,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    TextPart,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
)
from turso_hooks.store import Batch, Numbering, Position, Standing, prepare_schema, row_of, write_batch

START = datetime(2026, 1, 2, tzinfo=timezone.utc)
TABLES = ("sessions", "messages", "tool_executions", "model_calls", "notes")
TEXTS = (None, None, "", "plain", "nul\0nul", 'quo"te\n\\u0041 \\', "é 日本語 😀", "{}", "null", "12", " x ", "z" * 3000)
LONGER_THAN_A_PAGE = tuple(letter * length for letter, length in (("a", 5000), ("b", 7000), ("c", 9001), ("d", 20_000)))
NUMBERS = (None, 0, 1, -1, 2**53 + 1, 2**63 - 1, 2**70)
COSTS = (None, 0.0, 0.399506, 1 / 3, 3e-06 * 123, 1e-20, 5, 1e300)


def events_of(seed: int, count: int) -> Iterator[Event]:
    pick = random.Random(seed)

    def common() -> dict[str, Any]:
        return {
            "event_id": f"{pick.randrange(10**9):032x}",
            "session_id": pick.choice(["s1", "s2", "s'\"3", "s4"]),
            "occurred_at": START + timedelta(microseconds=pick.randrange(5_000_000)),
            "source_rank": pick.choice([1, 2, 3]),
            "position": pick.choice([None, 0, 1, 2]),
            "metadata": pick.choice([None, {"a": pick.choice(TEXTS)}, [1, 0.1, True, None]]),
        }

    def call() -> dict[str, Any]:
        text, message_id = pick.choice(TEXTS), pick.choice([None, "i1", "i2"])
        call_id = pick.choice(["i1", "i2", "i3"])
        return {**common(), "tool_call_id": call_id, "tool_name": text, "input": pick.choice(TEXTS), "message_id": message_id}

    def model_call() -> dict[str, Any]:
        return {**common(), "model_call_id": pick.choice(["i1", "i2", "i3"]), "model": pick.choice(TEXTS)}

    makers = (
        lambda: SessionStarted(**common(), agent_type=pick.choice(TEXTS), model=pick.choice(TEXTS), title=pick.choice(TEXTS)),
        lambda: SessionEnded(**common(), status=pick.choice([None, "completed", "error"]), error_message=pick.choice(TEXTS)),
        lambda: MessageAdded(
            **common(),
            role=pick.choice(["user", "tool"]),
            message_id=pick.choice([None, "i1", "i2", "i3"]),
            content=pick.choice([*TEXTS, [TextPart(text="part")]]),
            token_count=pick.choice(NUMBERS),
        ),
        lambda: ToolCallStarted(**call()),
        lambda: ToolCallFinished(
            **call(),
            output=pick.choice([*TEXTS, {"b": b"\0\xff"}]),
            error=pick.choice(TEXTS),
            status=pick.choice([None, "completed", "cancelled"]),
            duration_ms=pick.choice([None, 0, 12.4, 3000]),
        ),
        lambda: ModelCallStarted(**model_call()),
        lambda: ModelCallFinished(
            **model_call(),
            usage=Usage(input=pick.choice(NUMBERS), output=3),
            cost_usd=pick.choice(COSTS),
            error=pick.choice(TEXTS),
        ),
        lambda: NoteAdded(**common(), name=pick.choice(["n", "m"]), payload=pick.choice(TEXTS)),
    )
    return (pick.choice(makers)() for _ in range(count))


def url_of(name: str, request: pytest.FixtureRequest) -> str:
    """The address of the server of this name, over HTTP or a WebSocket."""
    server = request.getfixturevalue(name.partition(" ")[0])
    url: str = server.ws_url if "WebSocket" in name else server.url
    return url


def write(database: Database, batches: list[list[Event]]) -> None:
    standing = Standing(None, Numbering())
    for number, events in enumerate(batches, start=1):
        end = Standing(Position(1, number), Numbering(1))
        write_batch(database, Batch("w", standing, end, [row_of(event) for event in events], len(events)), START)
        standing = end


def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    """All rows, but for the order of their arrival: a row that was there already uses up a number where many come at once."""
    found = {}
    for table in TABLES:
        result = database.execute(f"SELECT * FROM {table} ORDER BY id")
        rows = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
        found[table] = [{name: value for name, value in row.items() if name != "sequence"} for row in rows]
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["turso_server", "libsql_server", "libsql_server over a WebSocket"])
def test_the_same_events_make_the_same_rows(name: str, seed: int, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = url_of(name, request)
    pick = random.Random(seed)
    events = list(events_of(seed, 300))
    batches = []
    while events:
        size = pick.choice([1, 2, 30, 100])
        batches.append(events[:size])
        events = events[size:]
    with EmbeddedDatabase(tmp_path / "rows.db") as here, open_database(parse_database_url(url)) as there:
        for database in (here, there):
            prepare_schema(database)
            write(database, batches)
        assert everything(there) == everything(here)
        for database in (here, there):
            numbers = database.execute("SELECT count(*), count(DISTINCT session_id || ' ' || sequence) FROM messages").rows[0]
            assert numbers[0] == numbers[1] > 10


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["turso_server", "libsql_server", "libsql_server over a WebSocket"])
def test_long_rows_written_again_and_again_are_what_they_are_in_a_file(
    name: str, seed: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    pick = random.Random(seed)

    def message(text: str, message_id: str | None = None) -> MessageAdded:
        return MessageAdded(
            event_id=f"{pick.randrange(10**9):032x}",
            session_id="s",
            role="user",
            message_id=message_id,
            content=text,
            occurred_at=START,
        )

    batches = []
    for number in range(5):
        again = [f"{number}.{n}" for n in range(3) for _ in range(pick.choice([2, 3]))]
        long = [message(pick.choice(LONGER_THAN_A_PAGE), message_id) for message_id in again]
        batches.append([*long, *(message("ok") for _ in range(10))])
    with (
        EmbeddedDatabase(tmp_path / "rows.db") as here,
        open_database(parse_database_url(url_of(name, request))) as there,
    ):
        for database in (here, there):
            prepare_schema(database)
            write(database, batches)
        assert everything(there) == everything(here)


@pytest.mark.parametrize("name", ["turso_server", "libsql_server", "file"])
def test_no_trigger_reads_a_whole_table(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"file:{tmp_path}/rows.db" if name == "file" else url_of(name, request)
    with open_database(parse_database_url(url)) as database:
        prepare_schema(database)
        triggers = database.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'").rows
        bodies = [re.search(r"\bBEGIN\b(.*)\bEND\b", sql, re.DOTALL) for (sql,) in triggers]
        statements = [statement for body in bodies if body for statement in body[1].split(";") if statement.strip()]
        assert len(statements) >= len(triggers) > 30
        for statement in statements:
            plan = database.execute(f"EXPLAIN QUERY PLAN {re.sub(r'(NEW|OLD)[.][a-z_]+', '1', statement)}").rows
            assert plan or statement.split()[0] == "INSERT", statement
            read = [table for step in plan for table in re.findall(r"SCAN (?:TABLE )?(\w+)", str(step))]
            assert not set(read) & {*TABLES, "session_stats", "stats_changes", "stats"}, (statement, plan)
