from __future__ import annotations

import importlib.metadata
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from turso_hooks import get_plugin_manager, hookimpl
from turso_hooks.events import Event, MessageAdded, SessionStarted
from turso_hooks.manager import PluginManager, build_plugin_manager
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings

Rows = Callable[..., list[tuple[object, ...]]]


@pytest.fixture
def manager(recorder: Recorder) -> PluginManager:
    made = PluginManager()
    made.register(recorder)
    return made


def say(manager: PluginManager, content: str) -> None:
    manager.hook.message_added(event=MessageAdded(session_id="s", role="user", content=content))


def kept(recorder: Recorder, rows: Rows) -> list[object]:
    assert recorder.flush(30).is_complete
    return [row[0] for row in rows("SELECT content FROM messages ORDER BY sequence")]


def plugin(**hooks: Callable[..., object]) -> types.SimpleNamespace:
    """A plugin of plain functions; their hook is their name."""
    return types.SimpleNamespace(**{name: hookimpl(function) for name, function in hooks.items()})


def test_a_hook_that_raises_is_counted_reported_once_and_disturbs_nobody(
    manager: PluginManager, recorder: Recorder, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    class Raises:
        @hookimpl(tryfirst=True)
        def message_added(self, event: MessageAdded) -> None:
            raise RuntimeError("mine")

    class AsksForNothing:
        @hookimpl
        def message_added(self) -> None:
            raise ValueError

    class Listens:
        @hookimpl(trylast=True)
        def message_added(self, event: MessageAdded) -> None:
            heard.append(str(event.content))

    for one in (Listens(), Raises(), AsksForNothing()):
        manager.register(one, type(one).__name__)
    say(manager, "a")
    say(manager, "b")
    assert kept(recorder, rows) == ["a", "b"]
    assert heard == ["a", "b"]
    assert recorder.counts()["plugin_failed"] == 4
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "RuntimeError: mine" in caplog.text


@pytest.mark.parametrize("signalled", [KeyboardInterrupt, SystemExit])
def test_a_signal_that_ends_the_agent_is_not_held_up(signalled: type[BaseException], manager: PluginManager) -> None:
    class Interrupted:
        @hookimpl
        def message_added(self, event: MessageAdded) -> None:
            raise signalled

    manager.register(Interrupted())
    with pytest.raises(signalled):
        say(manager, "a")


@pytest.mark.parametrize("kind", [{"wrapper": True}, {"hookwrapper": True}])
def test_a_wrapper_of_an_event_hook_is_refused(
    manager: PluginManager, recorder: Recorder, rows: Rows, kind: dict[str, bool], caplog: pytest.LogCaptureFixture
) -> None:
    class Wraps:
        @hookimpl(**kind)  # type: ignore[call-overload, untyped-decorator]  # one of two spellings
        def message_added(self, event: MessageAdded) -> Iterator[None]:
            raise RuntimeError("in the way")
            yield

    manager.register(Wraps())
    say(manager, "a")
    assert kept(recorder, rows) == ["a"]
    assert "wrapper of message_added is refused" in caplog.text


def test_the_recorder_is_called_first_whoever_comes_later(manager: PluginManager, recorder: Recorder) -> None:
    class Eager:
        @hookimpl(tryfirst=True)
        def message_added(self, event: MessageAdded) -> None: ...

    manager.register(Eager())
    assert isinstance(manager.hook.message_added.get_hookimpls()[-1].plugin, Recorder)
    manager.unregister(recorder)
    say(manager, "nobody keeps this")
    manager.register(recorder)
    assert isinstance(manager.hook.message_added.get_hookimpls()[-1].plugin, Recorder)


def test_redactors_see_each_others_answers_and_what_they_drop_is_counted(
    manager: PluginManager, recorder: Recorder, rows: Rows
) -> None:
    def add(text: str) -> Callable[[Event], Event | None]:
        def redact_event(event: Event) -> Event | None:
            if isinstance(event, SessionStarted):
                return event
            assert isinstance(event, MessageAdded)
            if event.content == "drop":
                return None
            return msgspec.structs.replace(event, content=f"{event.content}{text}")

        return redact_event

    manager.register(plugin(redact_event=add("1")), "one")
    manager.register(plugin(redact_event=add("2")), "two")
    for content in ("a", "drop", "b"):
        say(manager, content)
    assert kept(recorder, rows) == ["a21", "b21"]
    assert recorder.counts() == {"dropped": 1}


@pytest.mark.parametrize("answer", [RuntimeError("broken"), "text", 7])
def test_a_redactor_that_fails_drops_the_event_rather_than_leak_it(
    answer: Any, manager: PluginManager, recorder: Recorder, rows: Rows, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def redact_event(event: Event) -> Any:
        if isinstance(event, MessageAdded) and event.content == "secret":
            if isinstance(answer, Exception):
                raise answer
            return answer
        return event

    manager.register(plugin(redact_event=redact_event), "careless")
    for content in ("a", "secret", "secret", "b"):
        say(manager, content)
    assert kept(recorder, rows) == ["a", "b"]
    assert recorder.counts() == {"redactor_failed": 2}
    assert len(caplog.records) == 1
    assert "careless" in caplog.text
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_each_manager_redacts_for_itself_and_all_share_one_journal(recorder: Recorder, rows: Rows) -> None:
    strict, plain = PluginManager(), PluginManager()
    strict.register(recorder)
    plain.register(recorder)
    strict.register(plugin(redact_event=lambda: None))
    say(strict, "hidden")
    say(plain, "kept")
    assert kept(recorder, rows) == ["kept"]


def test_two_recorders_in_one_manager_are_both_redacted(manager: PluginManager, recorder: Recorder, tmp_path: Path) -> None:
    second = Recorder(Settings(database_url=f"file:{tmp_path}/second.db", state_folder=tmp_path / "state"))
    manager.register(second, "second")
    manager.register(plugin(redact_event=lambda: None))
    say(manager, "secret")
    assert recorder.close(30).is_complete
    assert second.close(30).is_complete
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_an_exception_that_cannot_be_shown_does_not_get_through_the_guard(manager: PluginManager, recorder: Recorder) -> None:
    class Mute(ValueError):
        def __str__(self) -> str:
            raise RuntimeError

        __repr__ = __str__

    class Raises:
        @hookimpl
        def message_added(self, event: MessageAdded) -> None:
            raise Mute

    manager.register(Raises())
    say(manager, "a")
    assert recorder.counts() == {"plugin_failed": 1}


def test_a_plugin_that_asks_for_the_manager_while_it_is_loaded_gets_it(child: Callable[..., Any]) -> None:
    code = """
        import importlib.metadata, sys, types
        import turso_hooks.manager

        class Entry:
            name = "curious"
            def load(self):
                assert turso_hooks.get_plugin_manager() is not None
                raise SystemExit(3)

        importlib.metadata.entry_points = lambda group: [Entry()]
        turso_hooks.get_plugin_manager().hook.message_added(
            event=turso_hooks.MessageAdded(session_id="s", role="user", content="x")
        )
        print("done")
        """
    process = child(code)
    assert process.communicate(timeout=30)[0] == "done\n"


def test_other_plugins_see_events_as_the_runner_said_them(manager: PluginManager) -> None:
    heard: list[Event] = []
    manager.register(plugin(redact_event=lambda event: None, message_added=lambda event: heard.append(event)))  # noqa: PLW0108
    say(manager, "a")
    assert len(heard) == 1


class Entry:
    """An entry point, as `importlib.metadata` gives them, of a plugin that is made on the spot."""

    def __init__(self, name: str, load: Callable[[], object]) -> None:
        self.name = name
        self.load = load


def test_plugins_that_cannot_be_loaded_do_not_keep_others_out(
    recorder: Recorder, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []

    def fail() -> object:
        raise ImportError("no module named missing")

    class WrongArgument:
        @hookimpl
        def message_added(self, occasion: object) -> None: ...

    entries = [
        Entry("broken", fail),
        Entry("wrong", WrongArgument),
        Entry("good", lambda: plugin(message_added=lambda event: heard.append(event))),  # noqa: PLW0108
        Entry("good", plugin),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries if group == "turso_hooks" else [])
    manager = build_plugin_manager(recorder)
    say(manager, "a")
    assert kept(recorder, rows) == ["a"]
    assert len(heard) == 1
    assert "broken" in caplog.text
    assert "wrong" in caplog.text


def test_the_installed_recorder_is_found_and_the_manager_is_one_for_the_process() -> None:
    manager = get_plugin_manager()
    assert manager is get_plugin_manager()
    assert isinstance(manager.get_plugin("turso"), Recorder)
    (entry,) = importlib.metadata.entry_points(group="turso_hooks", name="turso")
    assert isinstance(entry.load(), Recorder)


def test_what_is_no_event_is_not_emitted_and_not_raised(manager: PluginManager, recorder: Recorder) -> None:
    manager.emit("event")  # type: ignore[arg-type]
    assert recorder.counts() == {"plugin_failed": 1}
