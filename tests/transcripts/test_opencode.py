"""OpenCode's messages become the same rows whenever they are read, and nothing in them is an error."""

from __future__ import annotations

import copy
import json
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    NoteAdded,
    ReasoningPart,
    SessionEnded,
    SessionStarted,
    TextPart,
    ToolCallFinished,
    ToolCallPart,
    ToolCallStarted,
    Usage,
    encode,
    encode_marked,
    row_id_of,
)
from turso_hooks.transcripts.opencode import Reader, asked, retried, said

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
T0 = 1_700_000_000_000
SESSION, USER, ANSWER = "ses_1", "msg_1", "msg_2"


def moment(after_ms: int) -> datetime:
    return datetime.fromtimestamp(0, timezone.utc) + timedelta(milliseconds=T0 + after_ms)


def info(**more: Any) -> dict[str, Any]:
    return {
        "id": SESSION,
        "title": "A session",
        "version": "1.18.33",
        "directory": "/home/ada/blog",
        "time": {"created": T0, "updated": T0},
        **more,
    }


def part(kind: str, n: int, **more: Any) -> dict[str, Any]:
    return {"id": f"prt_{n}", "messageID": ANSWER, "sessionID": SESSION, "type": kind, **more}


def text(n: int, said: str, end: int | None = 20) -> dict[str, Any]:
    return part("text", n, text=said, time={"start": T0 + 10, **({} if end is None else {"end": T0 + end})})


def tool(n: int, status: str, call_id: str = "call_1", **state: Any) -> dict[str, Any]:
    times = {"start": T0 + 30, **({"end": T0 + 70} if status in {"completed", "error"} else {})}
    given = {"status": status, "input": {"command": "ls"}, "time": times, **state}
    return part("tool", n, tool="bash", callID=call_id, state=given)


def finish(n: int, reason: str = "stop", **tokens: Any) -> dict[str, Any]:
    counted = {"input": 10, "output": 5, "reasoning": 2, "cache": {"read": 3, "write": 4}, **tokens}
    return part("step-finish", n, reason=reason, cost=0.5, tokens=counted)


def answer(*parts: dict[str, Any], is_whole: bool = True, **more: Any) -> dict[str, Any]:
    times = {"created": T0, **({"completed": T0 + 100} if is_whole else {})}
    told = {"id": ANSWER, "sessionID": SESSION, "role": "assistant", "modelID": "m", "providerID": "p", "mode": "build"}
    return {"info": {**told, "time": times, "finish": "stop", **more}, "parts": list(parts)}


def question(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"info": {"id": USER, "sessionID": SESSION, "role": "user", "time": {"created": T0}}, "parts": list(parts)}


def of(kind: type[Any], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def read(*messages: dict[str, Any], reader: Reader | None = None) -> list[Event]:
    reader = reader or Reader(NOW)
    return [event for message in messages for event in reader.message(message)]


# Sessions


def test_a_session_is_told_with_what_is_known_of_it() -> None:
    first, second, title = Reader(NOW).session(info(agent="build", model={"id": "m", "providerID": "p"}, parentID="ses_0"))
    assert (first.occurred_at, first.project, first.runner) == (moment(0), "/home/ada/blog", "opencode 1.18.33")
    assert first.parent_session_id == "ses_0"
    assert (second.agent_type, second.model, second.provider) == ("build", "m", "p")
    assert title.title == "A session"


def test_a_later_title_is_told_of_a_later_time_and_never_of_a_later_millisecond() -> None:
    ages = [0, 1, 1000, 60_000, 86_400_000, 365 * 86_400_000 * 90]
    times = [Reader(NOW).session(info(time={"created": T0, "updated": T0 + age}))[2].occurred_at for age in ages]
    assert times == sorted(set(times))
    assert times[-1] < moment(1)


def test_a_title_wins_over_the_one_that_was_made_up_however_soon_it_comes() -> None:
    updated = {"created": T0, "updated": T0 + 5000}
    made_up, title = (
        Reader(NOW).session(info(title=title, time=updated))[2].occurred_at
        for title in ("New session - 2026-11-25T10:19:32.778Z", "A title")
    )
    assert made_up < title


def test_a_sub_agent_is_under_the_call_that_started_it_whichever_is_read_first() -> None:
    child = info(id="ses_2", parentID=SESSION)
    asking = answer(tool(1, "running", metadata={"sessionId": "ses_2"}), is_whole=False)
    for order in ((child, asking), (asking, child)):
        reader = Reader(NOW)
        events = [e for each in order for e in (reader.session(each) if "title" in each else reader.message(each))]
        told = [event.parent_tool_call_id for event in of(SessionStarted, events) if event.session_id == "ses_2"]
        assert "call_1" in told


# Messages


def test_a_question_is_its_text_and_is_not_told_before_it_has_any() -> None:
    assert read(question()) == []
    started, message = read(question(part("text", 1, text="Hello?")))
    assert isinstance(started, SessionStarted)
    assert (message.role, message.content, message.message_id) == ("user", "Hello?", USER)


def test_files_and_what_was_put_in_beside_them_are_parts() -> None:
    file = part("file", 1, mime="image/png", filename="a.png", url="data:image/png;base64,AA==")
    (message,) = of(MessageAdded, read(question(file, part("text", 2, text="what it shows", synthetic=True))))
    image, beside = message.content
    assert (image.url, image.media_type, image.name) == ("data:image/png;base64,AA==", "image/png", "a.png")
    assert beside == {"type": "text", "text": "what it shows", "synthetic": True}


def test_an_answer_is_its_parts_and_a_model_call_with_tokens_cost_and_times() -> None:
    thought = part("reasoning", 1, text="hm", metadata={"anthropic": {"signature": "s"}}, time={"start": T0 + 5, "end": T0 + 8})
    events = read(answer(part("step-start", 0), thought, text(2, "Hi."), tool(3, "completed", output="x"), finish(4)))
    message = of(MessageAdded, events)[0]
    assert message.content == [
        ReasoningPart(text="hm", signature="s"),
        TextPart(text="Hi."),
        ToolCallPart(tool_call_id="call_1", tool_name="bash", input={"command": "ls"}),
    ]
    assert message.metadata == {"mode": "build"}
    (call,) = of(ModelCallFinished, events)
    assert call.usage == Usage(input=17, output=7, cache_read=3, cache_write=4, reasoning=2)
    assert (call.cost_usd, call.finish_reason, call.model, call.provider) == (0.5, "stop", "m", "p")
    assert (call.time_to_first_token_ms, call.duration_ms, call.occurred_at) == (5, 30, moment(30))
    (end,) = of(SessionEnded, events)
    assert (end.status, end.error_message, end.occurred_at) == ("completed", None, moment(101))


def test_each_step_of_an_answer_is_a_model_call() -> None:
    calls = of(ModelCallFinished, read(answer(text(1, "a"), finish(2, "tool-calls"), text(3, "b"), finish(4))))
    assert [(call.model_call_id, call.finish_reason) for call in calls] == [(ANSWER, "tool-calls"), (f"{ANSWER}/1", "stop")]


def test_an_answer_that_asks_for_tools_does_not_end_the_turn() -> None:
    assert of(SessionEnded, read(answer(text(1, "a"), finish="tool-calls"))) == []


def test_an_answer_that_was_broken_off_is_cancelled_and_one_that_failed_is_an_error() -> None:
    aborted = {"name": "MessageAbortedError", "data": {"message": "Aborted"}}
    failed = {"name": "APIError", "data": {"message": "too large"}}
    for error, status, message in ((aborted, "cancelled", None), (failed, "error", "APIError: too large")):
        events = read(answer(text(1, "a"), error=error))
        assert [(end.status, end.error_message) for end in of(SessionEnded, events)] == [(status, message)]
        assert of(ModelCallFinished, events)[0].error is not None


def test_what_was_seen_of_an_answer_is_incomplete_and_gives_way_to_the_whole() -> None:
    versions = [
        answer(text(1, "wor", end=None), is_whole=False),
        answer(text(1, "words"), is_whole=False),
        answer(text(1, "words"), text(2, "mo", end=None), is_whole=False),
        answer(text(1, "words"), text(2, "more")),
    ]
    told = [of(MessageAdded, read(version))[0] for version in versions]
    assert [message.metadata.get("incomplete", False) for message in told] == [True, True, True, False]
    assert [message.occurred_at for message in told] == sorted({message.occurred_at for message in told})
    assert {row_id_of(message) for message in told} == {f"{SESSION}:message:{ANSWER}"}


def test_a_compaction_is_a_note_and_its_summary_is_marked() -> None:
    asked_for, summary = question(part("compaction", 1, auto=True)), answer(text(2, "In short."), summary=True)
    events = read(asked_for, summary)
    (note,) = of(NoteAdded, events)
    assert (note.name, note.payload) == ("compaction", {"auto": True})
    (message,) = of(MessageAdded, events)
    assert message.metadata["compact_summary"] is True


# Tools


def test_a_tool_call_is_one_row_from_its_start_to_its_end() -> None:
    running, done = tool(1, "running"), tool(1, "completed", output="x", metadata={"exit": 0}, title="ls")
    events = read(answer(tool(1, "pending"), is_whole=False), answer(running, is_whole=False), answer(done))
    calls = [event for event in events if isinstance(event, (ToolCallStarted, ToolCallFinished))]
    assert [type(call) for call in calls] == [ToolCallStarted, ToolCallFinished]
    assert len({row_id_of(call) for call in calls}) == 1
    end = calls[1]
    assert (end.status, end.output, end.duration_ms, end.metadata) == ("completed", "x", 40, {"title": "ls", "exit": 0})
    (result,) = [message for message in of(MessageAdded, events) if message.role == "tool"]
    assert (result.message_id, result.content, result.tool_name) == ("call_1", "x", "bash")


def test_calls_that_a_model_gave_one_id_are_two_rows_however_often_they_are_read() -> None:
    reader, message = Reader(NOW), answer(tool(1, "completed", output="a"), tool(2, "completed", output="b"))
    events = read(message, message, reader=reader)
    outputs = {row_id_of(call): call.output for call in of(ToolCallFinished, events)}
    assert outputs == {f"{SESSION}:tool_call:call_1": "a", f"{SESSION}:tool_call:call_1~1": "b"}


def test_a_call_that_was_denied_is_an_error_and_a_note_and_one_that_a_person_refused_ends_the_turn() -> None:
    rule = "The user has specified a rule which prevents you from using this specific tool call."
    refused = "The user rejected permission to use this specific tool call."
    told = f"{refused[:-1]} with the following feedback: use less"
    ends = []
    for error in (rule, refused, told):
        events = read(answer(tool(1, "error", error=error), finish="tool-calls"))
        assert [note.name for note in of(NoteAdded, events)] == ["permission_denied"]
        assert [call.status for call in of(ToolCallFinished, events)] == ["error"]
        ends.append([end.status for end in of(SessionEnded, events)])
    assert ends == [[], ["cancelled"], []]


def test_a_call_that_was_broken_off_is_cancelled() -> None:
    (call,) = of(ToolCallFinished, read(answer(tool(1, "error", error="Tool execution aborted"))))
    assert call.status == "cancelled"


def test_what_was_under_way_when_a_server_died_is_marked_and_yields_to_what_is_known_later() -> None:
    dying = answer(text(1, "wo", end=None), tool(2, "running"), is_whole=False)
    lost = Reader(NOW).lost(dying)
    (end,) = of(SessionEnded, lost)
    assert (end.status, end.error_message) == ("error", "OpenCode's server ended in the middle of this")
    assert [call.status for call in of(ToolCallFinished, lost)] == ["cancelled"]
    (later,) = of(SessionEnded, read(answer(text(1, "words"))))
    assert later.occurred_at > end.occurred_at
    assert of(SessionEnded, Reader(NOW).lost(answer(text(1, "words")))) == [later]


# What only the stream says


def test_questions_and_retries_are_one_row_each_however_often_they_are_told() -> None:
    permission = {"id": "per_1", "sessionID": SESSION, "permission": "bash", "tool": {"callID": "call_1"}}
    event = {"id": "evt_1", "type": "permission.asked", "properties": permission}
    notes = [*said(event, NOW, Reader(NOW).not_understood), asked(permission, NOW)]
    assert {row_id_of(note) for note in notes} == {f"{SESSION}:note:per_1"}
    assert notes[0].payload["tool_call_id"] == "call_1"
    status = {"type": "retry", "attempt": 1, "next": T0}
    event = {"id": "evt_2", "type": "session.status", "properties": {"sessionID": SESSION, "status": status}}
    (note,) = said(event, NOW, Reader(NOW).not_understood)
    assert row_id_of(note) == row_id_of(retried(SESSION, status, NOW)[0])
    assert retried(SESSION, {"type": "busy"}, NOW) == []


def test_events_of_an_unknown_type_are_notes_if_they_are_of_a_session_and_counted_in_any_case() -> None:
    not_understood = Reader(NOW).not_understood
    of_session = {"id": "evt_1", "type": "session.teleported", "properties": {"sessionID": SESSION, "to": "Mars"}}
    (note,) = said(of_session, NOW, not_understood)
    assert (note.name, note.payload) == ("unknown:session.teleported", {"to": "Mars"})
    assert said({"id": "evt_2", "type": "weather.changed", "properties": {}}, NOW, not_understood) == []
    assert said({"id": "evt_3", "type": "plugin.added", "properties": {}}, NOW, not_understood) == []
    assert not_understood == {"event of type session.teleported": 1, "event of type weather.changed": 1}


# Whatever comes

WHOLE = answer(part("step-start", 0), text(1, "Hi."), tool(2, "completed", output="x"), finish(3))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(found for key, one in inner for found in places(one, (*place, key)))]


def replaced(value: Any, place: tuple[Any, ...], by: Any) -> Any:
    if not place:
        return by
    changed = copy.copy(value)
    changed[place[0]] = replaced(value[place[0]], place[1:], by)
    return changed


@given(st.data())
def test_whatever_stands_anywhere_no_message_is_an_error(data: st.DataObject) -> None:
    broken: Any = WHOLE
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places(broken)[1:] or [()]))
        broken = replaced(broken, place, data.draw(JSON))
    reader = Reader(NOW)
    message = broken if isinstance(broken, dict) else {}
    for event in [*reader.message(message), *reader.lost(message), *reader.session(message)]:
        assert encode_marked(event)
    for event in said({"id": "e", "type": "permission.asked", "properties": message}, NOW, reader.not_understood):
        assert encode_marked(event)


@given(st.permutations(range(4)))
def test_reading_a_message_again_says_the_same(order: list[int]) -> None:
    reader = Reader(NOW)
    told = [json.dumps([encode(event).hex() for event in reader.message(WHOLE)]) for _ in order]
    assert len(set(told)) == 1
