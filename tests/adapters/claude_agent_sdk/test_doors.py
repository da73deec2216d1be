"""Three doors, one house: the adapter, Claude Code's hooks and an import of its transcripts make the same rows of a session."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.model import ModelServer
from turso_hooks.events import Event, decode
from turso_hooks.manager import build_plugin_manager
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings

Table = Callable[..., list[dict[str, Any]]]

DOORS = ("adapter", "hooks", "import")
COLLECTS = """
import os
from turso_hooks import hookimpl
from turso_hooks.events import encode

class Collector:
    pass

def _collect(event):
    payload = encode(event)
    with open(os.environ["COLLECTED"], "ab") as file:
        file.write(len(payload).to_bytes(4, "big") + payload)

for name in ("session_started", "message_added", "model_call_started", "model_call_finished", "tool_call_started",
             "tool_call_finished", "session_ended", "note_added"):
    setattr(Collector, name, staticmethod(hookimpl(_collect)))
collector = Collector()
"""
LEFT_OUT = {"sequence", "provenance", "status_key", "search_key"}
"""The order of arrival, and which of several equal sources a value comes from."""


@pytest.fixture
def collecting(tmp_path: Path) -> dict[str, str]:
    """The environment of an agent in which a plugin writes down every event."""
    folder = tmp_path / "plugin"
    (folder / "collector-1.dist-info").mkdir(parents=True)
    (folder / "collecting.py").write_text(COLLECTS)
    (folder / "collector-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: collector\nVersion: 1\n")
    (folder / "collector-1.dist-info" / "entry_points.txt").write_text("[turso_hooks]\ncollector = collecting:collector\n")
    return {"PYTHONPATH": str(folder), "COLLECTED": str(tmp_path / "collected")}


def collected(path: str) -> Iterator[Event]:
    data = Path(path).read_bytes()
    while data:
        size = int.from_bytes(data[:4], "big")
        yield decode(data[4 : 4 + size])
        data = data[4 + size :]


def rows(table: Table, database: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows, without what tells how they came."""
    names = ("sessions", "messages", "tool_executions", "model_calls", "notes")
    return {
        name: sorted(
            ({key: value for key, value in row.items() if key not in LEFT_OUT} for row in table(name, database)), key=json.dumps
        )
        for name in names
    }


class Doors:
    """What came through each door of one real session, to be let in in any order into any database."""

    def __init__(self, agents: Any, collecting: dict[str, str]) -> None:
        self._agents = agents
        self._collected = collecting["COLLECTED"]

    def enter(self, door: str, database: Path) -> None:
        state = database.with_suffix(".state")
        environment = {"TURSO_DATABASE_URL": f"file:{database}", "TURSO_HOOKS_STATE_FOLDER": str(state)}
        if door == "adapter":
            recorder = Recorder(Settings(database_url=f"file:{database}", state_folder=state))
            manager = build_plugin_manager(recorder)
            for event in collected(self._collected):
                manager.emit(event)
            assert recorder.close(30).is_complete
        elif door == "hooks":
            given = next((self._agents.state / "claude-code").glob("*.jsonl"))
            self._agents.turso_hooks("hook", "claude-code", **environment)  # makes the folder, and keeps nothing
            (state / "claude-code").mkdir(parents=True, exist_ok=True)
            shutil.copy(given, state / "claude-code" / self._name(database))
            self._agents.turso_hooks("drain", **environment)
        else:
            self._agents.turso_hooks("import", "claude-code", **environment)

    def _name(self, database: Path) -> str:
        from turso_hooks.adapters.claude_code.inbox import Inbox

        return Path(Inbox("", f"file:{database}").path).name


@pytest.fixture
def doors(agents: Any, collecting: dict[str, str]) -> Callable[[str], Doors]:
    """Runs a session that the adapter and the hooks log, each for itself."""

    def doors(prompt: str) -> Doors:
        agents.turso_hooks("install", "claude-code")
        settings = json.loads((agents.home / ".claude" / "settings.json").read_text())
        # The hooks' input waits until it is let in: a drain that seems to be at work is not started again.
        (agents.state / "claude-code").mkdir(parents=True)
        holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(agents.state), agents.environment["TURSO_DATABASE_URL"]],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        assert holder.stdout is not None
        holder.stdout.readline()
        assert set(settings["hooks"]) >= {"Stop", "SessionEnd"}
        agents.run(prompt, more=collecting)
        holder.communicate()
        return Doors(agents, collecting)

    return doors


HOLDS = """
import sys
from turso_hooks.adapters.claude_code.inbox import Inbox
lock = Inbox(sys.argv[1], sys.argv[2]).lock()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("script", ["two", "parent", "denied"])
def test_in_any_order_a_session_is_the_same_rows(
    doors: Callable[[str], Doors], agents: Any, model_server: ModelServer, table: Table, script: str, tmp_path: Path
) -> None:
    session = doors(f"Look here. [{script}]")
    found = {}
    for order in itertools.permutations(DOORS):
        database = tmp_path / f"{'-'.join(order)}.db"
        for door in order:
            session.enter(door, database)
        found[order] = rows(table, database)
    first = next(iter(found.values()))
    assert all(each == first for each in found.values())
    sent = [answer for answer in model_server.whole() if answer.script]
    assert sorted(row["model_call_id"] for row in first["model_calls"]) == sorted(answer.message_id for answer in sent)
    assert sum(row["output_tokens"] for row in first["model_calls"]) == sum(answer.usage["output_tokens"] for answer in sent)
    tools = [block["id"] for answer in sent for block in answer.blocks if block["type"] == "tool_use"]
    assert sorted(row["tool_call_id"] for row in first["tool_executions"]) == sorted(tools)
    prompts = [row for row in first["messages"] if row["role"] == "user"]
    assert len(prompts) == len(first["sessions"])
    assert len(first["messages"]) == len(prompts) + len(sent) + len(tools)


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_a_door_that_is_entered_twice_changes_nothing(
    doors: Callable[[str], Doors], table: Table, door: str, tmp_path: Path
) -> None:
    session = doors("[two]")
    database = tmp_path / "once.db"
    session.enter(door, database)
    once = rows(table, database)
    session.enter(door, database)
    assert rows(table, database) == once


@pytest.mark.slow
def test_all_doors_at_once_are_one_session(agents: Any, model_server: ModelServer, table: Table) -> None:
    """The adapter logs in its process, hooks start drains, and somebody watches the transcripts."""
    agents.turso_hooks("install", "claude-code")
    (agents.home / ".claude" / "projects").mkdir()
    watch = [str(Path(sys.executable).with_name("turso-hooks")), "watch", "claude-code", "--every", "0.05"]
    watcher = subprocess.Popen(watch, env=agents.environment, cwd=agents.project, stderr=subprocess.PIPE, text=True)
    try:
        agents.run("[parent]")
        until = time.monotonic() + 30
        while not is_whole(table, model_server):
            assert time.monotonic() < until, table("model_calls")
            time.sleep(0.05)  # other processes' work: there is no event to wait for
    finally:
        watcher.terminate()
        watcher.communicate()
    agents.turso_hooks("drain")
    sent = [answer for answer in model_server.whole() if answer.script]
    assert sorted(row["model_call_id"] for row in table("model_calls")) == sorted(answer.message_id for answer in sent)
    assert [row["role"] for row in table("messages")].count("user") == 2
    assert len(table("sessions")) == 2
    assert len(table("tool_executions")) == 2


def is_whole(table: Table, server: ModelServer) -> bool:
    """Whether the transcript has been read to the end, by anybody."""
    calls = table("model_calls")
    return len(calls) == len([answer for answer in server.whole() if answer.script]) and all(
        row["output_tokens"] is not None and row["position"] is not None for row in calls
    )


def test_claude_code_itself_is_logged_by_its_hooks(agents: Any, model_server: ModelServer, table: Table) -> None:
    agents.turso_hooks("install", "claude-code")
    agents.claude("[two]")
    until = time.monotonic() + 30
    while not (agents.database.exists() and is_whole(table, model_server) and table("sessions")[0]["status"] == "completed"):
        assert time.monotonic() < until
        time.sleep(0.05)  # as above
    assert [row["role"] for row in table("messages")] == ["user", "assistant", "tool", "tool", "assistant"]
    assert all(row["duration_ms"] is not None for row in table("tool_executions"))
