"""`replace_texts` finds every text of an event. (In objects of all kinds: tests/endtoend/test_custom_plugin.py.)"""

from __future__ import annotations

import enum
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import attrs
import msgspec
import pydantic
import pytest

from turso_hooks.events import (
    Event,
    MessageAdded,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    TextPart,
    ToolCallFinished,
    ToolCallPart,
    ToolCallStarted,
    encode,
    encode_marked,
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
    assert kept.payload["BROKEN"]["$type"] == "unreadable"
    while isinstance(kept.payload["DEEP"], list):
        kept.payload["DEEP"] = kept.payload["DEEP"][0]
    assert kept.payload["DEEP"]["$type"] == "too_deep"


SECRET = "sk-0123456789"


class Owner(enum.Enum):
    KEY = SECRET

    def __repr__(self) -> str:
        return "<Owner>"

    __str__ = __repr__


class Hidden(pydantic.BaseModel):
    key: pydantic.SecretStr = pydantic.SecretStr(SECRET)

    @pydantic.field_serializer("key")
    def shown(self, value: pydantic.SecretStr) -> str:
        return value.get_secret_value()

    @pydantic.computed_field(repr=False)
    @property
    def also(self) -> str:
        return SECRET


class Dumping:
    model_fields: ClassVar[dict[str, object]] = {}

    def model_dump(self) -> dict[str, str]:
        return {"key": SECRET}


class ManyValues(dict[str, Any]):
    def items(self) -> Any:
        return [(key, values[0]) for key, values in super().items()]


class Halves(list[str]):
    def __iter__(self) -> Any:
        return iter(["a"])


@dataclass
class Both(dict[str, str]):
    key: str = SECRET


@attrs.define(slots=False)
class Open:
    a: int = 1


class Unequal(str):
    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True


def opened() -> Open:
    value = Open()
    value.key = SECRET  # type: ignore[attr-defined]
    return value


@pytest.mark.parametrize(
    "value",
    [
        Owner.KEY,
        Hidden(),
        Dumping(),
        ManyValues(key=["public", SECRET]),
        Halves(["a", SECRET]),
        [Both(), object()],
        opened(),
        Unequal(SECRET),
        msgspec.Raw(msgspec.msgpack.encode(SECRET)),
        msgspec.msgpack.Ext(1, SECRET.encode()),
        types.SimpleNamespace(pad="x" * 985, key=SECRET),  # where a long repr is cut
        {SECRET: 1, "[key]": 2, "[key] 2": 3},
        ValueError(SECRET),
        Path("/home") / SECRET,
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("place", ["payload", "metadata"])
def test_whatever_the_recorder_would_keep_of_a_value_was_looked_at(value: object, place: str) -> None:
    fields: dict[str, Any] = {"payload": 1, place: {"value": value}}
    kept = replace_texts(NoteAdded(session_id="s", name="n", **fields), lambda text: text.replace(SECRET, "[key]"))
    for encoded in (encode(kept), encode_marked(kept)):
        assert SECRET[:4].encode() not in encoded
    assert getattr(kept, place)["value"] != {}
    if isinstance(value, dict) and SECRET in value:
        assert sorted(getattr(kept, place)["value"].values()) == [1, 2, 3]


@pytest.mark.parametrize("field", ["user_id", "status", "role", "message_id"])
def test_an_id_that_is_no_text_is_looked_into_and_a_status_that_is_none_of_ours_too(field: str) -> None:
    kinds = {"user_id": SessionStarted, "status": SessionEnded, "role": MessageAdded, "message_id": ToolCallStarted}
    for value in ({"key": SECRET}, ValueError(SECRET)):
        required = {"role": "user"} if kinds[field] is MessageAdded else {}
        event = kinds[field](session_id="s", **{**required, field: value})
        assert SECRET.encode() not in encode_marked(replace_texts(event, lambda text: text.replace(SECRET, "[key]")))
    if field in {"status", "role"}:
        event = kinds[field](session_id="s", **{field: SECRET})
        assert getattr(replace_texts(event, lambda text: text.replace(SECRET, "[key]")), field) == "[key]"


def test_ids_of_parts_stay_whether_these_are_structs_or_mappings() -> None:
    part = {"type": "tool_call", "tool_call_id": "call_5551234", "tool_name": "dial", "input": "5551234"}
    message = MessageAdded(session_id="s", role="assistant", content=[part, TextPart(text="5551234")])
    kept = replace_texts(message, lambda text: text.replace("5551234", "[phone]"))
    assert kept.content == [{**part, "input": "[phone]"}, TextPart(text="[phone]")]


class Proxy:
    """Says that it is a text, as proxies of wrapt and werkzeug do."""

    @property
    def __class__(self) -> Any:
        return str


class BrokenClass:
    @property
    def __class__(self) -> Any:
        raise RuntimeError("broken")


@pytest.mark.parametrize("make", [Proxy, BrokenClass])
def test_what_a_value_says_of_its_class_drops_no_event(make: Any) -> None:
    for payload in (make(), [make(), SECRET]):
        kept = replace_texts(NoteAdded(session_id="s", name="n", payload=payload), lambda text: text.replace(SECRET, "[key]"))
        assert SECRET.encode() not in encode_marked(kept)


def test_an_event_that_holds_itself_is_looked_into_once() -> None:
    event = NoteAdded(session_id="s", name="n", payload=[SECRET])
    event.payload.append(event)
    kept = replace_texts(msgspec.structs.replace(event, metadata=event), lambda text: text.replace(SECRET, "[key]"))
    assert SECRET.encode() not in encode_marked(kept)


def test_a_function_that_raises_is_not_called_again() -> None:
    called = []

    def fails_once(text: str) -> str:
        called.append(text)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        replace_texts(NoteAdded(session_id="s", name="n", payload=["a"] * 1000), fails_once)
    assert len(called) == 1


def test_models_within_models_take_time_in_proportion_to_their_text() -> None:
    class Tree(pydantic.BaseModel):
        text: str = "x" * 1000
        child: Any = None

    tree = Tree()
    for _ in range(60):
        tree = Tree(child=tree)
    looked_at = 0

    def count(text: str) -> str:
        nonlocal looked_at
        looked_at += len(text)
        return text

    replace_texts(NoteAdded(session_id="s", name="n", payload=tree), count)
    assert looked_at < 100_000
