"""The commands that find it again: one shape in a pipe, one as JSON, one as JSON Lines, and safe whatever was logged."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from query.test_odd_rows import insert, insert_message, insert_session
from turso_hooks.drivers import EmbeddedDatabase, open_database, parse_database_url
from turso_hooks.events import MessageAdded, SessionStarted, ToolCallFinished
from turso_hooks.plugin import Recorder
from turso_hooks.store import SearchIndex, prepare_schema

Run = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = str(Path(sys.executable).with_name("turso-hooks"))
START = datetime(2026, 1, 2, tzinfo=timezone.utc)
HOSTILE = "<script>alert('x')</script>\t\x1b]0;title\x07\x1b[31m'; DROP TABLE sessions; --\r\nnext \u202eline"


@pytest.fixture
def logged(recorder: Recorder, database: Path) -> str:
    for n in range(3):
        at = START + timedelta(seconds=n)
        session_id = f"s{n}" if n else HOSTILE
        recorder.record(SessionStarted(session_id=session_id, title=HOSTILE, agent_type="a", occurred_at=at))
        recorder.record(MessageAdded(session_id=session_id, role="user", content=f"{HOSTILE} number {n}", occurred_at=at))
        recorder.record(
            ToolCallFinished(session_id=session_id, tool_name="ls", input={"at": HOSTILE}, error="broken", occurred_at=at)
        )
    assert recorder.flush(30).is_complete
    return f"file:{database}"


COMMANDS = [
    ["sessions"],
    ["search", "script"],
    ["tail"],
    ["tools"],
    ["sql", "SELECT id, title FROM sessions"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_line_is_one_thing_and_no_control_character_gets_through(run: Run, logged: str, command: list[str]) -> None:
    said = run(*command, "--db", logged)
    assert said.returncode == 0
    lines = said.stdout.splitlines()
    assert len(lines) >= 3
    assert len({line.count("\t") for line in lines}) == 1
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(said.stdout)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_json_lines_hold_everything_as_it_was(run: Run, logged: str, command: list[str]) -> None:
    said = run(*command, "--jsonl", "--db", logged)
    found = [json.loads(line) for line in said.stdout.splitlines()]
    assert len(found) >= 3
    assert HOSTILE in {each.get("session_id", each.get("id")) for each in found}


def test_what_is_not_found_is_said_and_is_no_failure(run: Run, logged: str) -> None:
    for command, words in (
        (["search", "nowhere"], "nothing was found\n"),
        (["sessions", "--agent", "nobody"], "no conversation matches\n"),
        (["tools", "--tool", "none"], "no tool call matches\n"),
    ):
        said = run(*command, "--db", logged)
        assert (said.returncode, said.stdout, said.stderr) == (0, "", words)


def test_filters_say_which_sessions_are_meant(run: Run, logged: str) -> None:
    def ids(*options: str) -> list[str]:
        return [line.split("\t")[0] for line in run("sessions", "--db", logged, *options).stdout.splitlines()]

    assert ids("--since", "2026-01-02T00:00:01Z") == ["s2", "s1"]
    assert ids("--until", "2026-01-02T00:00:02Z", "--agent", "a*", "--limit", "1") == ["s1"]
    assert ids("--since", "2h") == []
    assert ids("--text", "number 2") == ["s2"]
    wrong = run("sessions", "--since", "yesteryear", "--db", logged)
    assert (wrong.returncode, "write 2026-01-31" in wrong.stderr) == (2, True)


def test_sql_takes_arguments_and_cannot_write(run: Run, logged: str) -> None:
    said = run("sql", "SELECT count(*) AS n FROM sessions WHERE id = ?", "s1", "--db", logged)
    assert said.stdout == "n\n1\n"
    wrong = run("sql", "DELETE FROM sessions", "--db", logged)
    assert (wrong.returncode, wrong.stderr) == (
        1,
        "turso-hooks: what reads a database cannot write to it: use another program for that\n",
    )


def test_reindex_brings_in_what_another_program_wrote(run: Run, logged: str, database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(
            "INSERT INTO messages (id, session_id, sequence, role, content) VALUES ('m', 's1', 9, 'user', 'zebra')"
        )
    connection.close()
    assert run("search", "zebra", "--db", logged).stdout.startswith("s1\t")
    for options in ([], ["--anew"]):
        assert run("reindex", *options, "--db", logged).stdout == f"everything in {logged} is in the index\n"
        assert run("search", "zebra", "--db", logged).stdout.startswith("s1\t")


def test_a_tail_follows_until_it_is_stopped(recorder: Recorder, logged: str) -> None:
    command = [COMMAND, "tail", "-f", "--limit", "1", "--db", logged]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "\tls error\t" in process.stdout.readline()
        recorder.record(MessageAdded(session_id="s1", role="user", content="and then"))
        assert recorder.flush(30).is_complete
        assert process.stdout.readline().endswith("\tuser\tand then\n")
        process.send_signal(signal.SIGINT)
        _, problem = process.communicate(timeout=20)
    assert (process.returncode, problem) == (0, "")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_on_a_terminal_there_are_colours_and_nothing_steers_it(
    in_terminal: Callable[..., str], logged: str, command: list[str]
) -> None:
    shown = in_terminal(*command, "--db", logged, columns=200, PAGER="cat")
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert plain != shown
    assert "script" in plain
    assert not {"\x1b", "\x07", "\u202e"} & set(plain)
    assert "\x1b[31m'; DROP" not in shown


@pytest.mark.slow
def test_every_view_shows_what_is_no_text_no_number_and_no_json(database: Path, run: Run) -> None:
    odd = b"\xff\x00\xfe"
    with EmbeddedDatabase(database) as opened:
        prepare_schema(opened)
        insert_session(opened, "s", title=odd, status=odd, error_message=odd, metadata="{", agent_type=odd)
        opened.execute("UPDATE sessions SET error_message = CAST(x'ff41' AS TEXT)")
        insert_session(opened, odd)
        insert_session(opened, None)
        parts = '[{"type": ["a"]}, {"type": "reasoning", "text": "\\ud800"}]'
        insert_message(opened, "m", content=odd, parts=parts, position=odd)
        insert_message(opened, "n", role=odd, token_count="many", created_at=odd)
        opened.execute("UPDATE messages SET content = CAST(x'ff206e6565646c65' AS TEXT) WHERE id = 'n'")
        started = {"session_id": "s", "started_at": "2026"}
        called = dict.fromkeys(("input", "output", "error"), odd)
        insert(opened, "tool_executions", id="t", tool_name="ls", status="odd", duration_ms="long", **started, **called)
        wrong = {"status": odd, "cost_usd": "much", "input_tokens": "few", "error": odd}
        insert(opened, "model_calls", id="c", **started, **wrong)
        index = SearchIndex(opened)
        added_up = [["stats", "--by", by] for by in ("day", "model", "tool", "agent", "provider")]
        commands = (
            *([*command, *form] for command in (*COMMANDS, *added_up) for form in ([], ["--jsonl"])),
            *(["show", "s", *form] for form in ([], ["--markdown"], ["--json"], ["--jsonl"])),
        )
        for _ in range(2):
            for command in commands:
                said = run(*command, "--db", f"file:{database}")
                remarks = said.stderr.replace("nothing was found\n", "").replace("what 1 model call cost is not known\n", "")
                assert (command, said.returncode, remarks) == (command, 0, "")
            index.add_some()


def test_columns_of_one_name_are_told_apart_in_json(database: Path, run: Run) -> None:
    with EmbeddedDatabase(database) as opened:
        prepare_schema(opened)
    said = run("sql", "SELECT 1 AS a, 2 AS a, 3 AS a_2", "--json", "--db", f"file:{database}")
    assert json.loads(said.stdout) == [{"a": 1, "a_2": 2, "a_2_2": 3}]


@pytest.mark.slow
def test_a_hundred_megabytes_that_mean_harm_are_safe_in_every_view(tmp_path: Path, in_terminal: Callable[..., str]) -> None:
    database = tmp_path / "agents.db"
    large = HOSTILE * (100_000_000 // len(HOSTILE))
    rows: dict[str, dict[str, object]] = {
        "sessions": {"id": f"s{HOSTILE}", "agent_type": "a", "model": "m", "title": large, "error_message": large},
        "messages": {"id": "m", "session_id": f"s{HOSTILE}", "sequence": 1, "role": "user", "content": large},
        "tool_executions": {"id": "t", "session_id": f"s{HOSTILE}", "tool_name": "t", "status": "error", "output": large},
    }
    with open_database(parse_database_url(f"file:{database}")) as opened:
        prepare_schema(opened)
        for table, row in rows.items():
            insert = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
            opened.execute(insert, tuple(row.values()))
        index = SearchIndex(opened)
        while index.is_waiting():
            index.add_some()
    url = f"file:{database}"
    shows = [["show", "s", *options] for options in ([], ["--markdown"])]
    for command in (["sessions"], ["search", "script"], ["tail", "--jsonl"], *shows):
        with (tmp_path / "output").open("w+b") as output:
            code = subprocess.run([COMMAND, *command, "--db", url], stdout=output, check=False, timeout=120).returncode
            assert (command, code) == (command, 0)
            output.seek(0)
            while piece := output.read(2**24):
                assert not any(control in piece for control in (b"\x1b", b"\x07", b"\r")), command
    for command in (["sessions"], ["show", "s"], ["search", "script"]):
        shown = in_terminal(*command, "--db", url, PAGER="cat")
        assert "script" in shown
        assert not {"\x07", "\u202e"} & set(shown)
        assert len(shown) < 1_000_000
