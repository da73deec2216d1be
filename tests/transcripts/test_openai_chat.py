from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from turso_hooks.errors import TranscriptError
from turso_hooks.events import (
    Event,
    MessageAdded,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    decode,
    encode,
    row_id_of,
)
from turso_hooks.transcripts.openai_chat import Reader, Unreadable, conversations

AT = datetime(2026, 1, 2, tzinfo=timezone.utc)
HELLO = {"role": "user", "content": "hello"}


def read(conversation: Any) -> list[Event]:
    return Reader(AT).events(conversation)


def calls(*ids: str, name: str = "search") -> dict[str, Any]:
    asked = [{"id": one, "type": "function", "function": {"name": name, "arguments": '{"q": 1}'}} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": asked}


def answer(call_id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def of(kind: type, events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_a_conversation_is_a_session_its_messages_and_its_tool_calls() -> None:
    events = read({"messages": [HELLO, calls("c1"), answer("c1", "found")], "metadata": {"model": "gpt", "id": "s"}})
    assert [type(event) for event in events] == [
        SessionStarted,
        MessageAdded,
        MessageAdded,
        ToolCallStarted,
        MessageAdded,
        ToolCallFinished,
        SessionEnded,
    ]
    started, *_, finished, ended = events
    assert (started.session_id, started.model, started.metadata) == ("s", "gpt", {"model": "gpt", "id": "s"})  # type: ignore[attr-defined]
    assert (finished.output, finished.tool_name, row_id_of(finished)) == ("found", "search", "s:tool_call:c1")  # type: ignore[attr-defined]
    assert ended.status == "completed"  # type: ignore[attr-defined]
    assert of(ToolCallStarted, events)[0].input == {"q": 1}
    assert of(ToolCallStarted, events)[0].message_id == of(MessageAdded, events)[1].message_id
    assert of(MessageAdded, events)[2].tool_name == "search"
    assert [event.position for event in events] == [0, 1, 2, 2, 3, 3, 4]


def test_an_id_that_is_used_again_is_told_apart_by_counting() -> None:
    events = read(
        [calls("c"), answer("c", "one"), calls("c"), answer("c", "two"), calls("c", "c"), answer("c", "3"), answer("c", "4")]
    )
    finished = of(ToolCallFinished, events)
    session = finished[0].session_id
    assert [(row_id_of(event), event.output) for event in finished] == [
        (f"{session}:tool_call:c", "one"),
        (f"{session}:tool_call:c~1", "two"),
        (f"{session}:tool_call:c~2", "3"),
        (f"{session}:tool_call:c~3", "4"),
    ]


def test_reading_twice_says_the_same_to_the_byte() -> None:
    conversation = [HELLO, calls("c"), answer("c", "x")]
    assert list(map(encode, read(conversation))) == list(map(encode, read(conversation)))


def test_equal_conversations_are_told_apart_by_their_occurrence() -> None:
    reader = Reader(AT)
    first, second = reader.events([HELLO])[0].session_id, reader.events([HELLO])[0].session_id
    assert first != second
    again = Reader(AT)
    assert [again.events([HELLO])[0].session_id for _ in range(2)] == [first, second]


def test_an_id_that_two_conversations_of_a_file_share_is_told_apart() -> None:
    reader = Reader(AT)
    other = {**HELLO, "content": "other"}
    given = [reader.events({"id": 0, "messages": [one]})[0].session_id for one in (HELLO, other, HELLO)]
    assert given == ["0", "0~1", "0"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "function_call": {"name": "f", "arguments": "not json"}},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
        {"role": "assistant", "tool_calls": [{"id": "x", "custom": {"name": "f", "input": "text"}}]},
    ],
)
def test_older_and_other_forms_of_a_call_are_read(message: dict[str, Any]) -> None:
    events = read([message, {"role": "function", "name": "f", "content": "ok"}])
    assert of(ToolCallStarted, events)[0].tool_name == "f"
    assert of(ToolCallFinished, events)[0].output == "ok"


def test_parts_reasoning_and_what_is_not_known_are_kept() -> None:
    message = {
        "role": "assistant",
        "reasoning_content": "hm",
        "content": [
            {"type": "text", "text": "see"},
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            {"type": "input_audio", "data": 1},
        ],
        "refusal": "no",
    }
    added = of(MessageAdded, [decode(encode(event)) for event in read([message])])[0]
    assert [part["type"] for part in added.content] == ["reasoning", "text", "file", "input_audio"]
    assert added.metadata == {"refusal": "no"}


def test_times_are_taken_from_the_messages_where_they_say() -> None:
    events = read([{**HELLO, "timestamp": "2025-05-06T07:08:09Z"}, HELLO, {**HELLO, "created_at": 1_800_000_000}])
    assert [event.occurred_at.year for event in events] == [2025, 2025, 2025, 2027, 2027]
    assert read([HELLO])[0].occurred_at == AT


@pytest.mark.parametrize(
    "wrong", [7, "text", {"data": []}, {"messages": "x"}, [7], [{"content": "no role"}], {"messages": [[HELLO]]}]
)
def test_what_is_no_conversation_is_refused(wrong: Any) -> None:
    with pytest.raises(TranscriptError):
        read(wrong)


def found(text: str) -> list[Any]:
    return [one if isinstance(one, Unreadable) else one[1] for one in conversations(text.encode().splitlines(keepends=True))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n\n", []),
        (json.dumps([HELLO]), [[HELLO]]),
        (json.dumps([[HELLO], [HELLO]]), [[HELLO], [HELLO]]),
        (json.dumps({"messages": [HELLO]}), [{"messages": [HELLO]}]),
        (json.dumps([{"messages": [HELLO]}, {"messages": []}], indent=2), [{"messages": [HELLO]}, {"messages": []}]),
        (json.dumps([HELLO], indent=2), [[HELLO]]),
        (f"[\n{json.dumps([HELLO])},\n{json.dumps([HELLO])}\n]", [[HELLO], [HELLO]]),
        (f"{json.dumps([HELLO])}\n\n{json.dumps({'messages': [HELLO]})}\n", [[HELLO], {"messages": [HELLO]}]),
    ],
)
def test_a_file_may_be_an_array_or_lines_or_one_conversation(text: str, expected: list[Any]) -> None:
    assert found(text) == expected


def test_a_line_that_is_not_json_is_named_and_the_rest_goes_on() -> None:
    line = json.dumps([HELLO])
    for text, number in ((f"{line}\nrubbish\n{line}", 2), (f"rubbish\n{line}\n{line}", 1)):
        results = found(text)
        assert len(results) == 3
        (bad,) = [one for one in results if isinstance(one, Unreadable)]
        assert bad.place == f"line {number}"


def test_a_file_that_is_nothing_of_that_is_refused() -> None:
    with pytest.raises(TranscriptError, match="neither JSON nor JSON Lines"):
        found("[1, 2\n3")
