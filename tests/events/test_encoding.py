from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections import OrderedDict, UserDict, deque, namedtuple
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turso_hooks.errors import EventError
from turso_hooks.events import (
    EVENT_TYPES,
    MessageAdded,
    NoteAdded,
    SessionStarted,
    TextPart,
    ToolCallFinished,
    decode,
    encode,
    encode_cut,
    encode_marked,
)
from turso_hooks.store.rows import row_of, to_json


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: Any


@attrs.define
class Size:
    width: int


class Model(pydantic.BaseModel):
    name: str
    secret: pydantic.SecretStr = pydantic.SecretStr("hush")
    hidden: int = pydantic.Field(default=3, exclude=True)


class Nasty:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class NastyKind(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("no")


class NastyThing(metaclass=NastyKind):
    def __repr__(self) -> str:
        raise RuntimeError("no")


class NastyDict(UserDict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no")


Pair = namedtuple("Pair", "a b")  # noqa: PYI024  # agents use the old one too


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def cycle() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def kept(value: Any) -> Any:
    """What is kept of a value, by whichever way it takes."""
    event = NoteAdded(session_id="s", name="n", payload=value)
    try:
        payload = encode(event)
    except Exception:  # noqa: BLE001  # what the recorder does
        payload = encode_marked(event)
    found = decode(payload)
    assert isinstance(found, NoteAdded)
    row_of(found)
    return found.payload


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("inf"), float("inf")),
        (b"\xff\x00", b"\xff\x00"),
        ("a\0b", "a\0b"),
        (2**64 - 1, 2**64 - 1),
        (2**64, {"$type": "int", "value": "18446744073709551616"}),
        ([1 << 20_000], [{"$type": "int", "value": hex(1 << 20_000)}]),
        (["a\ud800"], [{"$type": "text", "escaped": "a\\ud800"}]),
        (Path("/x y"), {"$type": "path", "value": "/x y"}),
        (ValueError("why"), {"$type": "exception", "class": "ValueError", "message": "why"}),
        (Colour.RED, "red"),
        (Point(1, {2}), {"x": 1, "y": [2]}),
        ([Point(1, Path("/")), 2**70], [{"x": 1, "y": {"$type": "path", "value": "/"}}, {"$type": "int", "value": str(2**70)}]),
        (Size(3), {"width": 3}),
        ([Size(3), Path("/")], [{"width": 3}, {"$type": "path", "value": "/"}]),
        (Pair(1, 2), [1, 2]),
        (deque([1]), [1]),
        (OrderedDict(a=1), {"a": 1}),
        ([OrderedDict(a=Path("/"))], [{"a": {"$type": "path", "value": "/"}}]),
        ({"a": {"b": TextPart(text="t")}}, {"a": {"b": {"type": "text", "text": "t"}}}),
        ([{None: 1, (1, 2): Path("/")}], [{"$type": "map", "items": [[None, 1], [[1, 2], {"$type": "path", "value": "/"}]]}]),
        ([1 + 2j], [{"$type": "object", "class": "complex", "repr": "(1+2j)"}]),
        (Nasty(), {"$type": "unreadable", "class": f"{__name__}.Nasty", "error": "RuntimeError"}),
        ([NastyThing()], [{"$type": "unreadable", "class": "?", "error": "RuntimeError"}]),
        ([NastyDict()], [{"$type": "unreadable", "class": f"{__name__}.NastyDict", "error": "RuntimeError"}]),
        (cycle(), [1, {"$type": "cycle", "class": "list"}]),
    ],
)
def test_what_agents_hand_over_is_kept_or_marked(value: Any, expected: Any) -> None:
    assert kept(value) == expected


def test_not_a_number_stays_not_a_number() -> None:
    assert math.isnan(kept({"x": float("nan")})["x"])


def test_a_pydantic_model_keeps_its_fields_and_its_secrets() -> None:
    found = kept(Model(name="n"))
    assert found["name"] == "n"
    assert "hidden" not in found
    assert "hush" not in str(found)


def test_the_text_of_parts_is_found_whatever_else_is_in_the_event() -> None:
    event = MessageAdded(session_id="s", role="user", content=[TextPart(text="a\ud800")], metadata=Path("/"))
    row = row_of(decode(encode_marked(event)))
    assert row.values[row.table.columns.index("content")] == "a\\ud800"
    large = MessageAdded(session_id="s" * 200, message_id="m" * 200, role="user", content=[TextPart(text="b" * 9000)])
    cut = row_of(decode(encode_cut(large, 4096)))
    assert str(cut.values[cut.table.columns.index("content")]).startswith("bbb")
    assert cut.values[0] == f"{'s' * 200}:message:{'m' * 200}"


def test_a_value_shared_by_two_places_is_no_cycle() -> None:
    shared = [1]
    assert kept([shared, shared, 2**70])[:2] == [[1], [1]]


def test_a_thousand_levels_are_cut_where_it_gets_too_deep_and_say_so() -> None:
    found, depth = kept([nested(1000), 2**70])[0], 0
    while isinstance(found, list):
        found, depth = found[0], depth + 1
    assert found == {"$type": "too_deep", "class": "list"}
    assert depth >= 90


def test_a_value_that_multiplies_without_end_is_cut() -> None:
    value: Any = [2**70]
    for _ in range(60):
        value = [value, value]
    assert b"too_many" in encode_marked(NoteAdded(session_id="s", name="n", payload=value))


def test_a_field_of_its_own_with_a_lone_surrogate_stays_text() -> None:
    found = decode(encode_marked(MessageAdded(session_id="s\ud800", role="user", content="\udfff")))
    assert (found.session_id, found.content) == ("s\\ud800", "\\udfff")  # type: ignore[attr-defined]


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters())
    | st.text(alphabet=st.characters(exclude_categories=[]))
    | st.binary()
    | st.datetimes(timezones=st.just(timezone.utc) | st.none())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.complex_numbers()
    | st.just(Path("/tmp"))
    | st.builds(object)
    | st.builds(ValueError, st.text())
    | st.sampled_from(Colour)
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.none() | st.tuples(st.integers()) | st.binary(), inner)
        | st.builds(Point, st.integers(), inner)
        | st.builds(deque, st.lists(inner))
    ),
    max_leaves=20,
)


@given(anything)
def test_any_value_is_encoded_decoded_and_becomes_json(value: Any) -> None:
    text = to_json(kept(value))
    assert text is None or json.loads(text) is not Ellipsis


@given(st.data())
def test_any_event_with_any_values_in_any_field_is_kept(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(EVENT_TYPES))
    fields = {name: data.draw(anything) for name in kind.__struct_fields__ if name not in {"event_id", "session_id"}}
    event = kind(session_id="s", **fields)
    try:
        payload = encode(event)
    except Exception:  # noqa: BLE001  # what the recorder does
        payload = encode_marked(event)
    try:
        found = decode(payload)
    except EventError:
        required = {"role": "message_added", "name": "note_added"}
        assert any(kind.__struct_config__.tag == tag and fields[name] is None for name, tag in required.items()) or any(
            not isinstance(fields.get(name), str) for name in required if name in fields
        )
        return
    row_of(found)


@given(st.text(max_size=20_000), st.binary(max_size=20_000), st.lists(st.text(max_size=300), max_size=100))
def test_an_event_over_the_limit_is_cut_to_fit_it(text: str, data: bytes, many: list[str]) -> None:
    event = MessageAdded(session_id="s", role="user", content=[text, data], metadata=many, tool_name=text)
    payload = encode_cut(event, 4096)
    assert len(payload) <= 4096
    assert decode(payload).session_id == "s"


def test_what_is_cut_says_how_long_it_was() -> None:
    found = decode(encode_cut(MessageAdded(session_id="s", role="user", content="é" * 50_000), 8192))
    assert isinstance(found, MessageAdded)
    assert isinstance(found.content, str)
    assert found.content.startswith("éé")
    assert found.content.endswith("of 100000 bytes]")


def test_a_field_of_countless_small_values_is_cut_whole() -> None:
    found = decode(encode_cut(NoteAdded(session_id="s", name="n", payload=list(range(100_000))), 8192))
    assert isinstance(found, NoteAdded)
    assert found.payload == {"$type": "cut", "class": "list", "bytes": len(msgspec.msgpack.encode(list(range(100_000))))}


def test_a_value_of_another_type_is_read_as_its_field_if_that_says_the_same() -> None:
    found = decode(msgspec.msgpack.encode({"type": "message_added", "session_id": 7, "role": "user", "token_count": "12"}))
    assert (found.session_id, found.token_count) == ("7", 12)  # type: ignore[attr-defined]


def test_a_value_that_does_not_fit_its_field_is_kept_in_the_metadata() -> None:
    event = ToolCallFinished(session_id="s", duration_ms={"a": 1}, occurred_at="yesterday", metadata={"m": 1})  # type: ignore[arg-type]
    found = decode(encode(event))
    assert found.metadata == {"m": 1, "$unreadable": {"duration_ms": {"a": 1}, "occurred_at": "yesterday"}}
    assert abs(found.occurred_at - datetime.now(timezone.utc)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\xc1", "not readable"),
        (msgspec.msgpack.encode([1]), "not an event but list"),
        (msgspec.msgpack.encode({"type": "brain_wave_felt", "session_id": "s"}), "does not know"),
        (msgspec.msgpack.encode({"type": "message_added", "role": "user"}), "lacks"),
    ],
)
def test_what_is_no_event_says_why(payload: bytes, why: str) -> None:
    with pytest.raises(EventError, match=why):
        decode(payload)


def test_fields_a_newer_version_adds_are_ignored_by_this_one() -> None:
    payload = msgspec.msgpack.encode({"type": "session_started", "session_id": "s", "mood": uuid4().hex})
    assert decode(payload).session_id == "s"
    assert isinstance(decode(payload), SessionStarted)
