"""`replace_texts` finds every text of an event. (In objects of all kinds: tests/endtoend/test_custom_plugin.py.)"""

from __future__ import annotations

from typing import Any

import pytest

from turso_hooks.events import (
    Event,
    MessageAdded,
    NoteAdded,
    SessionEnded,
    TextPart,
    ToolCallFinished,
    ToolCallPart,
    replace_texts,
)
from turso_hooks.hookspecs import hookimpl
from turso_hooks.manager import PluginManager
from turso_hooks.plugin import Recorder


def upper(text: str) -> str:
    return text.upper()


def test_texts_are_replaced_and_ids_and_our_own_words_are_not() -> None:
    parts = [TextPart(text="a"), ToolCallPart(tool_call_id="c", tool_name="t", input={"k": ["v", 1]})]
    message = MessageAdded(session_id="s", role="assistant", content=parts)
    content = replace_texts(message, upper).content
    assert content == [TextPart(text="A"), ToolCallPart(tool_call_id="c", tool_name="T", input={"K": ["V", 1]})]
    assert message.content is parts
    assert parts[0] == TextPart(text="a")
    ended = replace_texts(SessionEnded(session_id="s", status="error", error_message="no"), upper)
    assert (ended.session_id, ended.status, ended.error_message) == ("s", "error", "NO")


def test_an_event_in_which_nothing_is_replaced_is_the_same_one() -> None:
    event = NoteAdded(session_id="s", name="n", payload=["A", {"B": b"C"}])
    assert replace_texts(event, lambda text: text) is event


def fails(text: str) -> str:
    raise ZeroDivisionError(text)


@pytest.mark.parametrize("payload", ["a", ["a"], {"a": 1}, b"a"])
def test_what_the_function_raises_is_raised_and_not_taken_for_a_value_that_cannot_be_searched(payload: object) -> None:
    with pytest.raises(ZeroDivisionError):
        replace_texts(NoteAdded(session_id="s", name="", payload=payload), fails)


def test_a_redactor_whose_function_raises_drops_the_event(recorder: Recorder) -> None:
    class Redactor:
        @hookimpl
        def redact_event(self, event: Event) -> Event:
            return replace_texts(event, fails)

    manager = PluginManager()
    manager.register(recorder)
    manager.register(Redactor())
    manager.emit(ToolCallFinished(session_id="s", output="secret"))
    assert recorder.counts() == {"redactor_failed": 1}


def test_what_cannot_be_looked_into_says_so() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("broken")

    deep: Any = "a"
    for _ in range(200):
        deep = [deep]
    kept = replace_texts(NoteAdded(session_id="s", name="n", payload={"broken": Broken(), "deep": deep}), upper)
    assert kept.payload["BROKEN"] == "[redacted: not searched]"
    while isinstance(kept.payload["DEEP"], list):
        kept.payload["DEEP"] = kept.payload["DEEP"][0]
    assert kept.payload["DEEP"] == "[redacted: not searched]"
