"""A runner of somebody else's, installed beside turso-hooks in a fresh environment."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "tiny-runner"
version = "1"
dependencies = ["pluggy", "turso-hooks"]
scripts = { tiny-runner = "tiny_runner:main" }
"""

RUNNER = """
import pluggy
from turso_hooks import MessageAdded, SessionEnded, SessionStarted, get_plugin_manager, hookspecs

def talk(hook, session_id):
    hook.session_started(event=SessionStarted(session_id=session_id, agent_type="tiny"))
    hook.message_added(event=MessageAdded(session_id=session_id, role="user", content="hello"))
    hook.session_ended(event=SessionEnded(session_id=session_id))

def main():
    talk(get_plugin_manager().hook, "ours")
    bare = pluggy.PluginManager("turso_hooks")
    bare.add_hookspecs(hookspecs)
    bare.load_setuptools_entrypoints("turso_hooks")
    talk(bare.hook, "bare")
"""


@pytest.mark.slow
def test_a_runner_that_depends_on_pluggy_and_turso_hooks_logs_with_nothing_but_a_url(tmp_path: Path) -> None:
    project = tmp_path / "tiny"
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (project / "tiny_runner.py").write_text(RUNNER, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    binaries = tmp_path / "venv" / "bin"
    install = [str(binaries / "pip"), "install", "--quiet", "--disable-pip-version-check", str(ROOT), str(project)]
    subprocess.run(install, check=True)

    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TURSO_", "PYTHON", "XDG_"))}
    home = tmp_path / "home"
    home.mkdir()
    environment = {**clean, "HOME": str(home), "TURSO_DATABASE_URL": "file:agents.db"}
    result = subprocess.run(
        [str(binaries / "tiny-runner")], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert (result.stdout, result.stderr) == ("", "")
    with closing(sqlite3.connect(tmp_path / "agents.db")) as connection:
        sessions = connection.execute("SELECT id, agent_type, status FROM sessions ORDER BY id").fetchall()
        messages = connection.execute("SELECT session_id, content FROM messages ORDER BY 1").fetchall()
    assert sessions == [("bare", "tiny", "completed"), ("ours", "tiny", "completed")]
    assert messages == [("bare", "hello"), ("ours", "hello")]
