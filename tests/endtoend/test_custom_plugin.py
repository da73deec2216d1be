"""The example of a plugin: what it hides and counts, and that it does so once it is installed."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from turso_hooks.events import (
    EVENT_TYPES,
    Event,
    MessageAdded,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    TextPart,
    ToolCallFinished,
    ToolCallPart,
)
from turso_hooks.manager import PluginManager
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "custom_plugin"

# Put together here, so that nobody takes them for real.
KEY = "sk-" + "0123456789abcdef" * 500
TOKEN = "Bearer " + "0123456789abcdef" * 2
ADDRESS = "jane.doe" + "@" + "example.com"
SECRETS = (KEY, TOKEN, ADDRESS)

RUNNER = f"""
import json
from turso_hooks import *
hook = get_plugin_manager().hook
secret = "write to {ADDRESS} with {KEY}, {TOKEN}"
hook.session_started(event=SessionStarted(session_id="s", title=secret, metadata={{"secret": secret}}))
hook.message_added(event=MessageAdded(session_id="s", role="user", content=secret))
hook.message_added(event=MessageAdded(session_id="s", role="assistant", content=[TextPart(text=secret)]))
hook.tool_call_started(event=ToolCallStarted(session_id="s", tool_call_id="c", tool_name="mail", input=[secret]))
hook.tool_call_finished(event=ToolCallFinished(session_id="s", tool_call_id="c", tool_name="mail", error=secret))
hook.note_added(event=NoteAdded(session_id="s", name="scratchpad", payload=secret))
hook.session_ended(event=SessionEnded(session_id="s", error_message=secret))
try:
    import custom_plugin
    print(json.dumps(custom_plugin.plugin.counts()))
except ImportError:
    print("{{}}")
"""


@dataclass
class Account:
    owner: str


class Opaque:
    def __repr__(self) -> str:
        return f"<Opaque {KEY}>"


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("custom_plugin_example", EXAMPLE / "custom_plugin.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def manager(example: ModuleType, recorder: Recorder) -> Iterator[PluginManager]:
    made = PluginManager()
    made.register(recorder)
    made.register(example.plugin)
    yield made
    made.unregister(example.plugin)


@pytest.mark.parametrize(
    "event",
    [
        SessionStarted(session_id="s", title=ADDRESS, metadata={"deep": [{"er": KEY}]}),
        MessageAdded(session_id="s", role="user", content=f"x {TOKEN} y"),
        MessageAdded(session_id="s", role="assistant", content=[TextPart(text=KEY), {"type": "odd", KEY: ADDRESS}]),
        MessageAdded(session_id="s", role="assistant", content=[ToolCallPart(tool_call_id="c", tool_name="t", input=KEY)]),
        ToolCallFinished(session_id="s", output={"a": (KEY, {ADDRESS})}, error=TOKEN),
        ToolCallFinished(session_id="s", output=KEY.encode() + b"\xff", input=Account(owner=ADDRESS)),
        NoteAdded(session_id="s", name="n", payload=[Opaque()]),
        SessionEnded(session_id="s", error_message=f"cannot reach {ADDRESS}"),
    ],
)
def test_secrets_are_hidden_wherever_they_are(event: Event, example: ModuleType) -> None:
    kept = example.plugin.redact_event(event)
    shown = repr(msgspec.to_builtins(kept, builtin_types=(bytes,)))
    assert not any(secret in shown for secret in SECRETS)
    assert any(mark in shown for mark in ("[key]", "[token]", "[e-mail]"))
    assert (kept.event_id, kept.session_id, kept.occurred_at) == (event.event_id, event.session_id, event.occurred_at)
    assert type(kept) is type(event)


def test_what_holds_no_secret_stays_the_very_event_it_was(example: ModuleType) -> None:
    for kind in EVENT_TYPES:
        required = {"role": "user"} if kind is MessageAdded else {"name": "n"} if kind is NoteAdded else {}
        event = kind(session_id="s", metadata={"a": [1, None, float("nan"), b"\xff"]}, **required)
        assert example.plugin.redact_event(event) is event


def test_ids_are_never_changed_for_rows_meet_by_them(example: ModuleType) -> None:
    event = ToolCallFinished(session_id=ADDRESS, tool_call_id=KEY, message_id=ADDRESS, output=ADDRESS)
    kept = example.plugin.redact_event(event)
    assert (kept.session_id, kept.tool_call_id, kept.message_id, kept.output) == (ADDRESS, KEY, ADDRESS, "[e-mail]")


def test_what_cannot_be_searched_to_its_end_is_dropped_and_counted(
    manager: PluginManager, recorder: Recorder, rows: Any
) -> None:
    endless: list[object] = [KEY]
    endless.append(endless)
    manager.hook.note_added(event=NoteAdded(session_id="s", name="n", payload=endless))
    manager.hook.note_added(event=NoteAdded(session_id="s", name="scratchpad", payload="x"))
    manager.hook.note_added(event=NoteAdded(session_id="s", name="kept"))
    assert recorder.counts() == {"redactor_failed": 1, "dropped": 1}
    assert recorder.close(30).is_complete
    assert rows("SELECT name FROM notes") == [("kept",)]


@pytest.mark.parametrize("piece", ["a", "a@", "a.", "@a.", "bearer ", "sk-short "])
def test_a_million_characters_that_nearly_hold_a_secret_stay_as_they_are(piece: str, example: ModuleType) -> None:
    text = piece * (1_000_000 // len(piece))
    assert example.hide(text) == text


def test_events_of_many_threads_are_counted_each_once(example: ModuleType) -> None:
    manager = PluginManager()
    manager.register(Recorder(Settings()))
    manager.register(example.plugin)

    def log() -> None:
        for _ in range(1000):
            manager.hook.tool_call_finished(event=ToolCallFinished(session_id="s", tool_name="ls"))
            manager.hook.message_added(event=MessageAdded(session_id="s", role="user"))

    threads = [threading.Thread(target=log) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert example.plugin.counts() == {"tool_call_finished": 4000, "tool: ls": 4000, "message_added": 4000}


@pytest.mark.slow
def test_once_installed_it_hides_and_counts_and_once_it_is_gone_it_does_not(fresh_environment: Callable[[], Any]) -> None:
    place = fresh_environment()
    (place.folder / "runner.py").write_text(RUNNER, encoding="utf-8")
    place.pip("install", str(EXAMPLE))
    counted = json.loads(place.run("python", "runner.py", database="hidden.db").stdout)
    assert counted == {
        "session_started": 1,
        "message_added": 2,
        "tool_call_started": 1,
        "tool_call_finished": 1,
        "tool: mail": 1,
        "session_ended": 1,
    }
    kept = b"".join(path.read_bytes() for path in place.folder.glob("hidden.db*"))
    kept += b"".join(path.read_bytes() for path in (place.folder / "home").rglob("*") if path.is_file())
    assert b"[key], [token]" in kept
    assert not any(secret.encode() in kept for secret in SECRETS)
    with closing(sqlite3.connect(place.folder / "hidden.db")) as connection:
        assert connection.execute("SELECT content FROM messages").fetchall() == [("write to [e-mail] with [key], [token]",)] * 2
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (0,)
    assert "1 dropped" in place.run("turso-hooks", "status", database="hidden.db").stdout
    place.pip("uninstall", "--yes", "custom-plugin")
    assert place.run("python", "runner.py", database="plain.db").stdout == "{}\n"
    with closing(sqlite3.connect(place.folder / "plain.db")) as connection:
        assert KEY in connection.execute("SELECT content FROM messages").fetchone()[0]
