"""Numbers on a terminal, in a pipe and as JSON; counting anew; and that verify compares them with a full count."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from turso_hooks.events import MessageAdded, ModelCallFinished, SessionEnded, SessionStarted, ToolCallFinished, Usage
from turso_hooks.plugin import Recorder

Run = Callable[..., "subprocess.CompletedProcess[str]"]

DAY = datetime(2026, 2, 3, 4, tzinfo=timezone.utc)


@pytest.fixture
def logged(recorder: Recorder, database: Path) -> str:
    for n in range(3):
        session_id, at = f"s{n}", DAY + timedelta(days=n)
        for event in (
            SessionStarted(session_id=session_id, agent_type="coder", model="gpt-4o", provider="openai", occurred_at=at),
            MessageAdded(session_id=session_id, role="user", content="Hi", occurred_at=at),
            ModelCallFinished(
                session_id=session_id,
                model_call_id="m",
                usage=Usage(input=1_000_000, output=100_000),
                duration_ms=90_000,
                cost_usd=None if n else 1.25,
                occurred_at=at,
            ),
            ToolCallFinished(
                session_id=session_id,
                tool_call_id="t",
                tool_name="bash",
                status="error" if n == 1 else "completed",
                duration_ms=120 + n,
                occurred_at=at,
            ),
            SessionEnded(session_id=session_id, occurred_at=at),
        ):
            recorder.record(event)
    assert recorder.flush(30).is_complete
    return f"file:{database}"


def test_numbers_are_printed_for_programs_and_for_people(run: Run, in_terminal: Callable[..., str], logged: str) -> None:
    lines = run("stats", "--db", logged).stdout.splitlines()
    assert lines[0].split("\t") == [
        "2026-02-03", "1", "1", "1", "1", "0", "1000000", "100000", "1.250000", "0.000000", "85821", "85821", "124", "124",
    ]  # fmt: skip
    assert [line.split("\t")[0] for line in lines] == ["2026-02-03", "2026-02-04", "2026-02-05"]
    tool = json.loads(run("stats", "--by", "tool", "--jsonl", "--db", logged).stdout)
    assert (tool["value"], tool["tool_calls"], tool["tool_errors"], tool["tool_success_rate"]) == ("bash", 3, 1, 2 / 3)
    whole = json.loads(run("stats", "--by", "agent", "--json", "--db", logged).stdout)
    assert (whole["by"], whole["total"]["sessions"], whole["rows"][0]["value"]) == ("agent_type", 3, "coder")
    shown = in_terminal("stats", "--by", "model", "--db", logged, columns=120)
    assert "gpt-4o" in shown
    assert "~$8.25" in shown  # 1.25, and twice a million for $2.50 and a tenth of one for $10
    assert "1.43 min · 1.43 min" in shown
    shown = in_terminal("stats", "--by", "tool", "--db", logged)
    assert "66.7 %" in shown
    assert "124 ms" in shown
    assert "total" in in_terminal("stats", "--db", logged)


def test_days_and_sessions_are_chosen(run: Run, logged: str) -> None:
    chosen = run("stats", "--since", "2026-02-04T00:00:00Z", "--until", "2026-02-05T00:00:00Z", "--db", logged).stdout
    assert [line.split("\t")[0] for line in chosen.splitlines()] == ["2026-02-04"]
    assert run("stats", "--agent", "coder", "--db", logged).stdout == run("stats", "--db", logged).stdout
    nothing = run("stats", "--agent", "nobody", "--db", logged)
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "there is nothing to add up\n")
    wrong = run("stats", "--since", "2026-02-05", "--until", "2026-02-04", "--db", logged)
    assert wrong.returncode == 1
    assert "the first must be earlier" in wrong.stderr
    assert "'weekday' is not one of" in run("stats", "--by", "weekday", "--db", logged).stderr


def test_verify_compares_numbers_with_a_full_count_and_recount_puts_them_right(run: Run, logged: str, database: Path) -> None:
    assert run("verify", "--db", logged).returncode == 0
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM stats_waiting WHERE counted = 'messages' AND session_id = 's1'")
    verified = run("verify", "--db", logged)
    assert verified.returncode == 1
    assert "statistics are not what a full count gives: session 's1'" in verified.stdout
    assert "turso-hooks recount --anew" in verified.stdout
    assert run("verify", "--journal-only", "--db", logged).returncode == 0
    assert run("recount", "--anew", "--db", logged).stdout == f"everything in {logged} is counted\n"
    assert run("verify", "--db", logged).returncode == 0
    assert json.loads(run("recount", "--json", "--db", logged).stdout) == {"database": logged}


def test_a_database_of_before_is_told_to_be_brought_up_to_date(run: Run, logged: str, database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO stats_uncounted VALUES ('s2')")
    assert "1 session from before" in run("stats", "--db", logged).stderr
    with closing(sqlite3.connect(database.with_name("old.db"))) as connection, connection:
        connection.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at TEXT)")
        connection.execute("INSERT INTO schema_version VALUES (6, '2026-01-01')")
    old = run("stats", "--db", f"file:{database.with_name('old.db')}")
    assert old.returncode == 1
    assert "turso-hooks migrate" in old.stderr
