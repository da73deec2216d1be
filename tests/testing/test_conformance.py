"""What an emitter forgets is named, each rule by itself; and what is as it should be passes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import turso_hooks
from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    ModelCallStarted,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallPart,
    ToolCallStarted,
    ToolResultPart,
    Usage,
)
from turso_hooks.plugin import Recorder
from turso_hooks.query import Reader
from turso_hooks.testing import RULES, assert_emits_correctly, make_conversation, make_event, problems_of

Broken = Callable[[list[Event]], list[Event]]


def without(kind: type[Event]) -> Broken:
    """The first event of a kind left out."""

    def leave_out(events: list[Event]) -> list[Event]:
        first = next(event for event in events if isinstance(event, kind))
        return [event for event in events if event is not first]

    return leave_out


def changed(kind: type[Event], **fields: Any) -> Broken:
    """The first event of a kind with other fields."""

    def change(events: list[Event]) -> list[Event]:
        n = next(n for n, event in enumerate(events) if isinstance(event, kind))
        return [*events[:n], msgspec.structs.replace(events[n], **fields), *events[n + 1 :]]

    return change


def added(kind: str, **fields: Any) -> Broken:
    """One more event, before the end and a second before it."""

    def add(events: list[Event]) -> list[Event]:
        at = events[-1].occurred_at - timedelta(milliseconds=1)
        return [*events[:-1], make_event(kind, occurred_at=at, **fields), events[-1]]

    return add


BROKEN: dict[str, tuple[Broken, str]] = {
    "session-started": (without(SessionStarted), "session_started is missing"),
    "session-ended": (without(SessionEnded), "session_ended is missing"),
    "nothing-after-end": (lambda events: [*events, make_event("note_added")], "note_added comes after session_ended"),
    "calls-have-ids": (
        changed(ToolCallStarted, tool_call_id=None),
        "tool_call_started has no tool_call_id",
    ),
    "calls-end": (without(ToolCallFinished), "tool_call_started 'call-0' has no end"),
    "calls-start-once": (
        added("model_call_finished", model_call_id="model-0-1"),
        "model_call_finished 'model-0-1' comes 2 times",
    ),
    "starts-before-ends": (
        changed(ModelCallStarted, occurred_at=datetime.fromisoformat("2026-01-02T04:00:00+00:00")),
        "model_call_finished 'model-0-1' comes before its start",
    ),
    "tools-have-names": (
        added("tool_call_finished", tool_call_id="nameless", tool_name=None),
        "the tool call 'nameless' has no tool_name",
    ),
    "results-have-calls": (
        added("message_added", role="tool", message_id="late", tool_call_id="call-9"),
        "the message 'late' of the role tool answers 'call-9', which nobody called",
    ),
    "asked-calls-are-told": (
        added("message_added", role="assistant", content=[ToolCallPart(tool_call_id="call-9", tool_name="look")]),
        "the tool call 'call-9' that a message asks for is not told",
    ),
    "usage-is-told": (changed(ModelCallFinished, usage=Usage(output=3)), "has no usage with input and output"),
    "usage-adds-up": (changed(ModelCallFinished, usage=Usage(input=3, output=3, cache_read=50)), "more cached input tokens"),
    "models-have-names": (
        lambda events: changed(SessionStarted, model=None)(added("model_call_finished", model_call_id="9", model=None)(events)),
        "model_call_finished '9' has no model",
    ),
    "parents-are-known": (changed(SessionStarted, parent_session_id="nobody"), "its parent 'nobody' is not told"),
    "in-order-of-time": (
        lambda events: changed(SessionStarted, occurred_at=events[1].occurred_at + timedelta(milliseconds=1))(events),
        "message_added happened before session_started",
    ),
    "times-have-zones": (
        lambda events: [msgspec.structs.replace(event, occurred_at=event.occurred_at.replace(tzinfo=None)) for event in events],
        "session_started has a time without a zone",
    ),
    "events-come-once": (changed(SessionEnded, event_id=make_conversation()[3].event_id), "comes 2 times"),
    "words-are-known": (changed(MessageAdded, role="human"), "message_added has the role 'human'"),
    "values-fit": (changed(ModelCallFinished, duration_ms="long"), "model_call_finished has values of a wrong type"),
}


def test_a_conversation_that_is_as_it_should_be_has_no_problems() -> None:
    events = [*make_conversation(), *make_conversation("sub", parent=("session-1", "call-0"))]
    assert problems_of(events) == []
    assert assert_emits_correctly(events) == events
    again = make_event("session_started", occurred_at=events[-1].occurred_at + timedelta(seconds=1))
    assert problems_of([*make_conversation(), again, msgspec.structs.replace(again, event_id="other")]) == []


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_names_what_does_not_keep_it_and_can_be_left_out(rule: str) -> None:
    broken, what = BROKEN[rule]
    events = broken(make_conversation())
    found = [problem for problem in problems_of(events) if problem.rule == rule]
    assert [problem.session_id for problem in found] == ["session-1"]
    assert what in found[0].what
    assert [problem.rule for problem in problems_of(events)] == [rule]
    assert problems_of(events, allow=[rule]) == []
    with pytest.raises(AssertionError, match=rule):
        assert_emits_correctly(events)


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (changed(MessageAdded, role="tool"), "of the role tool has no tool_call_id"),
        (added("message_added", content=[ToolResultPart(tool_call_id="x")]), "a tool_result answers 'x', which nobody called"),
        (added("message_added", role="tool", content=[{"type": "tool_result"}]), "a tool_result has no tool_call_id"),
        (changed(SessionStarted, parent_session_id="session-1"), "it is its own parent"),
        (changed(SessionStarted, parent_tool_call_id="call-0"), "parent_tool_call_id is 'call-0', without parent_session_id"),
        (changed(SessionEnded, status="success"), "session_ended has the status 'success'"),
        (changed(ModelCallFinished, usage=Usage(input=-1, output=3)), "a number of tokens below zero"),
        (changed(ModelCallFinished, usage=Usage(input=1, output=3, reasoning=4)), "more reasoning tokens than output tokens"),
        (changed(ModelCallFinished, usage={"input": "many", "output": 1}), "has no usage with input and output"),
        (lambda events: [*events[:2], "hello", *events[2:]], "a str is no event"),
        (
            lambda events: [*events, *make_conversation("sub", parent=("session-1", "call-9"))],
            "its parent 'session-1' has no tool call 'call-9'",
        ),
        (
            lambda events: [*events[:-4], events[-3], events[-4], *events[-2:]],
            "model_call_finished 'model-1-2' comes before its start",
        ),
    ],
)
def test_other_ways_to_get_it_wrong_are_named_as_well(broken: Broken, what: str) -> None:
    found = problems_of(broken(make_conversation()))
    assert any(what in problem.what for problem in found), found


def test_an_emitter_is_run_and_looked_at_whether_it_is_async_or_not() -> None:
    emit = turso_hooks.get_plugin_manager().emit

    def run() -> None:
        for event in make_conversation():
            emit(event)

    async def run_async() -> None:
        run()

    for emitter in (run, run_async):
        assert assert_emits_correctly(emitter) == make_conversation()
    with pytest.raises(AssertionError, match="nothing was emitted"):
        assert_emits_correctly(lambda: None)
    with pytest.raises(AssertionError, match=r"21 events were emitted, and 1 things[^$]*session_ended is missing"):
        assert_emits_correctly(lambda: [emit(event) for event in make_conversation()[:-1]])
    with pytest.raises(ValueError, match="no rule 'session-begins'"):
        assert_emits_correctly(run, allow=["session-begins"])


def test_what_was_logged_is_looked_at_by_the_rules_that_rows_can_tell(recorder: Recorder, database: Path) -> None:
    from turso_hooks.drivers import EmbeddedDatabase

    good, bad = make_conversation("good"), changed(MessageAdded, role="human")(make_conversation("bad")[:-1])
    for event in [*good, *bad]:
        recorder.record(event)
    assert recorder.flush(10).is_complete
    with EmbeddedDatabase(database) as read:
        reader = Reader(read)
        assert problems_of(reader.events("good"), are_rows=True) == []
        found = problems_of(reader.events("bad"), are_rows=True)
    assert sorted(problem.rule for problem in found) == ["session-ended", "words-are-known"]
