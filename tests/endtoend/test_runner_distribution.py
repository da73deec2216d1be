"""A runner and a plugin of somebody else's, installed beside turso-hooks in a fresh environment."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1"
dependencies = ["pluggy", "turso-hooks"]
{more}
"""

RUNNER = """
import pluggy
from turso_hooks import MessageAdded, SessionEnded, SessionStarted, get_plugin_manager, hookspecs

def talk(hook, session_id):
    hook.session_started(event=SessionStarted(session_id=session_id, agent_type="tiny"))
    for content in ("hello", "secret"):
        hook.message_added(event=MessageAdded(session_id=session_id, role="user", content=content))
    hook.session_ended(event=SessionEnded(session_id=session_id))

def main():
    talk(get_plugin_manager().hook, "ours")

def bare():
    manager = pluggy.PluginManager("turso_hooks")
    manager.add_hookspecs(hookspecs)
    manager.load_setuptools_entrypoints("turso_hooks")
    talk(manager.hook, "bare")
"""

NASTY_PLUGIN = """
from turso_hooks import hookimpl

class Raises:
    @hookimpl(tryfirst=True)
    def message_added(self, event):
        raise RuntimeError("raised by a hook")

class Wraps:
    @hookimpl(wrapper=True)
    def message_added(self, event):
        raise RuntimeError("raised by a wrapper")
        yield

class Redacts:
    @hookimpl
    def redact_event(self, event):
        if getattr(event, "content", None) == "secret":
            raise RuntimeError("raised by a redactor")
        return event

raises, wraps, redacts = Raises(), Wraps(), Redacts()
"""

ENTRY_POINTS = """
[project.entry-points.turso_hooks]
a_missing = "no_such_module"
b_raises = "nasty_plugin:raises"
c_wraps = "nasty_plugin:wraps"
d_redacts = "nasty_plugin:redacts"
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(fresh_environment: Callable[[], Any]) -> Any:
    """A fresh environment with a runner in it."""
    place = fresh_environment()
    scripts = '[project.scripts]\ntiny-runner = "tiny_runner:main"\nbare-runner = "tiny_runner:bare"'
    place.pip("install", distribution(place.folder, "tiny-runner", RUNNER, scripts))
    return place


def distribution(folder: Path, name: str, code: str, more: str) -> str:
    project = folder / name
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT.format(name=name, more=more), encoding="utf-8")
    (project / f"{name.replace('-', '_')}.py").write_text(code, encoding="utf-8")
    return str(project)


def run(place: Any, runner: str, name: str) -> tuple[list[tuple[str, ...]], str]:
    """What was kept, and what was said."""
    result = place.run(runner, database=f"{name}.db")
    assert result.stdout == ""
    with closing(sqlite3.connect(place.folder / f"{name}.db")) as connection:
        sql = "SELECT s.id, s.status, m.content FROM sessions s JOIN messages m ON m.session_id = s.id ORDER BY m.sequence"
        return connection.execute(sql).fetchall(), result.stderr


def test_a_runner_logs_with_nothing_but_a_url(place: Any) -> None:
    assert run(place, "tiny-runner", "first") == ([("ours", "completed", "hello"), ("ours", "completed", "secret")], "")


def test_a_runner_with_a_bare_plugin_manager_logs_too(place: Any) -> None:
    assert run(place, "bare-runner", "second") == ([("bare", "completed", "hello"), ("bare", "completed", "secret")], "")


def test_installed_plugins_that_misbehave_in_every_way_disturb_neither_agent_nor_log(place: Any) -> None:
    place.pip("install", distribution(place.folder, "nasty-plugin", NASTY_PLUGIN, ENTRY_POINTS))
    kept, said = run(place, "tiny-runner", "third")
    assert kept == [("ours", "completed", "hello")]
    assert "Traceback" not in said
    for reported in ("a_missing", "raised by a hook", "wrapper of message_added is refused", "redactor of plugin d_redacts"):
        assert said.count(reported) == 1, said
