"""Real OpenCode servers, a model server with a script, and programs that log what happens there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.fixtures import skipping
from serving.model import ModelServer, text, thinking, tool
from serving.opencode import OpenCode

WITHIN_S = 30.0


def bash(command: str) -> dict[str, Any]:
    return tool("bash", command=command, description="as asked")


SCRIPTS: dict[str, list[list[dict[str, Any]]]] = {
    "plain": [[thinking("The user greets me."), text("Hello there.")]],
    "two": [[text("I do both."), bash("echo one"), bash("echo two")], [text("Both are done.")]],
    "failing": [[tool("read", filePath="nowhere.txt")], [text("It failed.")]],
    "denied": [[bash("rm nowhere.txt")], [text("I may not.")]],
    "asking": [[tool("webfetch", url="http://127.0.0.1:1/", format="text")], [text("I was told why.")]],
    "parent": [
        [text("I ask."), tool("task", description="look", prompt="[child]", subagent_type="general")],
        [text("It was asked.")],
    ],
    "child": [[text("I look."), bash("echo seen")], [text("I have seen it.")]],
    "slow": [[text("word " * 400)]],
    "again": [[text("I go on.")]],
}


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    with ModelServer(SCRIPTS) as server:
        yield server


@pytest.fixture
def opencode(tmp_path: Path, model_server: ModelServer) -> Iterator[OpenCode]:
    with skipping(), OpenCode(tmp_path / "opencode", model_server.url) as server:
        yield server


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, "it does not come to hold"
        time.sleep(0.02)  # another process: there is no event to wait for


class Log:
    """A database, and the commands that fill it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.database = folder / "agents.db"
        self.errors = folder / "errors.txt"
        self._processes: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "TURSO_DATABASE_URL": f"file:{self.database}",
            "TURSO_HOOKS_STATE_FOLDER": str(self.folder / "state"),
        }

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("turso-hooks")), *arguments]
        given = self.environment | environment
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=given)

    def watch(self, url: str, **environment: str) -> subprocess.Popen[str]:
        return self.run([str(Path(sys.executable).with_name("turso-hooks")), "watch", "opencode", "--url", url], **environment)

    def run(self, command: list[str], **environment: str) -> subprocess.Popen[str]:
        with self.errors.open("ab") as errors:
            streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors, "text": True}
            process = subprocess.Popen(command, env=self.environment | environment, **streams)
        self._processes.append(process)
        return process

    def end(self, process: subprocess.Popen[str], how: signal.Signals = signal.SIGINT) -> None:
        process.send_signal(how)
        process.communicate(timeout=WITHIN_S)
        assert process.returncode == (-how if how is signal.SIGKILL else 0), self.said()
        assert "Traceback" not in self.said()

    def end_all(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    def said(self) -> str:
        return self.errors.read_text()

    def table(self, name: str) -> list[dict[str, Any]]:
        if not self.database.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            connection.row_factory = sqlite3.Row
            try:
                return [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]
            except sqlite3.OperationalError:  # no table yet
                return []

    def statuses(self) -> dict[str, str]:
        return {row["id"]: row["status"] for row in self.table("sessions")}

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """All rows, without what tells how they came, and when a stream said something."""
        names = ("sessions", "messages", "tool_executions", "model_calls", "notes")
        return {
            name: sorted(
                (
                    {key: value for key, value in row.items() if key not in LEFT_OUT | (TIMES if name == "notes" else set())}
                    for row in self.table(name)
                ),
                key=json.dumps,
            )
            for name in names
        }


LEFT_OUT = {"sequence", "provenance", "status_key", "search_key"}
"""The order of arrival, and which of several equal sources a value comes from."""

TIMES = {"occurred_at"}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Callable[[str], Log]]:
    """Makes logs: `log("name")`."""
    made: list[Log] = []

    def make(name: str) -> Log:
        made.append(Log(tmp_path / name))
        return made[-1]

    yield make
    for one in made:
        one.end_all()
