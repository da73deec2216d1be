"""The command as people run it: real processes, with and without a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from turso_hooks.events import MessageAdded, SessionEnded, SessionStarted, ToolCallFinished
from turso_hooks.journal import JournalFolder, Writer
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings
from turso_hooks.store.migrations import LATEST
from turso_hooks.store.rows import TABLES

Run = Callable[..., subprocess.CompletedProcess[str]]
Rows = Callable[..., list[tuple[object, ...]]]
COMMANDS = (
    "demo",
    "doctor",
    "drain",
    "import",
    "import openai-chat",
    "journal",
    "journal dead-letters",
    "journal records",
    "journal segments",
    "migrate",
    "reindex",
    "search",
    "sessions",
    "show",
    "sql",
    "status",
    "tail",
    "tools",
)

MERGED = {table.name: ", ".join(table.columns) for table in TABLES}
"""The columns that are the same in whatever order events come."""


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    call = {"id": "c", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
    conversation = [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": "I will", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "a\nb"},
    ]
    file = tmp_path / "odd näme (1).jsonl"
    file.write_text(json.dumps(conversation) + "\n" + json.dumps({"messages": conversation[:1]}) + "\n", encoding="utf-8")
    return file


def test_the_demo_shows_a_conversation_that_went_into_a_database_and_came_back(run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        result = run("demo")
        assert (result.returncode, result.stderr) == (0, "")
        for said in ("A weekend in Lisbon", "✗ get_forecast", "TimeoutError", "sub-agent reviewer", "9 messages", "tokens in"):
            assert said in result.stdout
        assert "\x1b" not in result.stdout
    assert (tmp_path / "turso-hooks-demo.db").exists()
    suggested = re.findall(r"turso-hooks (show .*)", result.stdout)[0].split()
    assert "Go to Belém early" in run(*suggested).stdout
    assert len(run("sessions", "--db", "file:turso-hooks-demo.db").stdout.splitlines()) == 4


def test_what_the_demo_suggests_can_be_pasted(run: Run, tmp_path: Path) -> None:
    suggested = re.findall(r"  turso-hooks (show .*)", run("demo", "--db", "file:it's a b.db").stdout)[0]
    assert "Go to Belém early" in run(*shlex.split(suggested)).stdout


def test_a_demo_without_a_journal_says_why_and_how_much(run: Run) -> None:
    result = run("demo", TURSO_HOOKS_STATE_FOLDER="/dev/null")
    assert (result.returncode, result.stdout) == (1, "")
    why, how_many = result.stderr.splitlines()
    assert "an event was not kept (journal_unwritable): cannot create /dev/null/journals" in why
    assert "takes no counts" in how_many


@pytest.mark.parametrize("command", ["migrate", "demo", "drain", "sessions", "import openai-chat chat.json", "show x"])
def test_the_name_of_a_file_does_not_steer_the_terminal(run: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "chat.json").write_text('[{"role": "user", "content": "x"}]', encoding="utf-8")
    result = run(*command.split(), "--db", "file:a\x1b[31m.db")
    said = result.stdout + result.stderr
    assert ("\\x1b[31m" in said, "\x1b" in said) == (True, False)


def test_an_import_is_there_and_the_same_again_changes_nothing(run: Run, chats: Path, database: Path, rows: Rows) -> None:
    tables = ("sessions", "messages", "tool_executions")
    before = None
    for _ in range(2):
        result = run("import", "openai-chat", str(chats), "--db", f"file:{database}")
        assert (result.returncode, result.stderr) == (0, "")
        assert "2 sessions, 4 messages and 1 tool call are in" in result.stdout
        after = [rows(f"SELECT {MERGED[table]} FROM {table} ORDER BY id") for table in tables]
        assert before in {None, str(after)}
        before = str(after)
    assert rows("SELECT tool_name, status, output FROM tool_executions") == [("ls", "completed", '"a\\nb"')]
    result = run("import", "openai-chat", str(chats), "--json", "--db", f"file:{database}")
    assert json.loads(result.stdout)["messages"] == 4


def test_a_bad_line_is_named_by_number_and_the_rest_is_imported(run: Run, chats: Path, database: Path, rows: Rows) -> None:
    chats.write_text(chats.read_text(encoding="utf-8") + "rubbish\n[7]\n", encoding="utf-8")
    result = run("import", "openai-chat", str(chats), "--db", f"file:{database}")
    assert result.returncode == 1
    assert f"{chats}: line 3: it is not JSON" in result.stderr
    assert f"{chats}: line 4: a conversation is" in result.stderr
    assert rows("SELECT count(*) FROM sessions") == [(2,)]


def test_the_real_conversations_are_all_there(run: Run, shared_data: Path, database: Path, rows: Rows) -> None:
    file = shared_data / "tau-bench-airline-gpt-4o.jsonl"
    dumps = []
    for _ in range(2):
        assert run("import", "openai-chat", str(file), "--db", f"file:{database}").returncode == 0
        counted = [rows(f"SELECT count(*) FROM {table}")[0][0] for table in ("sessions", "messages", "tool_executions")]
        assert counted == [100, 2658, 572]
        tables = ("sessions", "messages", "tool_executions")
        dumps.append([rows(f"SELECT {MERGED[table]} FROM {table} ORDER BY id") for table in tables])
    assert dumps[0] == dumps[1]
    assert rows("SELECT DISTINCT status FROM sessions UNION SELECT DISTINCT status FROM tool_executions") == [("completed",)]
    expected = []
    for line in file.read_text(encoding="utf-8").splitlines():
        messages = json.loads(line)["messages"]
        expected += [message["content"] for message in messages if message["role"] == "tool"]
    found = [json.loads(str(row[0])) for row in rows("SELECT output FROM tool_executions")]
    assert sorted(found) == sorted(expected)
    paired = rows(
        "SELECT count(*) FROM tool_executions t JOIN messages a ON a.id = t.message_id JOIN messages r "
        "ON r.session_id = t.session_id AND r.position = a.position + 1 AND r.role = 'tool' AND r.tool_output = t.output"
    )
    assert paired == [(572,)]


def test_a_file_that_is_no_transcript_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"\xff\x00\n\x80")
    result = run("import", "openai-chat", "noise", "--db", "file:a.db")
    assert result.returncode == 1
    assert "cannot import noise: the file is neither JSON nor JSON Lines" in result.stderr


def test_help_shows_every_command_once(run: Run) -> None:
    from turso_hooks.cli.main import _COMMANDS, _SECTIONS

    shown = [name for names in _SECTIONS.values() for name in names]
    assert sorted(shown) == sorted(_COMMANDS)
    lines = run("--help").stdout.splitlines()
    for name in shown:
        assert sum(line.startswith(f"  {name} ") for line in lines) == 1, name


def test_help_is_there_for_every_command(run: Run) -> None:
    for command in COMMANDS:
        result = run(*command.split(), "--help")
        assert result.returncode == 0
        assert "Usage: turso-hooks" in result.stdout
    assert "turso-hooks demo" in run("--help").stdout
    assert run("--version").stdout.startswith("turso-hooks 0.")


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
    [
        (["sessions"], {}, 2, "pass --db file:agents.db or set TURSO_DATABASE_URL"),
        (["sessions", "--db", "agents.db"], {}, 2, "did you mean file:agents.db?"),
        (["sessions", "--db", "file:none.db"], {}, 1, "cannot list sessions"),
        (["sessions"], {"TURSO_DATABASE_URL": "libsql://x.invalid"}, 1, "its name cannot be resolved"),
        (["show", "x", "--db", "file:none.db"], {}, 1, "cannot find a session"),
        (["show"], {}, 2, "no database is named"),
        (["nonsense"], {}, 2, "No such command 'nonsense'"),
        (["import", "openai-chat", "none.json", "--db", "file:a.db"], {}, 2, "does not exist"),
        (["import", "openai-chat", "conftest.json", "--db", "nothing"], {}, 2, "does not exist"),
        (["migrate", "--db", "file:no/such/folder.db"], {}, 1, "check that the folder"),
        (["drain", "--db", "file:a.db"], {"TURSO_HOOKS_BATCH_EVENTS": "0"}, 2, "TURSO_HOOKS_BATCH_EVENTS must be"),
        (["demo", "--db", "file:no/such/folder.db"], {}, 1, "check that the folder"),
        (["status", "--db", "agents.db"], {}, 2, "did you mean file:agents.db?"),
        (["drain", "--idle", "nan", "--db", "file:a.db"], {}, 2, "'nan' is not a number of seconds"),
        (["drain", "--idle", "inf", "--db", "file:a.db"], {}, 2, "inf is not in the range"),
        (["drain", "--idle", "-1", "--db", "file:a.db"], {}, 2, "-1.0 is not in the range"),
        (["sessions", "--limit", "9" * 20, "--db", "file:a.db"], {}, 2, "is not in the range"),
        (["sessions", "--db", "127.0.0.1:18480"], {}, 2, "did you mean http://127.0.0.1:18480?"),
        (["sessions", "--db", "libsql://agents..turso.io"], {}, 2, "a host name that cannot be one"),
        (["status"], {"TURSO_HOOKS_REQUEST_TIMEOUT_S": "1e12"}, 2, "of at least 0.001 and at most 1000000, not '1e12'"),
        (["drain", "--db", "file:a.db"], {"TURSO_HOOKS_STATE_FOLDER": "/dev/null"}, 1, "cannot use /dev/null/"),
        (["journal", "segments"], {}, 2, "pass --db file:agents.db or set TURSO_DATABASE_URL"),
        (["journal", "records", "--db", "agents.db"], {}, 2, "did you mean file:agents.db?"),
        (["journal", "dead-letters", "--db", "file:none.db"], {}, 1, "the file is not there"),
        (["journal", "dead-letters", "--retry", "--db", "file:none.db"], {}, 1, "the file is not there"),
        (["journal", "dead-letters", "--discard", "--db", "file:none.db"], {}, 2, "name them by ID, or all of them by --all"),
        (["journal", "dead-letters", "--retry", "--discard", "x", "--db", "file:none.db"], {}, 2, "exclude each other"),
        (["journal", "dead-letters", "--all", "--db", "file:none.db"], {}, 2, "--all goes with --discard"),
    ],
)
def test_what_goes_wrong_says_what_to_type_next(
    run: Run, arguments: list[str], environment: dict[str, str], code: int, said: str
) -> None:
    result = run(*arguments, **environment)
    assert result.returncode == code
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_an_import_to_nowhere_is_refused_before_it_begins(run: Run, chats: Path) -> None:
    result = run("import", "openai-chat", str(chats), "--db", "agents.db")
    assert (result.returncode, result.stdout) == (2, "")
    assert "did you mean" in result.stderr


def test_migrate_makes_a_database_and_says_which_version(run: Run) -> None:
    assert f"version {LATEST} now (applied: 1, 2, 3, 4, 5, 6, 7, 8)" in run("migrate", "--db", "file:new.db").stdout
    assert "already" in run("migrate", "--db", "file:new.db").stdout
    assert json.loads(run("migrate", "--json", "--db", "file:new.db").stdout)["applied"] == []


@pytest.mark.parametrize(
    "command",
    [
        ["migrate"],
        ["sessions"],
        ["show", "x"],
        ["drain"],
        ["import", "openai-chat", "a.json"],
        ["journal", "dead-letters", "--retry"],
    ],
)
def test_a_newer_database_is_refused_in_a_sentence_and_not_touched(
    run: Run, command: list[str], database: Path, settings: Settings
) -> None:
    run("migrate", "--db", f"file:{database}")
    with closing(sqlite3.connect(database)) as newer:
        newer.execute("INSERT INTO schema_version VALUES (99, 'tomorrow')")
        newer.commit()
    (database.parent / "a.json").write_text('[{"role": "user", "content": "x"}]', encoding="utf-8")
    writer = Writer(JournalFolder(settings.state_folder, f"file:{database}"), max_bytes=10**6, segment_bytes=10**6)
    writer.append(b"something that waits")
    writer.close()
    before = database.read_bytes()
    result = run(*command, "--db", f"file:{database}")
    assert result.returncode == 1
    (sentence,) = result.stderr.splitlines()
    assert "its schema is version 99" in sentence
    assert "pip install --upgrade turso-hooks" in sentence
    assert database.read_bytes() == before
    assert run("status", "--db", f"file:{database}").stdout.count("waiting         1 record,") == 1


def test_sessions_and_show_print_json_for_programs(run: Run, recorder: Recorder, database: Path) -> None:
    recorder.record(MessageAdded(session_id="s\n1", role="user", content="x\x1b[31m"))
    recorder.record(ToolCallFinished(session_id="s\n1", tool_name="t", output={"a": [1]}))
    recorder.close(30)
    url = f"file:{database}"
    (session,) = json.loads(run("sessions", "--json", "--db", url).stdout)
    assert (session["session_id"], session["message_count"], session["tool_call_count"]) == ("s\n1", 1, 1)
    shown = json.loads(run("show", "s", "--json", "--db", url).stdout)
    assert shown["tool_calls"][0]["output"] == {"a": [1]}
    assert "\x1b" not in run("show", "s", "--db", url).stdout
    assert len(run("sessions", "--db", url).stdout.splitlines()) == 1
    assert run("sessions", "--db", url, PYTHONIOENCODING="ascii").returncode == 0


def test_long_outputs_are_cut_unless_all_of_them_is_asked_for(run: Run, recorder: Recorder, database: Path) -> None:
    recorder.record(ToolCallFinished(session_id="s", tool_name="t", output="\n".join(map(str, range(100)))))
    recorder.close(30)
    assert "--full" in run("show", "s", "--db", f"file:{database}").stdout
    whole = run("show", "s", "--full", "--db", f"file:{database}").stdout
    assert "--full" not in whole
    assert "99" in whole


def test_a_reader_that_has_enough_is_no_error(run: Run, chats: Path, database: Path, tmp_path: Path) -> None:
    run("import", "openai-chat", str(chats), "--db", f"file:{database}")
    command = f"{Path(sys.executable).parent / 'turso-hooks'} sessions --json --db file:{database} | head -c 1"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, env=os.environ
    )
    assert (result.stdout, result.stderr) == ("[", "")


def without_a_reader(*arguments: str, stream: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose output, or whose errors, nobody reads any more, with the buffers that both have elsewhere."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reading, writing = os.pipe()
    os.close(reading)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writing}
    try:
        command = [sys.executable, "-m", "turso_hooks.cli.main", *arguments]
        return subprocess.run(command, env=environment, text=True, check=False, **streams)
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    "command", ["demo", "doctor", "status", "sessions", "drain", "migrate --json", "--help", "show --help"]
)
def test_every_command_whose_reader_has_gone_ends_in_silence(run: Run, command: str, database: Path) -> None:
    url = f"file:{database}"
    run("demo", "--db", url)
    result = without_a_reader(*command.split(), *(() if "--help" in command else ("--db", url)), stream="stdout")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(("command", "code"), [("nonsense", 2), ("sessions", 2), ("show x --db file:none.db", 1)])
def test_what_goes_wrong_is_no_success_because_nobody_reads_why(command: str, code: int) -> None:
    assert without_a_reader(*command.split(), stream="stderr").returncode == code


def test_a_closed_output_is_said_in_a_sentence() -> None:
    command = f"{Path(sys.executable).parent / 'turso-hooks'} status >&-"
    result = subprocess.run(["bash", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert (result.returncode, result.stderr) == (
        1,
        "turso-hooks: standard output is closed: redirect it to /dev/null instead\n",
    )


def test_on_a_terminal_there_are_colours_and_a_progress_bar(
    in_terminal: Callable[..., str], chats: Path, database: Path
) -> None:
    assert "100%" in in_terminal("import", "openai-chat", str(chats), "--db", f"file:{database}")
    assert "\x1b[" in in_terminal("sessions", "--db", f"file:{database}")


def test_a_list_of_sessions_has_room_for_what_matters(
    in_terminal: Callable[..., str], recorder: Recorder, database: Path, run: Run
) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    ids = ["01a20e83bf317b648499864705cf6963", "01a20e83bf317379ada2701392dd5bf7", "01a20e7e063d7d51a96c7ff58c6b2b0e", "short"]
    for session_id in ids:
        title = "A weekend in Lisbon, with two children and a dog"
        recorder.record(
            SessionStarted(session_id=session_id, agent_type="planner", model="claude-sonnet-4-5", title=title, occurred_at=at)
        )
        recorder.record(SessionEnded(session_id=session_id, occurred_at=at))
    recorder.close(30)
    url = f"file:{database}"
    # What both of one millisecond begin with names neither of them.
    beginnings = ["short", "01a20e83bf317b", "01a20e83bf3173", "01a20e7e063d"]
    for columns, rest in (
        (80, "planner claude-sonnet… completed A weekend in L…"),
        (120, "planner claude-sonnet-4-5 completed 0 0 A weekend in Lisbon, with two childr…"),
    ):
        shown = re.sub(r"\x1b\[[\d;]*m", "", in_terminal("sessions", "--db", url, columns=columns, TZ="UTC"))
        assert max(map(len, shown.splitlines())) == columns
        lines = [" ".join(line.split()) for line in shown.splitlines()[1:]]
        assert lines == [f"2026-01-02 03:04 {beginning} {rest}" for beginning in beginnings]
    for beginning in beginnings:
        assert run("show", beginning, "--db", url).returncode == 0
    assert [line.split("\t")[0] for line in run("sessions", "--db", url).stdout.splitlines()] == sorted(ids, reverse=True)


def test_drain_ships_what_a_dead_process_left_and_says_what_it_left_alone(
    run: Run, database: Path, settings: Settings, rows: Rows, child: Callable[..., subprocess.Popen[str]]
) -> None:
    code = """
        import os, turso_hooks
        hook = turso_hooks.get_plugin_manager().hook
        hook.message_added(event=turso_hooks.MessageAdded(session_id="s", role="user", content="x"))
        os._exit(0)
        """
    child(code, TURSO_HOOKS_SHIP_INTERVAL_S="60").communicate(timeout=30)
    folder = JournalFolder(settings.state_folder, f"file:{database}")
    (folder.path / f"{'0' * 32}.00000001.v9.segment").write_bytes(b"x")
    result = run("drain", "--db", f"file:{database}")
    assert result.returncode == 0
    assert "1 event shipped" in result.stdout
    assert "written by another version" in result.stderr
    assert rows("SELECT content FROM messages") == [("x",)]
    assert "0 events shipped" in run("drain", "--idle", "0.1", "--db", f"file:{database}").stdout


def is_held(lock: Path) -> bool:
    if not lock.exists():
        return False
    with lock.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_only_one_drain_waits(run: Run, database: Path) -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-m", "turso_hooks.cli.main", "drain", "--idle", "30", "--db", f"file:{database}"], env=os.environ
    )
    lock = JournalFolder(Path(os.environ["TURSO_HOOKS_STATE_FOLDER"]), f"file:{database}").path / "drain.lock"
    while not is_held(lock):
        assert waiting.poll() is None
    assert "0 events" in run("drain", "--idle", "30", "--db", f"file:{database}").stdout
    waiting.terminate()
    waiting.wait()
