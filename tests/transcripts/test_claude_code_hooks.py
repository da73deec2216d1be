"""What Claude Code 2.1.331 tells its hooks, and that the transcript makes the same rows of it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turso_hooks.events import (
    Event,
    MessageAdded,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    decode,
    encode_marked,
    row_id_of,
)
from turso_hooks.store import row_of
from turso_hooks.transcripts.claude_code import Reader, SubAgent
from turso_hooks.transcripts.claude_code_hooks import ENDS, REGISTERED, hook_events

AT = datetime(2026, 1, 2, tzinfo=timezone.utc)
TOOL = {"tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": "t1"}
SILENT = ("Stop", "StopFailure", "PostToolBatch", "PreCompact", "PostCompact")


def told(name: str, **said: Any) -> dict[str, Any]:
    place = {"session_id": "s1", "transcript_path": "/t/s1.jsonl", "cwd": "/home/ada/shop", "permission_mode": "default"}
    return {**place, "hook_event_name": name, **said}


def events_of(name: str, **said: Any) -> list[Event]:
    return list(hook_events(told(name, **said), AT))


def only(name: str, **said: Any) -> Any:
    (event,) = events_of(name, **said)
    return event


def test_every_event_ranks_as_a_hook_and_is_of_the_time_given() -> None:
    for name in REGISTERED:
        for event in events_of(name, prompt_id="p1", prompt="hi", **TOOL):
            assert (event.source_rank, event.occurred_at, event.session_id) == (1, AT, "s1")


def test_the_start_of_a_session_has_its_model_and_folder() -> None:
    started = only("SessionStart", source="startup", model="claude-sonnet-4-5")
    assert isinstance(started, SessionStarted)
    assert (started.agent_type, started.provider, started.model) == ("claude-code", "anthropic", "claude-sonnet-4-5")
    assert (started.project, started.parent_session_id) == ("/home/ada/shop", None)


def test_a_prompt_is_a_message_of_the_user_by_its_prompt_id() -> None:
    added = only("UserPromptSubmit", prompt_id="p1", prompt="Which tests fail?")
    assert isinstance(added, MessageAdded)
    assert (added.role, added.content, added.message_id) == ("user", "Which tests fail?", "p1")


def test_a_tool_call_begins_with_its_input() -> None:
    started = only("PreToolUse", **TOOL)
    assert isinstance(started, ToolCallStarted)
    assert (started.tool_call_id, started.tool_name, started.input) == ("t1", "Bash", {"command": "ls"})


def test_a_tool_call_ends_with_its_output_and_how_long_it_took() -> None:
    finished = only("PostToolUse", **TOOL, tool_response={"stdout": "a.py"}, duration_ms=12)
    assert isinstance(finished, ToolCallFinished)
    assert (finished.status, finished.output, finished.error) == ("completed", {"stdout": "a.py"}, None)
    assert (finished.duration_ms, finished.tool_name, finished.input) == (12, "Bash", {"command": "ls"})


@pytest.mark.parametrize("odd", [True, "12", None, [12]])
def test_a_duration_that_is_no_number_is_unknown(odd: Any) -> None:
    assert only("PostToolUse", **TOOL, duration_ms=odd).duration_ms is None


@pytest.mark.parametrize(
    ("said", "status", "error"),
    [
        ({"error": "Exit code 2"}, "error", "Exit code 2"),
        ({"error": "Exit code 2", "is_interrupt": False}, "error", "Exit code 2"),
        ({"error": "stopped", "is_interrupt": True}, "cancelled", "stopped"),
        ({}, "error", "failed"),
        ({"error": {"not": "text"}}, "error", "failed"),
    ],
)
def test_a_tool_call_that_failed_has_its_error_and_one_that_was_interrupted_is_cancelled(
    said: dict[str, Any], status: str, error: str
) -> None:
    finished = only("PostToolUseFailure", **TOOL, **said)
    assert (finished.status, finished.error, finished.output) == (status, error, None)


def test_what_is_asked_of_the_user_is_a_note() -> None:
    note = only("PermissionRequest", **TOOL)
    assert isinstance(note, NoteAdded)
    assert (note.name, note.payload) == ("permission_asked", TOOL)


def test_the_end_of_a_session_completes_it() -> None:
    ended = only("SessionEnd", reason="other")
    assert isinstance(ended, SessionEnded)
    assert ended.status == "completed"


@pytest.mark.parametrize("name", SILENT)
def test_what_the_transcript_has_or_another_hook_is_told_says_nothing(name: str) -> None:
    assert events_of(name, prompt_id="p1", agent_id="a1", **TOOL) == []


def test_hooks_that_say_nothing_but_end_a_turn_are_worth_reading_the_transcript_for() -> None:
    assert {*REGISTERED, "StopFailure"} >= ENDS
    assert not [name for name in ENDS if REGISTERED.get(name) and name != "SubagentStop"]


@pytest.mark.parametrize("name", ["Notification", "TeammateIdle", "x", *(f"Future{n}" for n in range(2))])
def test_unknown_hooks_are_notes_with_all_they_were_told_but_the_surroundings(name: str) -> None:
    note = only(name, message="hello", effort="high", extra={"a": 1})
    assert (note.name, note.payload) == (f"hook:{name}", {"message": "hello", "extra": {"a": 1}})


@pytest.mark.parametrize("name", ["UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolUseFailure"])
def test_a_hook_that_is_not_told_the_id_it_needs_is_a_note_and_not_lost(name: str) -> None:
    note = only(name, prompt="hi", tool_name="Bash")
    assert (note.name, note.payload) == (f"hook:{name}", {"prompt": "hi", "tool_name": "Bash"})


# Sub-agents


def test_within_a_sub_agent_everything_is_of_the_child_session() -> None:
    for name in REGISTERED:
        for event in events_of(name, agent_id="a1", prompt_id="p1", **TOOL):
            assert event.session_id == "s1/agent-a1"


def test_a_sub_agent_starts_as_the_child_of_its_session_and_ends_by_itself() -> None:
    started = only("SubagentStart", agent_id="a1", agent_type="Explore")
    assert (started.session_id, started.parent_session_id, started.agent_type) == ("s1/agent-a1", "s1", "Explore")
    ended = only("SubagentStop", agent_id="a1", agent_type="Explore")
    assert (type(ended), ended.session_id, ended.status) == (SessionEnded, "s1/agent-a1", "completed")


def test_the_end_of_a_sub_agent_without_a_name_does_not_end_its_session() -> None:
    assert events_of("SubagentStop") == []


# The same rows as the transcript's


@pytest.mark.parametrize("agent_id", [None, "a1"])
def test_hooks_and_transcript_make_the_same_rows_of_prompts_and_tool_calls(agent_id: str | None) -> None:
    within = {} if agent_id is None else {"agent_id": agent_id}
    hooked = [
        *events_of("SessionStart" if agent_id is None else "SubagentStart", **within),
        *events_of("UserPromptSubmit", prompt_id="p1", prompt="Which?", **within),
        *events_of("PreToolUse", **TOOL, **within),
        *events_of("PostToolUse", **TOOL, tool_response="a.py", **within),
        *events_of("SessionEnd" if agent_id is None else "SubagentStop", **within),
    ]
    call = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
    answer = {"id": "m1", "content": [call], "stop_reason": "tool_use"}
    answered = {"content": [{"type": "tool_result", "tool_use_id": "t1", "content": "a.py"}]}
    done = {"id": "m2", "content": "Done.", "stop_reason": "end_turn"}
    lines = [
        {"type": "user", "promptId": "p1", "message": {"content": "Which?"}},
        {"type": "assistant", "message": answer},
        {"type": "user", "promptId": "p1", "message": answered},
        {"type": "assistant", "message": done},
    ]
    reader = Reader("s1", AT, agent=SubAgent(agent_id=agent_id) if agent_id else None)
    read = [event for number, said in enumerate(lines) for event in reader.read(json.dumps(said).encode(), number)]
    read += reader.finish()
    rows = {(event.row_kind, row_id_of(event)) for event in read}
    assert {(event.row_kind, row_id_of(event)) for event in hooked} <= rows


def test_what_one_hook_is_told_twice_is_one_event_and_what_two_are_told_at_once_are_two() -> None:
    assert only("PreToolUse", **TOOL).event_id == only("PreToolUse", **TOOL).event_id
    ids = [
        only("PreToolUse", **TOOL).event_id,
        only("PostToolUse", **TOOL).event_id,
        only("PreToolUse", **{**TOOL, "tool_use_id": "t2"}).event_id,
        only("PreToolUse", **TOOL, agent_id="a1").event_id,
        next(hook_events(told("PreToolUse", **TOOL), AT + timedelta(seconds=1))).event_id,
    ]
    assert len(set(ids)) == 5


# Whatever it is told


@pytest.mark.parametrize(
    "wrong", [{}, {"session_id": "s1"}, {"hook_event_name": "Stop"}, told(""), {**told("Stop"), "session_id": 7}]
)
def test_what_names_no_session_or_no_hook_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="names no session or no event"):
        list(hook_events(wrong, AT))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text() | st.just("\ud800"),
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(st.text(max_size=3), inside, max_size=2),
    max_leaves=4,
)
names = st.sampled_from([*REGISTERED, *SILENT, "Other", "\ud800"])
keys = st.sampled_from(
    [
        "session_id",
        "prompt_id",
        "prompt",
        "agent_id",
        "agent_type",
        "model",
        "cwd",
        "is_interrupt",
        "error",
        "duration_ms",
        *TOOL,
    ]
)


@given(names | anything, st.dictionaries(keys, anything), st.booleans())
@settings(max_examples=200)
def test_values_of_other_types_raise_nothing_but_value_error(name: Any, odd: dict[str, Any], is_whole: bool) -> None:
    known = {"prompt_id": "p1", "prompt": "hi", "agent_id": "a1", **TOOL} if is_whole else {}
    said = told(name, **{**known, **odd})
    try:
        events = list(hook_events(said, AT))
    except ValueError:
        assert not (isinstance(name, str) and name and isinstance(said["session_id"], str) and said["session_id"])
    else:
        for event in events:
            row_of(decode(encode_marked(event)))
