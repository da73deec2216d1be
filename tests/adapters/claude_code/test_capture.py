"""From what waits in an inbox, and the transcripts it names, to events: with real files, and a list for a recorder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from turso_hooks.adapters.claude_code import inbox as inbox_module
from turso_hooks.adapters.claude_code.capture import REFUSED, UNREADABLE, Capture
from turso_hooks.adapters.claude_code.following import FileRead, Follower
from turso_hooks.adapters.claude_code.inbox import Inbox
from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    encode,
)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
AT_NS = int(AT.timestamp()) * 10**9
TOOL = {"tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": "t1"}


class World:
    """An inbox and a transcript, and what a capture has said of them."""

    def __init__(self, folder: Path) -> None:
        self.inbox = Inbox(str(folder / "state"), "file:/agents.db")
        self.transcript = folder / "projects" / "shop" / "s1.jsonl"
        self.transcript.parent.mkdir(parents=True)
        self.files: dict[str, FileRead] = {}
        self.events: list[Event] = []
        self.counts: Counter[str] = Counter()
        self.capture = self.captured_by(self.events.append)

    def captured_by(self, emit: Callable[[Event], object]) -> Capture:
        def count(reason: str, number: int) -> None:
            self.counts[reason] += number

        self.follower = Follower(emit, self.files)
        return Capture(self.inbox, self.follower, emit, count)

    def tell(self, name: str, **said: Any) -> None:
        place = {"session_id": "s1", "transcript_path": str(self.transcript), "cwd": "/home/ada/shop"}
        self.tell_bytes(json.dumps({**place, "hook_event_name": name, **said}).encode())

    def tell_bytes(self, said: bytes, at_ns: int = AT_NS) -> None:
        self.inbox.append(said, at_ns)

    def write(self, *lines: bytes) -> None:
        with self.transcript.open("ab") as file:
            file.writelines(lines)

    def poll(self) -> tuple[int, list[Event]]:
        """How many lines there were, and the events of this time."""
        before = len(self.events)
        return self.capture.poll(), self.events[before:]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def line(kind: str, second: int, **said: Any) -> bytes:
    at = f"2026-01-02T03:04:{second:02d}.000Z"
    return json.dumps({"type": kind, "timestamp": at, "uuid": f"u{second}", "sessionId": "s1", **said}).encode() + b"\n"


def answer(second: int, words: str, message_id: str) -> bytes:
    message = {
        "id": message_id,
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": words}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 4},
    }
    return line("assistant", second, message=message)


def kinds(events: list[Event]) -> list[type]:
    return [type(event) for event in events]


def words(events: list[Event]) -> list[Any]:
    return [event.content for event in events if isinstance(event, MessageAdded)]


# Hooks


def test_what_hooks_were_told_are_events_in_their_order_and_of_their_time(world: World) -> None:
    world.tell("SessionStart", model="claude-sonnet-4-5")
    world.tell("UserPromptSubmit", prompt_id="p1", prompt="Which tests fail?")
    world.tell("PreToolUse", **TOOL)
    world.tell("PostToolUse", tool_response={"stdout": "a"}, **TOOL)
    world.tell("PermissionRequest", **TOOL)
    number, events = world.poll()
    assert number == 5
    assert kinds(events) == [SessionStarted, MessageAdded, ToolCallStarted, ToolCallFinished, NoteAdded]
    assert {(event.session_id, event.occurred_at) for event in events} == {("s1", AT)}
    assert world.counts == {}


def test_the_second_time_there_is_nothing_new(world: World) -> None:
    world.write(answer(1, "hi", "m1"))
    world.tell("UserPromptSubmit", prompt_id="p1", prompt="hello")
    world.tell("Stop")
    assert world.poll()[0] == 3
    assert world.poll() == (0, [])
    assert world.poll() == (0, [])


def test_nothing_at_all_is_nothing(world: World) -> None:
    assert world.poll() == (0, [])
    assert world.counts == {}


def test_what_was_not_all_recorded_is_taken_again_and_makes_the_same_events(world: World) -> None:
    class Killed(BaseException):
        pass

    def dies(event: Event) -> None:
        world.events.append(event)
        if isinstance(event, ToolCallStarted):
            raise Killed

    world.tell("UserPromptSubmit", prompt_id="p1", prompt="hello")
    world.tell("PreToolUse", **TOOL)
    world.tell("PostToolUse", **TOOL)
    with pytest.raises(Killed):
        world.captured_by(dies).poll()
    first = list(world.events)
    number, again = world.poll()
    assert (len(first), number, len(again)) == (2, 3, 3)
    assert [encode(event) for event in again[:2]] == [encode(event) for event in first]


# What is not understood


@pytest.mark.parametrize(
    "said",
    [
        b"garbage",
        b"\xff\xfe",
        b'{"session_id": "s1"}',
        b'{"hook_event_name": "Stop"}',
        b'{"session_id": 7, "hook_event_name": "Stop"}',
        b'{"session_id": "s1", "hook_event_name": null}',
        b"[]",
        b"null",
        b'"Stop"',
        b"[" * 5000,
        b'{"session_id": "s1", "hook_event_name": "Stop", "deep": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"session_id": "s1"}}\n{"at": 1, "said": {"session_id": "s1"}',
    ],
    ids=lambda said: said[:30].decode(errors="replace"),
)
def test_what_is_not_what_a_hook_is_told_is_counted_and_costs_nothing_else(world: World, said: bytes) -> None:
    world.tell("UserPromptSubmit", prompt_id="p1", prompt="before")
    world.tell_bytes(said)
    world.tell("UserPromptSubmit", prompt_id="p2", prompt="after")
    number, events = world.poll()
    assert (number, words(events)) == (3, ["before", "after"])
    assert world.counts == {UNREADABLE: 1}
    assert world.poll() == (0, [])


def test_half_an_emoji_is_taken_as_it_is_in_a_transcript(world: World) -> None:
    world.write(line("user", 1, promptId="p1", message={"role": "user", "content": "half \ud83d"}))
    world.tell("Stop")
    world.tell("UserPromptSubmit", prompt_id="p2", prompt="half \ud83d")
    assert (words(world.poll()[1]), world.counts) == (["half \ud83d"] * 2, {})


@pytest.mark.parametrize("at_ns", [10**30, -(10**30), 10**21])
def test_a_time_that_is_none_is_counted(world: World, at_ns: int) -> None:
    world.tell_bytes(b'{"session_id": "s1", "hook_event_name": "UserPromptSubmit", "prompt_id": "p"}', at_ns)
    assert world.poll() == (1, [])
    assert world.counts == {UNREADABLE: 1}


def test_a_torn_line_is_counted(world: World) -> None:
    world.tell("UserPromptSubmit", prompt_id="p1", prompt="before")
    with Path(world.inbox.path).open("ab") as file:
        file.write(b'\n{"at":1,"said":{"session_id":"s1","hook_ev')
    world.tell("UserPromptSubmit", prompt_id="p2", prompt="after")
    number, events = world.poll()
    assert (number, words(events), world.counts) == (3, ["before", "after"], {UNREADABLE: 1})


def test_what_the_inbox_refused_is_counted_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "MAX_BYTES", 400)
    world.tell("UserPromptSubmit", prompt_id="p1", prompt="kept")
    for _ in range(3):
        world.tell("UserPromptSubmit", prompt_id="p2", prompt="x" * 400)
    number, events = world.poll()
    assert (number, words(events), world.counts) == (1, ["kept"], {REFUSED: 3})
    world.poll()
    assert world.counts == {REFUSED: 3}


# Transcripts


@pytest.mark.parametrize("end", ["Stop", "SessionEnd", "SubagentStop", "StopFailure"])
def test_the_transcript_of_a_turn_that_is_over_is_read(world: World, end: str) -> None:
    world.write(line("user", 1, promptId="p1", message={"role": "user", "content": "hello"}), answer(2, "hi", "m1"))
    world.tell(end)
    number, events = world.poll()
    assert number == 3
    assert words(events) == ["hello", "hi"]
    (call,) = [event for event in events if isinstance(event, ModelCallFinished)]
    assert (call.model, call.usage.output if call.usage else None) == ("claude-sonnet-4-5", 4)
    assert (SessionEnded in kinds(events)) == (end == "SessionEnd")


@pytest.mark.parametrize("event", ["SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Notification"])
def test_the_transcript_of_a_turn_that_goes_on_is_left_alone(world: World, event: str) -> None:
    world.write(answer(1, "hi", "m1"))
    world.tell(event, prompt_id="p1", prompt="hello", **TOOL)
    number, events = world.poll()
    assert (number, world.follower.found.files) == (1, 0)
    assert "hi" not in words(events)


def test_a_transcript_that_grows_after_its_turn_is_read_on_without_another_hook(world: World) -> None:
    world.write(answer(1, "one", "m1"))
    world.tell("Stop")
    assert words(world.poll()[1]) == ["one"]
    world.write(answer(2, "two", "m2"))
    number, events = world.poll()
    assert (number, words(events)) == (1, ["two"])
    assert world.poll() == (0, [])


def test_a_transcript_that_comes_after_its_hook_is_read_when_it_is_there(world: World) -> None:
    world.tell("Stop")
    assert world.poll() == (1, [])
    assert list(world.follower.found.unreadable) == [str(world.transcript)]
    world.write(answer(1, "hi", "m1"))
    assert words(world.poll()[1]) == ["hi"]


def test_the_transcripts_of_sub_agents_are_read_with_it(world: World) -> None:
    world.write(answer(1, "asking", "m1"))
    folder = world.transcript.with_suffix("") / "subagents"
    folder.mkdir(parents=True)
    (folder / "agent-a1.jsonl").write_bytes(answer(2, "the child's", "m2"))
    world.tell("SubagentStop", agent_id="a1")
    assert {event.session_id for event in world.poll()[1]} == {"s1", "s1/agent-a1"}


def test_each_session_has_its_transcript(world: World) -> None:
    other = world.transcript.with_name("s2.jsonl")
    world.write(answer(1, "one", "m1"))
    other.write_bytes(answer(1, "two", "m2").replace(b'"s1"', b'"s2"'))
    world.tell("Stop")
    world.tell("Stop", session_id="s2", transcript_path=str(other))
    world.tell("Stop")
    number, events = world.poll()
    assert (number, words(events)) == (5, ["one", "two"])


@pytest.mark.parametrize("path", [None, 7, "", "/etc/passwd", "s1.json", ["s1.jsonl"], {}])
def test_what_is_no_path_of_a_transcript_is_not_opened(world: World, path: Any) -> None:
    world.tell("Stop", transcript_path=path)
    assert world.poll() == (1, [])
    assert (world.follower.found.unreadable, world.counts) == ({}, {})


@pytest.mark.parametrize("path", ["/nowhere/s1.jsonl", "s\0.jsonl", "x" * 5000 + ".jsonl", "\ud800.jsonl", "~/.jsonl"])
def test_a_transcript_that_cannot_be_opened_costs_nothing_else(world: World, path: str) -> None:
    world.write(answer(1, "hi", "m1"))
    world.tell("Stop", transcript_path=path)
    world.tell("Stop")
    assert words(world.poll()[1]) == ["hi"]
    world.write(answer(2, "more", "m2"))
    assert words(world.poll()[1]) == ["more"]
