"""Transcripts in the form in which Claude Code 2.1.331 writes them; all lines are invented."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    TextPart,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    decode,
    encode,
    encode_marked,
    row_id_of,
)
from turso_hooks.store import Batch, Numbering, Position, Standing, prepare_schema, row_of, write_batch
from turso_hooks.transcripts.claude_code import Reader, State, SubAgent, child_session_id, last_prices, sub_agent_of, title_of

START = datetime(2026, 1, 2, tzinfo=timezone.utc)
RECORDED = datetime(2026, 1, 1, tzinfo=timezone.utc)
SESSION = "s1"
MODEL = "claude-sonnet-4-5"
AGENT = SubAgent(agent_id="a1", agent_type="Explore", tool_call_id="t-agent", title="look around")
USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 300, "output_tokens": 4}
TABLES = ("sessions", "messages", "tool_executions", "model_calls", "notes")

Line = dict[str, Any]


def line(kind: str, second: float, **said: Any) -> Line:
    """A line of the transcript of `SESSION`, written so many seconds after `START`."""
    at = (START + timedelta(seconds=second)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    place = {"sessionId": SESSION, "cwd": "/home/ada/shop", "version": "2.1.331", "gitBranch": "main", "entrypoint": "cli"}
    return {"type": kind, "timestamp": at, "uuid": f"u-{kind}-{second}", **place, **said}


def prompt(second: float, content: Any = "Which tests fail?", **said: Any) -> Line:
    return line("user", second, **{"promptId": f"p-{second}", "message": {"role": "user", "content": content}, **said})


def text(words: str) -> Line:
    return {"type": "text", "text": words}


def call(call_id: str, name: str = "Bash", **given: Any) -> Line:
    return {"type": "tool_use", "id": call_id, "name": name, "input": given}


def answer(second: float, *blocks: Any, message_id: str = "m1", stop: str | None = "end_turn", **said: Any) -> Line:
    """One of the lines of a model's answer; `usage` and `model` are those of the message."""
    usage, model = said.pop("usage", USAGE), said.pop("model", MODEL)
    message = {"id": message_id, "role": "assistant", "model": model, "content": list(blocks), "stop_reason": stop}
    return line("assistant", second, message={**message, "usage": usage}, requestId=f"r-{message_id}", **said)


def result(second: float, call_id: str, content: Any = "fine", *, is_error: bool = False, **said: Any) -> Line:
    block = {"type": "tool_result", "tool_use_id": call_id, "content": content, "is_error": is_error}
    return line("user", second, message={"role": "user", "content": [block]}, **said)


def api_error(second: float, words: str = "API Error: 529", message_id: str = "e1") -> Line:
    failed = answer(second, text(words), message_id=message_id, stop="stop_sequence", model="<synthetic>", usage={})
    return {**failed, "isApiErrorMessage": True}


def cost_state(**spent: tuple[float, Line]) -> Line:
    """What the models have cost in all; Claude Code writes no time with it."""
    names = {
        "input_tokens": "inputTokens",
        "output_tokens": "outputTokens",
        "cache_read_input_tokens": "cacheReadInputTokens",
        "cache_creation_input_tokens": "cacheCreationInputTokens",
    }
    models = {
        model.replace("_", "-"): {"costUSD": usd, **{names[key]: count for key, count in usage.items()}}
        for model, (usd, usage) in spent.items()
    }
    return {"type": "cost-state", "sessionId": SESSION, "modelUsage": models}


def total(*usages: Line) -> Line:
    return {key: sum(usage[key] for usage in usages) for key in USAGE}


THE_END = cost_state()


def json_line(said: Any) -> bytes:
    return said if isinstance(said, bytes) else json.dumps(said).encode()


def reader_of(agent: SubAgent | None = None, state: State | None = None) -> Reader:
    return Reader(SESSION, RECORDED, agent=agent, state=state)


def read(*lines: Line | bytes, reader: Reader | None = None, first: int = 0) -> list[Event]:
    """The events of these lines, and of the messages that are open after them."""
    reader = reader or reader_of()
    events = [event for number, said in enumerate(lines, first) for event in reader.read(json_line(said), number)]
    return events + reader.flush()


def of(kind: type, events: Iterable[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def only(kind: type, events: Iterable[Event]) -> Any:
    (found,) = of(kind, events)
    return found


def as_json(state: State) -> str:
    """As it is written down: by `json`, for msgspec writes no half emoji."""
    return json.dumps(msgspec.to_builtins(state))


def kept(state: State) -> State:
    """What becomes of it when it is written down and read again."""
    return msgspec.convert(json.loads(as_json(state)), State)


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """A row but for which event had the last word, and for the microseconds by which a later version of a message is later."""
    known = {name: value for name, value in row.items() if name not in {"provenance", "status_key"}}
    if "model_call_id" in row:
        known["started_at"] = row["started_at"][:-4]
    return known


def rows_of(events: Sequence[Event], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows that a real database has of these events."""
    folder.mkdir(exist_ok=True)
    found = {}
    with EmbeddedDatabase(folder / "rows.db") as database:
        prepare_schema(database)
        rows = [row_of(decode(encode_marked(event))) for event in events]
        standing = Standing(None, Numbering())
        write_batch(database, Batch("w", standing, Standing(Position(1, 1), Numbering(1)), rows, len(rows)), START)
        for table in TABLES:
            answered = database.execute(f"SELECT * FROM {table} ORDER BY id")
            found[table] = [comparable(dict(zip(answered.columns, row, strict=True))) for row in answered.rows]
    return found


# Messages and model calls


def test_the_lines_of_an_answer_are_one_message_with_its_parts_in_order_and_one_model_call() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    events = read(
        prompt(0),
        answer(1, thinking, stop=None),
        answer(2, text("I look."), stop=None),
        answer(3, call("t1", command="ls"), stop="tool_use"),
    )
    assert len(of(MessageAdded, events)) == 2
    said = decode(encode(of(MessageAdded, events)[1]))
    assert isinstance(said, MessageAdded)
    assert said.content == [
        {"type": "reasoning", "text": "hm", "signature": "c2ln"},
        {"type": "text", "text": "I look."},
        {"type": "tool_call", "tool_call_id": "t1", "tool_name": "Bash", "input": {"command": "ls"}},
    ]
    assert (said.role, said.message_id, said.model, said.token_count) == ("assistant", "m1", MODEL, 4)
    model_call = only(ModelCallFinished, events)
    assert (model_call.model_call_id, model_call.model, model_call.provider) == ("m1", MODEL, "anthropic")
    assert (model_call.finish_reason, model_call.metadata) == ("tool_use", {"request_id": "r-m1"})
    assert (row_id_of(said), row_id_of(model_call)) == ("s1:message:m1", "s1:model_call:m1")
    started = only(ToolCallStarted, events)
    assert (started.tool_call_id, started.tool_name, started.input) == ("t1", "Bash", {"command": "ls"})
    assert started.message_id == "m1"


def test_an_answer_that_is_one_text_is_that_text() -> None:
    assert of(MessageAdded, read(prompt(0), answer(1, text("All pass."))))[1].content == "All pass."


def test_cached_tokens_are_counted_as_input() -> None:
    usage = only(ModelCallFinished, read(answer(1, text("ok")))).usage
    assert usage == Usage(input=330, output=4, cache_read=300, cache_write=20)


def test_every_event_has_the_position_and_time_of_its_line_and_ranks_as_a_transcript() -> None:
    events = read(prompt(0), answer(1, text("a"), stop=None), answer(2, call("t1"), stop="tool_use"), result(3, "t1"))
    assert {event.source_rank for event in events} == {3}
    assert [(type(event).__name__, event.position) for event in events] == [
        ("SessionStarted", 0),
        ("MessageAdded", 0),
        ("SessionStarted", 1),
        ("MessageAdded", 1),
        ("ModelCallFinished", 1),
        ("MessageAdded", 3),
        ("ToolCallFinished", 2),
    ]
    assert [round((event.occurred_at - START).total_seconds()) for event in events] == [0, 0, 1, 1, 1, 3, 3]
    assert events[-1].started_at == START + timedelta(seconds=2)


def test_the_same_line_twice_changes_nothing() -> None:
    lines = [prompt(0), answer(1, text("a"), stop=None), answer(2, call("t1"), stop="tool_use")]
    twice = [said for one in lines for said in (one, one)]
    assert of(MessageAdded, read(*twice))[-1].content == of(MessageAdded, read(*lines))[-1].content
    reader = reader_of()
    read(*lines, reader=reader)
    before = kept(reader.state)
    assert read(lines[-1], reader=reader) == []
    assert kept(reader.state) == before


def test_the_same_prompt_twice_changes_nothing(tmp_path: Path) -> None:
    assert len(rows_of(read(prompt(0), prompt(0)), tmp_path)["messages"]) == 1


def test_reading_a_transcript_twice_says_the_same_to_the_byte() -> None:
    assert list(map(encode, read(*CONVERSATION))) == list(map(encode, read(*CONVERSATION)))


def test_blocks_that_come_after_a_flush_make_a_later_version_of_the_message() -> None:
    reader = reader_of()
    first = read(answer(1, text("a"), stop=None), reader=reader)
    assert reader.flush() == []  # nothing new to say
    second = read(answer(2, text("b")), reader=reader, first=1)
    early, late = only(MessageAdded, first), only(MessageAdded, second)
    assert early.content == "a"
    assert late.content == [TextPart(text="a"), TextPart(text="b")]
    assert row_id_of(early) == row_id_of(late)
    assert early.occurred_at < late.occurred_at < START + timedelta(seconds=2)
    assert only(ModelCallFinished, first).finish_reason is None
    assert only(ModelCallFinished, second).finish_reason == "end_turn"


def test_an_answer_is_said_when_another_message_comes() -> None:
    reader = reader_of()
    assert of(MessageAdded, reader.read(json_line(answer(1, text("a"))), 0)) == []
    events = reader.read(json_line(answer(2, text("b"), message_id="m2")), 1)
    assert only(MessageAdded, events).message_id == "m1"


def test_the_usage_and_the_reason_of_the_last_line_of_an_answer_count() -> None:
    (said,) = of(ModelCallFinished, read(answer(1, text("a"), stop=None, usage=SMALL), answer(2, text("b"))))
    assert (said.usage.output, said.finish_reason) == (4, "end_turn")
    (said,) = of(ModelCallFinished, read(answer(1, text("a")), answer(2, text("b"), stop=None, usage={})))
    assert (said.usage.output, said.finish_reason) == (4, "end_turn")  # what says nothing of it takes nothing away


def test_an_answer_without_an_id_has_that_of_its_line() -> None:
    said = answer(1, text("a"))
    del said["message"]["id"]
    assert only(MessageAdded, read(said)).message_id == said["uuid"]


# Tools


def test_a_tool_call_has_its_result_as_the_model_saw_it_and_as_a_message() -> None:
    events = read(
        answer(1, call("t1", command="ls"), stop="tool_use"), result(2, "t1", "a.py", toolUseResult={"durationMs": 12})
    )
    finished = only(ToolCallFinished, events)
    assert (finished.status, finished.output, finished.error, finished.duration_ms) == ("completed", "a.py", None, 12)
    assert (finished.tool_name, row_id_of(finished)) == ("Bash", "s1:tool_call:t1")
    message = of(MessageAdded, events)[-1]
    assert (message.role, message.content, message.tool_call_id, message.tool_name) == ("tool", "a.py", "t1", "Bash")
    assert row_id_of(message) == "s1:message:t1"


def test_results_of_calls_side_by_side_are_told_apart() -> None:
    both = result(2, "t1", "one")
    both["message"]["content"] += result(2, "t2", [text("two")])["message"]["content"]
    events = read(answer(1, call("t1"), call("t2", "Read"), stop="tool_use"), both)
    finished = of(ToolCallFinished, events)
    assert [(one.tool_call_id, one.tool_name, one.output) for one in finished] == [("t1", "Bash", "one"), ("t2", "Read", "two")]


def test_a_call_that_failed_has_its_error_and_no_output() -> None:
    events = read(answer(1, call("t1"), stop="tool_use"), result(2, "t1", "Exit code 2", is_error=True))
    finished = only(ToolCallFinished, events)
    assert (finished.status, finished.output, finished.error) == ("error", None, "Exit code 2")
    assert of(NoteAdded, events) == []


@pytest.mark.parametrize(
    "said", [{"permissionDecision": {"decision": "reject"}}, {"toolDenialKind": "user-rejected", "toolUseResult": "Error: no"}]
)
def test_a_call_that_was_not_allowed_is_an_error_with_a_note(said: Line) -> None:
    events = read(answer(1, call("t1"), stop="tool_use"), result(2, "t1", "not granted", is_error=True, **said))
    assert only(ToolCallFinished, events).status == "error"
    note = only(NoteAdded, events)
    assert (note.name, row_id_of(note)) == ("permission_denied", "s1:note:permission_denied:t1")
    assert note.payload == {"tool_call_id": "t1", "tool_name": "Bash", "reason": "not granted"}


def test_a_call_that_was_allowed_has_no_note() -> None:
    accepted: Line = {"permissionDecision": {"decision": "accept", "source": "config"}}
    assert of(NoteAdded, read(answer(1, call("t1"), stop="tool_use"), result(2, "t1", **accepted))) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[Request interrupted by user for tool use]", {}),
        ([text("[Request interrupted by user]")], {}),
        ("killed", {"toolUseResult": {"interrupted": True}}),
    ],
)
def test_a_call_that_was_interrupted_is_cancelled(content: Any, said: Line) -> None:
    events = read(answer(1, call("t1"), stop="tool_use"), result(2, "t1", content, is_error=True, **said))
    assert only(ToolCallFinished, events).status == "cancelled"


def test_an_output_that_only_quotes_an_interrupt_is_none() -> None:
    events = read(answer(1, call("t1"), stop="tool_use"), result(2, "t1", "[Request interrupted by user] stands in the file"))
    assert only(ToolCallFinished, events).status == "completed"


@pytest.mark.parametrize(
    ("said", "duration"),
    [
        ({"totalDurationMs": 7, "durationMs": 3}, 7),
        ({"totalDurationMs": 7.5}, 7.5),
        ({"durationMs": 0}, 0),
        ({"durationMs": True}, None),
        ({"durationMs": "3"}, None),
        ({}, None),
        (["x"], None),
        ("Error: no", None),
    ],
)
def test_how_long_a_call_took_is_known_if_it_was_written(said: Any, duration: float | None) -> None:
    events = read(answer(1, call("t1"), stop="tool_use"), result(2, "t1", toolUseResult=said))
    assert only(ToolCallFinished, events).duration_ms == duration


def test_a_result_without_its_call_is_kept_all_the_same() -> None:
    finished = only(ToolCallFinished, read(result(2, "t9", "late")))
    assert (finished.tool_call_id, finished.tool_name, finished.output) == ("t9", None, "late")


def test_text_beside_a_result_is_a_message_of_the_user() -> None:
    said = result(2, "t1", promptId="p-1")
    said["message"]["content"].append(text("and hurry"))
    tool, user = of(MessageAdded, read(said))
    assert (tool.role, user.role, user.content, user.message_id) == ("tool", "user", "and hurry", "p-1")


# Prompts


def test_a_prompt_has_its_prompt_id_and_a_second_message_of_the_same_prompt_that_of_its_line() -> None:
    first, second = of(MessageAdded, read(prompt(0), prompt(1, "and then?", promptId="p-0")))
    assert (first.message_id, first.role, first.content) == ("p-0", "user", "Which tests fail?")
    assert second.message_id == "u-user-1"


def test_a_message_of_an_earlier_prompt_does_not_take_the_place_of_that() -> None:
    events = read(prompt(0, "a", promptId="p1"), prompt(1, "b", promptId="p2"), prompt(2, "c", promptId="p1"))
    assert [event.message_id for event in of(MessageAdded, events)] == ["p1", "p2", "u-user-2"]


@pytest.mark.parametrize(
    ("content", "said", "role", "metadata"),
    [
        ("<system-reminder>tools</system-reminder>", {"isMeta": True}, "system", {"meta": True}),
        ([text("[Request interrupted by user]")], {}, "user", None),
        ("This session is being continued.", {"isCompactSummary": True}, "user", {"compact_summary": True}),
    ],
)
def test_what_the_user_did_not_say_has_the_id_of_its_line_and_leaves_the_prompt_its_own(
    content: Any, said: Line, role: str, metadata: Any
) -> None:
    events = of(MessageAdded, read(prompt(0, content, promptId="p", **said), prompt(1, "go on", promptId="p")))
    assert [event.message_id for event in events] == ["u-user-0", "p"]
    assert (events[0].role, events[0].metadata) == (role, metadata)


def test_a_prompt_with_an_image_keeps_it_as_a_file() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    content = only(MessageAdded, read(prompt(0, [text("see"), image]))).content
    assert [type(part).__name__ for part in content] == ["TextPart", "FilePart"]
    assert content[1].url == "data:image/png;base64,aGk="


# Forks


def forked() -> list[Line]:
    old = [
        prompt(0),
        answer(1, text("I look."), stop=None),
        answer(2, call("t1"), stop="tool_use"),
        result(3, "t1"),
        answer(4, text("All pass."), message_id="m2"),
    ]
    born = line("queue-operation", 100, operation="enqueue")
    return [born, *old, prompt(101, "Why?", promptId="p-new"), answer(102, text("So."), message_id="m3")]


def test_the_copied_lines_of_a_fork_are_messages_marked_so_and_no_calls() -> None:
    events = read(*forked())
    messages = of(MessageAdded, events)
    assert [(one.role, one.metadata) for one in messages] == [
        ("user", {"copied": True}),
        ("assistant", {"copied": True}),
        ("tool", {"copied": True}),
        ("assistant", {"copied": True}),
        ("user", None),
        ("assistant", None),
    ]
    assert [event.model_call_id for event in of(ModelCallFinished, events)] == ["m3"]
    assert of(ToolCallStarted, events) == of(ToolCallFinished, events) == []
    assert messages[2].tool_name == "Bash"


def test_a_copied_prompt_has_the_id_of_its_line() -> None:
    first, *_, last, _ = of(MessageAdded, read(*forked()))
    assert (first.message_id, last.message_id) == ("u-user-0", "p-new")


def test_a_copied_call_without_a_result_is_not_cancelled_in_the_fork() -> None:
    born, asked, *_, again, answered = forked()
    events = read(born, asked, answer(2, call("t1"), stop="tool_use"), again, answered, THE_END)
    assert of(ToolCallStarted, events) == of(ToolCallFinished, events) == []


def test_the_copied_attachments_of_a_fork_are_counted_as_skipped() -> None:
    born, *old = forked()
    reader = reader_of()
    events = read(born, line("attachment", 1, attachment={"type": "diagnostics"}), *old, reader=reader)
    assert of(NoteAdded, events) == []
    assert reader.skipped == {"queue-operation": 1, "attachment:diagnostics": 1}


def test_a_fork_begins_with_what_is_new_in_it() -> None:
    first, second = of(SessionStarted, read(*forked()))
    assert [first.occurred_at, second.occurred_at] == [START + timedelta(seconds=101), START + timedelta(seconds=102)]
    assert (first.title, first.model, second.model) == ("Why?", None, MODEL)


@pytest.mark.parametrize(
    "first",
    [
        {"type": "summary", "summary": "Earlier"},
        {"type": "custom-title", "customTitle": "Shop"},
        {"type": "hologram"},
        {"type": "cost-state", "modelUsage": {}},
    ],
)
def test_a_first_line_without_a_time_does_not_make_copies_of_the_others(first: Line) -> None:
    reader = Reader(SESSION, START + timedelta(days=1))  # the time of a file is that of its last line
    events = read(first, prompt(1), answer(2, call("t1"), stop="tool_use"), result(3, "t1"), reader=reader)
    assert [event.metadata for event in of(MessageAdded, events)] == [None] * 3
    assert len(of(ModelCallFinished, events)) == len(of(ToolCallFinished, events)) == 1


# Sub-agents


def of_agent(said: Line, agent_id: str = "a1") -> Line:
    return {**said, "agentId": agent_id, "isSidechain": True}


def test_a_sub_agent_is_a_child_session_under_the_call_that_asked_for_it() -> None:
    reader = reader_of(AGENT)
    events = read(of_agent(prompt(0, "look")), of_agent(answer(1, text("seen"), message_id="m9")), reader=reader)
    assert {event.session_id for event in events} == {child_session_id(SESSION, "a1")} == {"s1/agent-a1"}
    for started in of(SessionStarted, events):
        assert (started.parent_session_id, started.parent_tool_call_id) == ("s1", "t-agent")
        assert (started.agent_type, started.title) == ("Explore", "look around")


def test_a_sub_agent_of_a_sub_agent_is_the_child_of_that() -> None:
    inner = SubAgent(agent_id="a2", parent_agent_id="a1", tool_call_id="t-inner")
    started = of(SessionStarted, read(of_agent(prompt(0, "deeper"), "a2"), reader=reader_of(inner)))[0]
    assert (started.session_id, started.parent_session_id) == ("s1/agent-a2", "s1/agent-a1")
    assert (started.agent_type, started.title, started.parent_tool_call_id) == ("claude-code", "deeper", "t-inner")


def test_lines_of_a_sub_agents_file_that_do_not_name_it_are_its_own() -> None:
    assert {event.session_id for event in read(prompt(0), reader=reader_of(AGENT))} == {"s1/agent-a1"}


def test_lines_of_a_sub_agent_in_the_file_of_its_session_are_of_its_own_session() -> None:
    events = read(prompt(0), of_agent(prompt(1, "look")), answer(2, text("ok")))
    assert [event.session_id for event in of(MessageAdded, events)] == ["s1", "s1/agent-a1", "s1"]


def test_lines_of_another_agent_in_the_file_of_a_sub_agent_have_not_its_parent() -> None:
    started = of(SessionStarted, read(of_agent(prompt(1, "look"), "a2"), reader=reader_of(AGENT)))[0]
    assert (started.session_id, started.parent_session_id) == ("s1/agent-a2", None)


def test_what_the_meta_file_says_of_a_sub_agent_is_taken_as_far_as_it_can_be_read() -> None:
    said = {"agentType": "Explore", "toolUseId": "t", "parentAgentId": "a0", "description": "look", "finished": True}
    assert sub_agent_of("a1", json_line(said)) == SubAgent(
        agent_id="a1", agent_type="Explore", tool_call_id="t", parent_agent_id="a0", title="look"
    )
    for nothing in (None, b"", b"rubbish", b"[]", b"7", b"\xff", b"[" * 5000, b'{"agentType": 7, "toolUseId": ["t"]}'):
        assert sub_agent_of("a1", nothing) == SubAgent(agent_id="a1")


# Costs

SMALL = {**USAGE, "output_tokens": 1}
OTHER = {"input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 90}
SPENT = cost_state(claude_sonnet_4_5=(0.75, total(USAGE, SMALL)), claude_haiku_4_5=(0.03, OTHER))
PAID = [
    prompt(0),
    answer(1, text("a")),
    answer(2, text("b"), message_id="m2", usage=OTHER, model="claude-haiku-4-5"),
    answer(3, text("c"), message_id="m3", usage=SMALL),
]


def costs(events: Iterable[Event]) -> dict[str | None, float]:
    return {event.model_call_id: event.cost_usd for event in of(ModelCallFinished, events) if event.cost_usd is not None}


def test_the_shares_of_the_calls_add_up_to_what_the_session_has_cost() -> None:
    found = costs(read(*PAID, SPENT))
    assert found["m1"] + found["m3"] == pytest.approx(0.75)
    assert found["m2"] == pytest.approx(0.03)
    # 10 fresh, 30 for reading 300, 25 for writing 20, and 20 or 5 for what was said
    assert found["m1"] / found["m3"] == pytest.approx(85 / 70)


def test_the_price_of_a_call_is_told_after_it_in_the_same_row() -> None:
    before, after = (event for event in of(ModelCallFinished, read(*PAID, SPENT)) if event.model_call_id == "m1")
    assert (before.cost_usd, before.usage) == (None, Usage(input=330, output=4, cache_read=300, cache_write=20))
    assert (after.cost_usd, after.usage) == (pytest.approx(0.75 * 85 / 155), None)
    assert row_id_of(before) == row_id_of(after)
    assert before.event_id != after.event_id


def test_prices_that_are_known_in_advance_are_told_with_the_call_and_not_again() -> None:
    reader = reader_of()
    assert reader.set_prices(last_prices(map(json_line, [*PAID, SPENT]))) == []
    events = read(*PAID, SPENT, reader=reader)
    assert len(of(ModelCallFinished, events)) == 3
    assert sum(costs(events).values()) == pytest.approx(0.78)


def test_a_sub_agents_calls_are_priced_by_what_its_session_says_of_all_together() -> None:
    main, child = reader_of(), reader_of(AGENT)
    own = read(answer(1, text("a")), cost_state(claude_sonnet_4_5=(1.5, total(USAGE, SMALL))), reader=main)
    other = read(of_agent(answer(2, text("b"), message_id="m9", usage=SMALL)), reader=child)
    assert costs(other) == {}
    priced = child.set_prices(main.prices())
    assert {event.session_id for event in priced} == {"s1/agent-a1"}
    assert sum(costs([*own, *priced]).values()) == pytest.approx(1.5)
    assert child.set_prices(main.prices()) == []


def test_an_answer_that_is_open_when_the_cost_is_written_is_told_once_with_it() -> None:
    told = only(ModelCallFinished, read(answer(1, text("a")), cost_state(claude_sonnet_4_5=(0.5, USAGE))))
    assert (told.cost_usd, told.finish_reason) == (pytest.approx(0.5), "end_turn")


def test_a_model_that_is_not_named_among_the_prices_has_no_cost() -> None:
    assert "m2" not in costs(read(*PAID, cost_state(claude_sonnet_4_5=(0.75, total(USAGE, SMALL)))))


def test_the_last_prices_of_a_file_count_and_what_is_none_is_passed_over() -> None:
    later = cost_state(claude_sonnet_4_5=(2.0, {"input_tokens": 100}))
    other = {"type": "summary", "summary": '"cost-state"'}
    lines = [SPENT, later, b'"cost-state"', b'{"cost-state"', b'["cost-state"' * 3000, other, b"\xff"]
    assert last_prices(map(json_line, lines)) == {MODEL: 0.02}
    assert last_prices([]) == {}


# The session and its end


def test_a_session_is_said_with_its_first_prompt_and_again_with_its_model() -> None:
    first, second = of(
        SessionStarted, read(prompt(0), answer(1, text("ok")), prompt(2), answer(3, text("ok"), message_id="m2"))
    )
    assert (first.agent_type, first.provider, first.model) == ("claude-code", "anthropic", None)
    assert (first.project, first.runner, first.title) == ("/home/ada/shop", "claude-code 2.1.331", "Which tests fail?")
    assert first.metadata == {"git_branch": "main", "entrypoint": "cli"}
    assert (first.parent_session_id, first.parent_tool_call_id) == (None, None)
    assert second.model == MODEL


@pytest.mark.parametrize(
    ("lines", "status", "error"),
    [
        ([prompt(0), answer(1, text("ok"))], "completed", None),
        ([prompt(0)], "cancelled", None),
        ([prompt(0), answer(1, call("t1"), stop="tool_use")], "cancelled", None),
        ([prompt(0), answer(1, call("t1"), stop="tool_use"), result(2, "t1")], "cancelled", None),
        ([prompt(0), answer(1, text("ok"), stop=None)], "cancelled", None),
        ([prompt(0), answer(1, text("ok")), prompt(2, "[Request interrupted by user]")], "cancelled", None),
        ([prompt(0), api_error(1)], "error", "API Error: 529"),
        ([prompt(0), api_error(1), prompt(2), answer(3, text("ok"))], "completed", None),
        ([prompt(0), answer(1, text("ok")), prompt(2, "<command-name>/exit</command-name>")], "completed", None),
        ([prompt(0), answer(1, text("ok")), prompt(2, "This is continued.", isCompactSummary=True)], "completed", None),
        ([prompt(0), answer(1, text("ok")), prompt(2, "a reminder", isMeta=True)], "completed", None),
        ([prompt(0), prompt(1, "[Request interrupted by user]"), answer(2, text("ok"))], "completed", None),
        ([prompt(0), answer(1, text("ok"), stop="pause_turn")], "cancelled", None),
        ([result(0, "t9")], "cancelled", None),
    ],
)
def test_a_session_ends_as_its_last_lines_say_when_its_cost_is_written(
    lines: list[Line], status: str, error: str | None
) -> None:
    events = read(*lines, THE_END)
    ended = only(SessionEnded, events)
    assert (ended.status, ended.error_message) == (status, error)
    assert ended is events[-1]
    assert ended.occurred_at > max(event.occurred_at for event in events[:-1])


def test_a_session_that_is_taken_up_again_is_open_until_it_ends_again() -> None:
    reader = reader_of()
    read(prompt(0), answer(1, text("ok")), THE_END, reader=reader)
    assert reader.finish() == []
    again = read(prompt(10), reader=reader, first=3)
    assert only(SessionStarted, again).model == MODEL
    assert of(SessionEnded, again) == []
    ended = only(SessionEnded, read(answer(11, text("ok"), message_id="m2"), THE_END, reader=reader, first=4))
    assert (ended.status, ended.occurred_at) == ("completed", START + timedelta(seconds=11, milliseconds=1))


def test_a_session_without_an_end_is_ended_when_nothing_more_will_come() -> None:
    reader = reader_of()
    assert of(SessionEnded, read(prompt(0), answer(1, text("ok")), reader=reader)) == []
    assert only(SessionEnded, reader.finish()).status == "completed"
    assert reader.finish() == []


def test_a_session_whose_model_had_more_to_say_is_not_ended_for_it() -> None:
    reader = reader_of()
    read(prompt(0), answer(1, call("t1"), stop="tool_use"), reader=reader)
    assert reader.finish() == []


def test_an_api_error_is_a_message_of_no_model_and_no_call() -> None:
    events = read(prompt(0), api_error(1))
    message = of(MessageAdded, events)[1]
    assert (message.content, message.model, message.metadata) == ("API Error: 529", None, {"api_error": True})
    assert of(ModelCallFinished, events) == []
    assert only(SessionStarted, events).model is None


@pytest.mark.parametrize(
    ("model", "flags"),
    [("<synthetic>", {}), (MODEL, {"isApiErrorMessage": True}), ("<synthetic>", {"isApiErrorMessage": True})],
)
def test_an_api_error_says_so_by_its_model_or_by_a_flag(model: str, flags: Line) -> None:
    events = read(prompt(0), answer(1, text("failed"), model=model, **flags), THE_END)
    assert of(ModelCallFinished, events) == []
    assert (only(SessionEnded, events).status, only(SessionStarted, events).model) == ("error", None)


@pytest.mark.parametrize("key", ["summary", "customTitle", "aiTitle", "title"])
@pytest.mark.parametrize("kind", ["summary", "custom-title", "ai-title"])
def test_a_title_is_told_when_it_is_given_and_once(kind: str, key: str) -> None:
    said = {"type": kind, key: "Failing \n tests", "sessionId": SESSION}
    events = read(prompt(0), said, said)
    assert [event.title for event in of(SessionStarted, events)] == ["Which tests fail?", "Failing tests"]


def test_a_title_that_the_user_gave_stands_in_the_session(tmp_path: Path) -> None:
    renamed = {"type": "custom-title", "customTitle": "Shop", "sessionId": SESSION}
    (session,) = rows_of(read(prompt(0), answer(1, text("ok")), renamed, prompt(2)), tmp_path)["sessions"]
    assert session["title"] == "Shop"


@pytest.mark.parametrize("last", ["A", "B", "C", "D", "E", "F"])
def test_of_several_titles_the_last_one_stands(last: str, tmp_path: Path) -> None:
    titles = [{"type": "custom-title", "customTitle": title, "sessionId": SESSION} for title in ("Shop", last)]
    (session,) = rows_of(read(prompt(0), answer(1, text("ok")), *titles), tmp_path)["sessions"]
    assert session["title"] == last


def test_a_title_is_the_beginning_of_what_was_asked_on_one_line() -> None:
    assert title_of(" a\n\tb ") == "a b"
    assert title_of(" \n ") is None
    assert title_of("word " * 1000) == ("word " * 24).rstrip()


# What is not understood, and what is of no use


def test_lines_of_unknown_types_are_kept_as_notes_and_counted() -> None:
    reader = reader_of()
    events = read(line("hologram", 1, shape="cube"), {"no": "type"}, {"type": 7}, reader=reader)
    assert [note.name for note in of(NoteAdded, events)] == ["unknown:hologram", "unknown:", "unknown:"]
    assert of(NoteAdded, events)[0].payload["shape"] == "cube"
    assert reader.not_understood == {"line of type hologram": 1, "line without a type": 2}


def test_lines_that_are_no_objects_are_counted() -> None:
    reader = reader_of()
    assert read(b"", b"rubbish", b"\xff", b'{"type":', b"[" * 10_000, b"[]", b"7", b'"x"', b"null", reader=reader) == []
    assert reader.not_understood == {"line that is not JSON": 5, "line that is no object": 4}


def test_messages_without_content_are_counted() -> None:
    reader = reader_of()
    assert of(MessageAdded, read(prompt(0, []), prompt(1, None), prompt(2, [7]), reader=reader)) == []
    assert reader.not_understood == {"user message without content": 3}


@pytest.mark.parametrize("said", [{}, {"summary": 7}, {"customTitle": ["x"]}, {"aiTitle": ""}])
def test_lines_of_titles_without_one_are_counted(said: Line) -> None:
    reader = reader_of()
    read({"type": "summary", "sessionId": SESSION, **said}, reader=reader)
    assert counted(reader) == 1


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        (line("api-request", 1), "api-request"),
        (line("queue-operation", 1), "queue-operation"),
        ({"type": "last-prompt", "lastPrompt": "x", "sessionId": SESSION}, "last-prompt"),
        (line("attachment", 1, attachment={"type": "skill_listing", "content": "x"}), "attachment:skill_listing"),
        (line("system", 1, subtype="turn_duration"), "system:turn_duration"),
    ],
)
def test_lines_of_no_use_are_counted_as_skipped(said: Line, counted: str) -> None:
    reader = reader_of()
    assert read(said, reader=reader) == []
    assert (reader.skipped, reader.not_understood) == ({counted: 1}, {})


def test_what_claude_code_said_is_kept_as_notes() -> None:
    events = read(
        line("system", 1, subtype="compact_boundary", compactMetadata={"trigger": "manual"}),
        line("system", 2, subtype="api_error", retryAttempt=1),
        line("system", 3, subtype="away_summary", content="x"),
        line("attachment", 4, attachment={"type": "diagnostics", "files": []}),
    )
    notes = of(NoteAdded, events)
    assert [note.name for note in notes] == ["compaction", "retry", "away_summary", "attachment:diagnostics"]
    assert notes[0].payload == {"subtype": "compact_boundary", "compactMetadata": {"trigger": "manual"}}
    assert row_id_of(notes[0]) == "s1:note:u-system-1"
    assert notes[3].payload == {"type": "diagnostics", "files": []}


def test_lines_without_a_time_have_that_of_the_line_before() -> None:
    bare = [{key: value for key, value in prompt(second).items() if key != "timestamp"} for second in (0, 1)]
    first, second = of(MessageAdded, read(bare[0], prompt(5), bare[1]))[::2]
    assert (first.occurred_at, second.occurred_at) == (RECORDED, START + timedelta(seconds=5))


def test_a_time_without_a_zone_is_that_of_utc() -> None:
    (said,) = of(MessageAdded, read({**prompt(0), "timestamp": "2026-01-02T03:04:05"}))
    assert said.occurred_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def test_a_line_that_comes_late_does_not_turn_back_the_clock() -> None:
    events = read(prompt(0), answer(9, text("ok")), line("system", 3, subtype="away_summary"), THE_END)
    assert only(SessionEnded, events).occurred_at > START + timedelta(seconds=9)


def test_what_is_remembered_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("reader._MOST_SESSIONS", "line._MOST_CALLS", "line._MOST_PROMPTS", "session._MOST_UNPRICED"):
        monkeypatch.setattr(f"turso_hooks.transcripts.claude_code.{limit}", 3)
    one, many = reader_of(), reader_of()
    for second in range(9):
        said = [prompt(second), answer(second, call(f"t{second}"), message_id=f"m{second}", stop="tool_use")]
        read(*said, reader=one)
        read(*(of_agent(each, f"a{second}") for each in said), reader=many)
    remembered = one.state.sessions[SESSION]
    assert list(remembered.prompt_ids) == ["p-6", "p-7", "p-8"]
    assert [each.call_id for each in remembered.unpriced] == ["m6", "m7", "m8"]
    assert 0 < len(remembered.calls) <= 3
    assert list(many.state.sessions) == ["s1/agent-a6", "s1/agent-a7", "s1/agent-a8"]


def test_an_answer_of_a_session_that_is_forgotten_is_said_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turso_hooks.transcripts.claude_code.reader._MOST_SESSIONS", 3)
    events = read(answer(0, text("lost?")), *[of_agent(prompt(second), f"a{second}") for second in range(1, 4)])
    assert only(ModelCallFinished, events).model_call_id == "m1"


# Reading on from where another reader ended

CONVERSATION = [
    line("queue-operation", 100, operation="enqueue"),
    prompt(0, "older"),
    answer(1, text("yes"), message_id="m-old"),
    prompt(101),
    line("attachment", 101.1, attachment={"type": "skill_listing"}),
    answer(102, {"type": "thinking", "thinking": "hm", "signature": "c2ln"}, stop=None),
    answer(103, text("I look."), stop=None),
    answer(104, call("t1", command="ls"), stop="tool_use"),
    answer(104.5, call("t2", "Read", path="/x"), stop="tool_use"),
    result(105, "t2", "not granted", is_error=True, toolDenialKind="user-rejected"),
    result(106, "t1", [text("a.py"), text("b.py")], toolUseResult={"durationMs": 3}),
    of_agent(prompt(107, "look"), "a7"),
    of_agent(answer(108, text("seen"), message_id="m-agent"), "a7"),
    answer(109, text("Done."), message_id="m2", usage=SMALL),
    {"type": "ai-title", "aiTitle": "Tests", "sessionId": SESSION},
    line("system", 110, subtype="compact_boundary"),
    cost_state(claude_sonnet_4_5=(0.5, total(USAGE, USAGE, SMALL))),
    prompt(111, "More?"),
    api_error(112),
    line("hologram", 113),
    prompt(114, "Again?"),
    answer(115, text("Better."), message_id="m4"),
    answer(115, text("Better."), message_id="m4"),
    prompt(116, [text("[Request interrupted by user]")]),
    cost_state(claude_sonnet_4_5=(0.7, total(USAGE, USAGE, SMALL, USAGE))),
]


def in_two(cut: int, lines: Sequence[Line | bytes] = CONVERSATION, *, flushes: bool = True) -> list[Event]:
    first = reader_of()
    events = [event for number, said in enumerate(lines[:cut]) for event in first.read(json_line(said), number)]
    if flushes:
        events += first.flush()
    second = reader_of(state=kept(first.state))
    return events + read(*lines[cut:], reader=second, first=cut)


def test_a_transcript_that_is_read_in_two_halves_gives_the_same_rows_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = rows_of(read(*CONVERSATION), tmp_path / "whole")
    assert [len(whole[table]) for table in TABLES] == [2, 14, 2, 4, 3]
    for cut in range(len(CONVERSATION) + 1):
        assert rows_of(in_two(cut), tmp_path / str(cut)) == whole, cut


def test_an_answer_that_was_not_said_yet_when_the_state_was_kept_is_the_same_text() -> None:
    lines = [prompt(0), answer(1, text("All pass."))]
    assert of(MessageAdded, in_two(2, lines, flushes=False))[-1].content == "All pass."


def test_a_line_without_blocks_that_comes_later_leaves_the_text_as_it_is() -> None:
    lines = [answer(1, text("All pass."), stop=None), answer(2)]
    assert of(MessageAdded, in_two(1, lines))[-1].content == "All pass."


# Whatever is in the lines

EVERYTHING = [*CONVERSATION, SPENT, api_error(120), *forked()]
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    2**70,
    0.5,
    "",
    "x",
    "\0",
    "\ud800",
    "a/../b",
    "<synthetic>",
    "tool_result",
    "2026-13-99T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "2026-01-02T00:00:00+00:00:30",
    "2026-01-02",
    [],
    [[]],
    [None],
    ["x", 7],
    {},
    {"type": {}},
    [{"type": ["text"]}],
    [{"type": "text"}, {"type": "tool_use", "id": 7}, {"type": "tool_result", "tool_use_id": []}],
    10**400,
    1e308,
    "9999-12-31T23:59:59.999999Z",
]
GONE = object()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, child in inside for found in [(*path, key), *places(child, (*path, key))]]


def changed(said: Line, place: int, value: Any) -> Line:
    """The line with another value, or none, somewhere in it."""
    copy: Line = json.loads(json.dumps(said))
    every = places(copy)
    *above, key = every[place % len(every)]
    holder: Any = copy
    for step in above:
        holder = holder[step]
    if value is not GONE:
        holder[key] = value
    else:
        del holder[key]
    return copy


def check(lines: Sequence[bytes], reader: Reader) -> list[Event]:
    """Read them with nothing raised, all of it kept, and no line passed over in silence; the events.

    A line is told in events, counted, or a part of a message of which more may come. That a time was noted is no more.
    """
    events: list[Event] = []
    for position, said in enumerate(lines):
        before = (lines_of_answers(reader), counted(reader))
        repeats = is_repeated(said, reader)
        found = reader.read(said, position)
        events += found
        after = (lines_of_answers(reader), counted(reader))
        assert found or after != before or repeats, said
    for rest in (reader.flush(), reader.finish(), reader.set_prices({MODEL: 1e-6}), reader.flush()):
        events += rest
    for event in events:
        row_of(decode(encode_marked(event)))
    assert kept(reader.state) == kept(kept(reader.state))
    return events


def lines_of_answers(reader: Reader) -> dict[str, tuple[str, list[str]]]:
    answers = {name: session.message for name, session in reader.state.sessions.items()}
    return {name: (said.message_id, list(said.lines)) for name, said in answers.items() if said}


def counted(reader: Reader) -> int:
    return reader.not_understood.total() + reader.skipped.total()


def is_repeated(said: bytes, reader: Reader) -> bool:
    """Whether a line may say nothing: prices or a title, which may be known, or a part of a message that was there before."""
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    known = {uuid for session in reader.state.sessions.values() if session.message for uuid in session.message.lines}
    uuid = found.get("uuid")
    return found.get("type") in ("cost-state", "summary", "ai-title", "custom-title") or (
        isinstance(uuid, str) and uuid in known
    )


readers = st.sampled_from([None, AGENT, SubAgent(agent_id="a7", parent_agent_id="\ud800")]).map(reader_of)
numbers = st.integers(0, len(EVERYTHING) - 1)


@given(st.lists(numbers, max_size=40), readers)
@settings(max_examples=60)
def test_lines_in_any_order_left_out_or_repeated_raise_nothing(order: list[int], reader: Reader) -> None:
    check([json_line(EVERYTHING[number]) for number in order], reader)


@given(st.data(), readers)
@settings(max_examples=100)
def test_values_of_other_types_raise_nothing(data: st.DataObject, reader: Reader) -> None:
    lines: list[Line] = list(EVERYTHING)
    for number, place, value in data.draw(
        st.lists(st.tuples(numbers, st.integers(0, 100), st.sampled_from([GONE, *ODD])), max_size=30)
    ):
        if lines[number]:
            lines[number] = changed(lines[number], place, value)
    check([json_line(said) for said in lines], reader)


@pytest.mark.parametrize(
    "value",
    [pytest.param(value, marks=pytest.mark.slow if number % 4 else ()) for number, value in enumerate([GONE, *ODD])],
    ids=lambda value: "gone" if value is GONE else repr(value)[:30],
)
def test_any_value_of_any_line_may_be_another(value: Any) -> None:
    of_each_form = {str(places(said)): number for number, said in enumerate(EVERYTHING)}
    for number in of_each_form.values():
        said = EVERYTHING[number]
        for place in range(len(places(said))):
            near = [json_line(one) for one in EVERYTHING[max(number - 2, 0) : number + 2]]
            check([*near[:-1], json_line(changed(said, place, value)), near[-1]], reader_of())


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(-1e9, 1e9) | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=8,
)
kinds = st.sampled_from([*dict.fromkeys(said["type"] for said in EVERYTHING), "progress", "other"])


@given(st.lists(st.binary(max_size=60) | anything.map(json_line), max_size=10), kinds, anything, anything)
@settings(max_examples=100)
@example([b"[" * 5000, b'{"a":' * 5000, b"\xff", b"\0", b"{}", b'{"type":"user"}'], "user", "x", None)
def test_anything_else_in_the_file_raises_nothing(rubbish: list[bytes], kind: str, content: Any, other: Any) -> None:
    message = {"id": other, "content": content, "usage": other, "model": content, "stop_reason": other}
    made = {"type": kind, "message": message, "attachment": content, "modelUsage": content, "title": other, "uuid": content}
    check([*rubbish, json_line(made), json_line(made)], reader_of())


@pytest.mark.parametrize("depth", [10, 150, 900, 2000, 50_000])
@pytest.mark.parametrize("around", [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_raises_nothing(around: tuple[str, str], depth: int) -> None:
    nested = f"{around[0] * depth}1{around[1] * depth}"
    lines = [
        f'{{"type": "assistant", "message": {{"content": [{{"type": "tool_use", "id": "t", "input": {nested}}}]}}}}',
        f'{{"type": "user", "message": {{"content": [{{"type": "tool_result", "tool_use_id": "t", "content": {nested}}}]}}}}',
        f'{{"type": "other", "payload": {nested}}}',
        f'{{"type": {nested}, "message": {nested}}}',
    ]
    check([said.encode() for said in lines], reader_of())


TOO_MUCH = 10**400
"""JSON has it, and no float."""


@pytest.mark.parametrize(
    "said",
    [
        answer(1, text("a"), usage={**USAGE, "output_tokens": TOO_MUCH}),
        cost_state(claude_sonnet_4_5=(TOO_MUCH, USAGE)),
        cost_state(claude_sonnet_4_5=(1, {**USAGE, "input_tokens": TOO_MUCH})),
    ],
)
def test_numbers_beyond_all_floats_raise_nothing(said: Line) -> None:
    check([json_line(said)], reader_of())


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999-23:59"])
@pytest.mark.parametrize("lines", [[answer(1, text("a"))], [api_error(1), THE_END], [prompt(1), THE_END]])
def test_the_last_moment_there_is_raises_nothing(lines: list[Line], at: str) -> None:
    check([json_line({**said, "timestamp": at}) for said in lines], reader_of())


def test_a_cost_beyond_reason_does_not_spoil_the_state() -> None:
    reader = reader_of()
    read(cost_state(claude_sonnet_4_5=(1e308, {"cache_read_input_tokens": 1})), reader=reader)
    assert kept(reader.state).sessions


def test_a_message_with_half_an_emoji_is_read() -> None:
    assert len(of(MessageAdded, read(prompt(0, "cut here: \ud83d")))) == 1
