"""Conversations leave in the forms of other programs, and come back from those that we read."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from turso_hooks.events import MessageAdded, SessionStarted, ToolCallStarted, utc_now
from turso_hooks.plugin import Recorder

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def logged(recorder: Recorder, database: Path) -> str:
    for event in (
        SessionStarted(session_id="parent", title="One", agent_type="main"),
        MessageAdded(session_id="parent", role="user", content="Please — é"),
        ToolCallStarted(session_id="parent", tool_call_id="c", tool_name="task", input={"n": 1}),
        SessionStarted(session_id="child", agent_type="sub", parent_session_id="parent", parent_tool_call_id="c"),
        MessageAdded(session_id="child", role="user", content="Found"),
        SessionStarted(session_id="other", title="Two", agent_type="main", occurred_at=utc_now() + timedelta(seconds=1)),
        MessageAdded(session_id="other", role="user", content="Hello"),
    ):
        recorder.record(event)
    assert recorder.flush(30).is_complete
    return f"file:{database}"


@pytest.mark.slow
def test_real_conversations_come_back_from_what_was_exported(run: Run, shared_data: Path, tmp_path: Path) -> None:
    original = shared_data / "tau-bench-airline-gpt-4o.jsonl"
    exported = []
    for n, source in enumerate([original, tmp_path / "0.jsonl"]):
        url, target = f"file:{tmp_path}/{n}.db", tmp_path / f"{n}.jsonl"
        assert run("import", "openai-chat", str(source), "--db", url).returncode == 0
        said = run("export", "openai-chat", "--output", str(target), "--db", url)
        assert (said.returncode, said.stdout, said.stderr) == (0, "", "100 conversations written\n")
        exported.append(target.read_bytes())
    assert exported[0] == exported[1]
    before, after = (
        {json.dumps([message["content"] for message in json.loads(line)["messages"]]) for line in text.splitlines()}
        for text in (original.read_bytes(), exported[1])
    )
    assert before == after
    anthropic = run("export", "anthropic", "--db", f"file:{tmp_path}/1.db").stdout.splitlines()
    assert {json.loads(line)["messages"][0]["role"] for line in anthropic} == {"user"}
    assert len(anthropic) == 100


@pytest.mark.slow
def test_events_are_exported_imported_and_exported_again_to_the_same_bytes(run: Run, shared_data: Path, tmp_path: Path) -> None:
    original = shared_data / "tau-bench-airline-gpt-4o.jsonl"
    assert run("import", "openai-chat", str(original), "--db", f"file:{tmp_path}/0.db").returncode == 0
    assert run("demo", "--db", f"file:{tmp_path}/0.db").returncode == 0
    for n in range(2):
        target = tmp_path / f"{n}.jsonl"
        exported = run("export", "jsonl", "-o", str(target), "--db", f"file:{tmp_path}/{n}.db")
        assert exported.stderr == "102 conversations written\n"
        imported = run("import", "jsonl", str(target), "--db", f"file:{tmp_path}/{n + 1}.db")
        assert imported.returncode == 0
        assert imported.stdout.startswith("102 sessions, ")
    assert (tmp_path / "0.jsonl").read_bytes() == (tmp_path / "1.jsonl").read_bytes()
    for form in ("openai-chat", "anthropic", "markdown", "html"):
        said = [run("export", form, "--db", f"file:{tmp_path}/{n}.db").stdout for n in range(3)]
        assert said[0] == said[1] == said[2]
    again = run("import", "jsonl", str(target), "--json", "--db", f"file:{tmp_path}/0.db")
    assert json.loads(again.stdout)["sessions"] == 102
    assert run("export", "jsonl", "--db", f"file:{tmp_path}/0.db").stdout == (tmp_path / "0.jsonl").read_text()


def test_lines_that_are_no_events_are_named_and_the_others_come_in(run: Run, logged: str, tmp_path: Path) -> None:
    lines = run("export", "jsonl", "parent", "--db", logged).stdout.splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["session_started", "message_added", "tool_call_started"]
    broken = tmp_path / "broken.jsonl"
    broken.write_text("\n".join([lines[0], "", "{", '{"type": "rumour", "session_id": "x"}', "[]", lines[1], lines[2][:-9]]))
    said = run("import", "jsonl", str(broken), "--db", f"file:{tmp_path}/other.db")
    assert said.returncode == 1
    assert said.stdout.startswith("1 session, 1 message and 0 tool calls are in ")
    assert [line.split(": ")[1] for line in said.stderr.splitlines()] == ["line 3", "line 4", "line 5", "line 7"]


def test_sessions_are_chosen_by_name_or_by_filters(run: Run, logged: str) -> None:
    def ids(*options: str) -> list[str]:
        lines = run("export", "openai-chat", *options, "--db", logged).stdout.splitlines()
        return sorted(json.loads(line)["metadata"]["id"] for line in lines)

    assert ids() == ["child", "other", "parent"]
    assert ids("par", "other") == ["other", "parent"]
    assert ids("--agent", "main", "--text", "hello") == ["other"]
    assert run("export", "openai-chat", "par", "--agent", "main", "--db", logged).returncode == 2
    missing = run("export", "anthropic", "nobody", "--db", logged)
    assert (missing.returncode, "no session's id begins with 'nobody'" in missing.stderr) == (1, True)


def test_markdown_has_sub_agents_where_they_were_started(run: Run, logged: str) -> None:
    said = run("export", "markdown", "--db", logged).stdout
    assert [line for line in said.splitlines() if line.startswith("# ")] == ["# Two", "# One"]
    assert "\n> ## child\n" in said
    assert run("export", "markdown", "--agent", "sub", "--db", logged).stdout.startswith("# child\n")
    with sqlite3.connect(logged.removeprefix("file:")) as connection:
        for session_id, parent in (("orphan", "nobody"), ("own", "own"), ("one", "two"), ("two", "one")):
            sql = "INSERT INTO sessions (id, agent_type, model, status, parent_session_id) VALUES (?, 'a', 'm', 'completed', ?)"
            connection.execute(sql, (session_id, parent))
    connection.close()
    titles = {line for line in run("export", "markdown", "--db", logged).stdout.splitlines() if line.startswith("# ")}
    assert titles == {"# Two", "# One", "# orphan", "# own", "# one", "# two"}
    assert run("export", "markdown", "child", "--db", logged).stdout.startswith("# child\n")


def test_what_cannot_be_written_or_is_broken_off_leaves_what_was_there(run: Run, logged: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text("before")
    assert run("export", "openai-chat", "other", "nobody", "-o", str(kept), "--db", logged).returncode == 1
    assert kept.read_text() == "before"
    wrong = run("export", "openai-chat", "-o", str(tmp_path / "no" / "folder"), "--db", logged)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert "No such file or directory" in wrong.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if "part" in path.name) == []
    assert run("export", "openai-chat", "other", "-o", "/dev/stdout", "--db", logged).stdout.count("\n") == 1
    assert run("export", "openai-chat", "--agent", "nobody", "--db", logged).stderr == "0 conversations written\n"
