"""Real agents on the SDK's own Claude Code, a model server with a script, and a database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import claude_agent_sdk
import pytest

from serving.model import MODEL, ModelServer, bash, text, thinking, tool

CLAUDE = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
AGENT = Path(__file__).with_name("agent.py")

SCRIPTS = {
    "plain": [[thinking("The user greets me."), text("Hello there.")]],
    "two": [[text("I do both."), bash("echo one"), bash("echo two")], [text("Both are done.")]],
    "failing": [[bash("echo oops >&2; exit 3")], [text("It failed.")]],
    "denied": [[bash("rm -rf /nowhere/at/all")], [text("I may not.")]],
    "parent": [
        [
            text("I ask."),
            tool("Agent", description="look", prompt="[child]", subagent_type="general-purpose", run_in_background=False),
        ],
        [text("It was asked.")],
    ],
    "background": [
        [tool("Agent", description="look", prompt="[child]", subagent_type="general-purpose", run_in_background=True)],
        [text("It was asked.")],
    ],
    "nested": [
        [tool("Agent", description="outer", prompt="[parent]", subagent_type="general-purpose", run_in_background=False)],
        [text("All were asked.")],
    ],
    "child": [[text("I look."), bash("echo seen")], [text("I have seen it.")]],
    "slow": [[text("word " * 400)]],
}


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    with ModelServer({name: list(turns) for name, turns in SCRIPTS.items()}) as server:
        yield server


class Agents:
    """Starts agents: with a home, a project and a database of their own."""

    def __init__(self, folder: Path, server: ModelServer) -> None:
        self.folder = folder
        self.server = server
        self.home = folder / "home"
        self.project = folder / "project"
        self.state = folder / "state"
        self.database = folder / "agents.db"
        for made in (self.home, self.project):
            made.mkdir()
        self.log = folder / "agent.log"

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the user's."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TURSO_DATABASE_URL": f"file:{self.database}",
            "TURSO_HOOKS_STATE_FOLDER": str(self.state),
            "CLAUDE_AGENT_SDK_SKIP_VERSION_CHECK": "1",
        }

    @property
    def claude_environment(self) -> dict[str, str]:
        return {
            "ANTHROPIC_BASE_URL": self.server.url,
            "ANTHROPIC_API_KEY": "made-up",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "3",
        }

    def start(
        self, *prompts: str, way: str = "query", is_logged: bool = True, more: dict[str, str] | None = None, **orders: Any
    ) -> subprocess.Popen[str]:
        given = {
            "allowed_tools": ["Bash(echo:*)", "Bash(exit:*)", "Agent", "Task"],
            "setting_sources": ["user"],
            **orders.pop("options", {}),
        }
        told = {
            "prompts": prompts, "way": way, "is_logged": is_logged, "model": MODEL, "options": given,
            "environment": self.claude_environment, **orders,
        }  # fmt: skip
        streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            [sys.executable, str(AGENT), json.dumps(told)],
            cwd=self.project,
            env={**self.environment, **(more or {})},
            **streams,
        )

    def turso_hooks(self, *arguments: str, **environment: str) -> str:
        """Run the command where the agent runs; what it printed."""
        command = [str(Path(sys.executable).with_name("turso-hooks")), *arguments]
        result = subprocess.run(
            command,
            cwd=self.project,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def claude(self, prompt: str, *arguments: str, **environment: str) -> None:
        """Run Claude Code itself, without the SDK."""
        command = [str(CLAUDE), "-p", "--model", MODEL, "--allowedTools", "Bash(echo:*)", "Agent", *arguments, "--", prompt]
        given = self.environment | self.claude_environment | environment
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        result = subprocess.run(command, cwd=self.project, env=given, check=False, timeout=120, **streams)
        assert result.returncode == 0, result.stderr

    def run(self, *prompts: str, **orders: Any) -> list[list[Any]]:
        """What the agent got, message by message."""
        return ended(self.start(*prompts, **orders))


def ended(process: subprocess.Popen[str]) -> list[list[Any]]:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors, errors
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def agents(tmp_path: Path, model_server: ModelServer) -> Agents:
    return Agents(tmp_path, model_server)


@pytest.fixture
def table(agents: Agents) -> Callable[..., list[dict[str, Any]]]:
    """The rows of a table, in the order in which they are read."""
    import sqlite3

    def table(name: str, database: Path | None = None) -> list[dict[str, Any]]:
        order = (
            "occurred_ms, id"
            if name == "sessions"
            else "occurred_ms, created_at, position, id"
            if name == "messages"
            else "occurred_ms, position, id"
        )
        connection = sqlite3.connect(database or agents.database)
        connection.row_factory = sqlite3.Row
        try:
            is_there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone()
            return [dict(row) for row in connection.execute(f"SELECT * FROM {name} ORDER BY {order}")] if is_there else []
        finally:
            connection.close()

    return table
