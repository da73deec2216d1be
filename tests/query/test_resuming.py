"""What was logged can be sent to a model again: every call with one answer, in the form of the API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from turso_hooks.drivers import Database, EmbeddedDatabase
from turso_hooks.errors import QueryError
from turso_hooks.events import (
    Event,
    FilePart,
    MessageAdded,
    ReasoningPart,
    TextPart,
    ToolCallFinished,
    ToolCallPart,
    ToolCallStarted,
    ToolResultPart,
)
from turso_hooks.query import Reader
from turso_hooks.store import prepare_schema, row_of
from turso_hooks.store.writing import row_statements
from turso_hooks.transcripts import openai_chat
from turso_hooks.transcripts.turns import NO_ANSWER

START = datetime(2026, 1, 2, tzinfo=timezone.utc)


def written(database: Database, events: list[Event]) -> Reader:
    prepare_schema(database)
    database.transaction([each for each in row_statements([row_of(event) for event in events]) if each.rows])
    return Reader(database)


def at(seconds: int, **named: Any) -> dict[str, Any]:
    return {"session_id": "s", "occurred_at": START + timedelta(seconds=seconds), **named}


def checked(request: dict[str, Any], form: str) -> list[dict[str, Any]]:
    """The messages, which the API would take: each call is answered once, and by what comes next."""
    messages: list[dict[str, Any]] = request["messages"]
    for n, message in enumerate(messages):
        if form == "openai":
            asked = [call["id"] for call in message.get("tool_calls", ())]
            answers = messages[n + 1 : n + 1 + len(asked)]
            assert [answer["tool_call_id"] for answer in answers] == asked
            assert message["role"] != "tool" or messages[n - 1]["role"] in {"tool", "assistant"}
            assert message["content"] is not None or asked
        else:
            asked = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
            following = messages[n + 1]["content"] if asked else []
            assert [block["tool_use_id"] for block in following if block["type"] == "tool_result"] == asked
            assert message["role"] == ("user", "assistant")[n % 2]
            assert message["content"]
    assert form == "openai" or messages[0]["role"] == "user"
    return messages


@pytest.fixture
def opened(database: Path) -> Iterator[EmbeddedDatabase]:
    with EmbeddedDatabase(database) as made:
        yield made


def test_a_conversation_of_every_kind_of_part(opened: EmbeddedDatabase) -> None:
    image = FilePart(url="data:image/png;base64,aGk=", media_type="image/png")
    thought = ReasoningPart(text="hm", signature="proof")
    call = ToolCallPart(tool_call_id="c.1", tool_name="look", input={"at": "it"})
    reader = written(
        opened,
        [
            MessageAdded(**at(0), role="system", content="Be brief"),
            MessageAdded(**at(1), role="user", content=[TextPart(text="What is this?"), image]),
            MessageAdded(**at(2), role="assistant", content=[thought, TextPart(text="I look"), call]),
            ToolCallStarted(**at(2, tool_call_id="c.1"), tool_name="look", input={"at": "it"}),
            ToolCallFinished(**at(3, tool_call_id="c.1"), output={"seen": "a cat"}),
            MessageAdded(**at(3), role="tool", tool_call_id="c.1", content="a cat"),
            MessageAdded(**at(4), role="assistant", content="A cat"),
        ],
    )
    assert reader.to_messages("s") == {
        "messages": [
            {"role": "system", "content": "Be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                ],
            },
            {
                "role": "assistant",
                "content": "I look",
                "tool_calls": [{"id": "c.1", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}],
            },
            {"role": "tool", "tool_call_id": "c.1", "content": "a cat"},
            {"role": "assistant", "content": "A cat"},
        ]
    }
    assert reader.to_messages("s", format="anthropic") == {
        "system": "Be brief",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "proof"},
                    {"type": "text", "text": "I look"},
                    {"type": "tool_use", "id": "c_1", "name": "look", "input": {"at": "it"}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c_1", "content": "a cat"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "A cat"}]},
        ],
    }


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_calls_that_no_message_asked_for_belong_to_what_the_model_said_last(opened: EmbeddedDatabase, form: str) -> None:
    reader = written(
        opened,
        [
            MessageAdded(**at(0), role="user", content="Please"),
            MessageAdded(**at(1), role="assistant", content="I try"),
            ToolCallStarted(**at(2, tool_call_id="a"), tool_name="ls"),
            ToolCallStarted(**at(3, tool_call_id="b"), tool_name="ls"),
            ToolCallFinished(**at(4, tool_call_id="b"), error="no such folder"),
            ToolCallFinished(**at(5, tool_call_id="a"), output=["file"]),
            ToolCallStarted(**at(6, tool_call_id="c"), tool_name="rm"),
        ],
    )
    messages = checked(reader.to_messages("s", format=form), form)
    assert len(messages) == {"openai": 6, "anthropic": 5}[form]
    said = json.dumps(messages)
    assert said.count("no such folder") == said.count(NO_ANSWER) == 1


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_what_comes_in_another_order_or_is_said_twice_is_there_once(opened: EmbeddedDatabase, form: str) -> None:
    asked = [ToolCallPart(tool_call_id=call_id, tool_name="ls", input={}) for call_id in ("same", "same", "late")]
    reader = written(
        opened,
        [
            MessageAdded(**at(0), role="assistant", content="Hello"),
            ToolCallFinished(**at(1, tool_call_id="late"), tool_name="ls", output="before its message"),
            MessageAdded(**at(2), role="assistant", content=asked[2:]),
            MessageAdded(**at(3), role="assistant", content=asked[:1]),
            MessageAdded(**at(4), role="user", content=[ToolResultPart(tool_call_id="same", output="first")]),
            MessageAdded(**at(5), role="assistant", content=asked[1:2]),
            MessageAdded(**at(6), role="user", content=[ToolResultPart(tool_call_id="same", output="second", is_error=True)]),
            MessageAdded(**at(7), role="tool", tool_call_id="nobody's", content="lost"),
            MessageAdded(**at(8), role="user", content=" "),
        ],
    )
    said = json.dumps(checked(reader.to_messages("s", format=form), form))
    assert [said.count(each) for each in ("before its message", "first", "second", "lost")] == [1, 1, 1, 1]


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_an_id_that_is_used_again_has_the_answer_of_its_own_call(opened: EmbeddedDatabase, form: str) -> None:
    call = [ToolCallPart(tool_call_id="c0", tool_name="look", input={})]
    reader = written(
        opened,
        [
            MessageAdded(**at(0), role="user", content="Begin"),
            MessageAdded(**at(1), role="assistant", content=call),
            MessageAdded(**at(2), role="user", content="Stop"),
            MessageAdded(**at(3), role="assistant", content=call),
            MessageAdded(**at(4), role="tool", tool_call_id="c0", content="second"),
            MessageAdded(**at(5), role="assistant", content=call),
            MessageAdded(**at(6), role="tool", content="third, without its id"),
        ],
    )
    answers = re.findall(r"interrupted|second|third", json.dumps(checked(reader.to_messages("s", format=form), form)))
    assert answers == ["interrupted", "second", "third"]


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_a_call_that_its_events_give_no_id_is_the_one_that_was_asked_for(opened: EmbeddedDatabase, form: str) -> None:
    asked = ToolCallPart(tool_call_id="x", tool_name="look", input={"q": 1})
    reader = written(
        opened,
        [
            MessageAdded(**at(0), role="user", content="Begin"),
            MessageAdded(**at(1), role="assistant", content=[asked]),
            ToolCallFinished(**at(2), tool_name="look", input={"q": 1}, output="42"),
            MessageAdded(**at(3), role="tool", content=[ToolResultPart(tool_call_id="x", output="42")]),
            MessageAdded(**at(4), role="tool", tool_call_id="unheard of", tool_name="other", content="also this"),
        ],
    )
    said = json.dumps(checked(reader.to_messages("s", format=form), form))
    assert (said.count("42"), said.count("also this"), said.count("interrupted")) == (1, 1, 0)


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_what_the_apis_refuse_is_made_what_they_take(opened: EmbeddedDatabase, form: str) -> None:
    image = FilePart(url="data:image/png;base64,aGk=", media_type="image/png")
    table = FilePart(url="data:text/csv;base64,aGk=", media_type="text/csv", name="t.csv")
    named = [("a.b", "my tool"), ("a:b", ""), ("", "x" * 99), ("long" * 99, "look")]
    calls = [ToolCallPart(tool_call_id=call_id, tool_name=name, input="no JSON") for call_id, name in named]
    reader = written(
        opened,
        [
            MessageAdded(**at(0), role="developer", content="Be brief"),
            MessageAdded(**at(1), role="human", content=["bare", {"type": "text"}, TextPart(text="\ud800"), image, table]),
            MessageAdded(**at(2), role="user", content=calls),
            MessageAdded(**at(3), role="tool", tool_call_id="a.b", content=[TextPart(text="seen"), image]),
            ToolCallFinished(**at(4, tool_call_id="a:b"), error=""),
            MessageAdded(**at(5), role="assistant", content=[image, {"type": "redacted_thinking", "data": "…"}]),
        ],
    )
    messages = checked(reader.to_messages("s", format=form), form)
    said = json.dumps(messages)
    assert "bare" in said
    assert "d800" in said
    assert "[file: t.csv]" in said
    for name in re.findall(r'"name": "([^"]*)"', said):
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name)
    ids = re.findall(r'"id": "([^"]*)"', said)
    assert len(ids) == len(set(ids)) == 4
    assert all(0 < len(each) <= 40 for each in ids) or form == "anthropic"
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]+", each) for each in ids) or form == "openai"
    roles = {message["role"] for message in messages}
    assert roles == ({"system", "user", "assistant", "tool"} if form == "openai" else {"user", "assistant"})


def test_a_format_that_is_none_is_refused(opened: EmbeddedDatabase) -> None:
    with pytest.raises(QueryError, match="it is one of openai, anthropic"):
        written(opened, [MessageAdded(**at(0), role="user", content="x")]).to_messages("s", format="gemini")


def test_real_conversations_come_back_as_they_were(opened: EmbeddedDatabase, shared_data: Path) -> None:
    lines = (shared_data / "tau-bench-airline-gpt-4o.jsonl").read_bytes().splitlines()
    originals = [json.loads(line) for line in lines]
    reading = openai_chat.Reader(START)
    events = [reading.events(original) for original in originals]
    reader = written(opened, [event for each in events for event in each])
    for original, of_session in zip(originals, events, strict=True):
        session_id = of_session[0].session_id
        assert checked(reader.to_messages(session_id), "openai") == [_said(message) for message in original["messages"]]
        checked(reader.to_messages(session_id, format="anthropic"), "anthropic")


def _said(message: dict[str, Any]) -> dict[str, Any]:
    """What of a message the format asks for when it is sent, its arguments written as we write them."""
    kept = {key: message[key] for key in ("role", "content", "tool_call_id") if key in message}
    calls = message.get("tool_calls")
    if not calls:
        return kept
    functions = [call["function"] for call in calls]
    anew = [{**each, "arguments": json.dumps(json.loads(each["arguments"]))} for each in functions]
    return {**kept, "tool_calls": [{**call, "function": function} for call, function in zip(calls, anew, strict=True)]}
