from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from turso_hooks import ConversationLogger, MessageAdded, PluginManager, Recorder, Usage, hookimpl
from turso_hooks.events import Event

Rows = Callable[..., list[tuple[object, ...]]]


@pytest.fixture
def log(recorder: Recorder) -> ConversationLogger:
    manager = PluginManager()
    manager.register(recorder)
    return ConversationLogger(agent_type="planner", model="m", provider="p", manager=manager)


def test_a_session_is_logged_from_start_to_end(log: ConversationLogger, recorder: Recorder, rows: Rows) -> None:
    with log.session(title="t") as session_id:
        log.log_message(session_id, "user", "hello", token_count=3)
        log.log_tool_execution(session_id, "bash", {"command": "ls"}, "files", duration_ms=12)
        log.log_note(session_id, "compaction", {"kept": 3})
        with log.model_call(session_id) as call:
            call.usage, call.finish_reason, call.cost_usd = Usage(input=10, output=2), "stop", 0.01
    assert recorder.flush(30).is_complete
    assert rows("SELECT id, agent_type, model, provider, title, status FROM sessions") == [
        (session_id, "planner", "m", "p", "t", "completed")
    ]
    assert rows("SELECT role, content, token_count FROM messages") == [("user", "hello", 3)]
    assert rows("SELECT tool_name, input, output, status, duration_ms FROM tool_executions") == [
        ("bash", '{"command":"ls"}', '"files"', "completed", 12)
    ]
    assert rows("SELECT name, payload FROM notes") == [("compaction", '{"kept":3}')]
    assert rows("SELECT model, input_tokens, output_tokens, finish_reason, cost_usd, status FROM model_calls") == [
        ("m", 10, 2, "stop", 0.01, "completed")
    ]


def test_what_goes_wrong_is_recorded_and_goes_on_its_way(log: ConversationLogger, recorder: Recorder, rows: Rows) -> None:
    with pytest.raises(ValueError, match="boom"), log.session("s"), log.tool_call("s", "bash", tool_call_id="c"):
        raise ValueError("boom")
    with pytest.raises(ValueError, match="quota"), log.model_call("s", model_call_id="m"):
        raise ValueError("quota")
    assert recorder.flush(30).is_complete
    assert rows("SELECT status, error FROM tool_executions") == [("error", "ValueError: boom")]
    assert rows("SELECT status, error FROM model_calls") == [("error", "ValueError: quota")]
    assert rows("SELECT status, error_message FROM sessions") == [("error", "ValueError: boom")]


def test_being_cancelled_is_no_error(log: ConversationLogger, recorder: Recorder, rows: Rows) -> None:
    async def run() -> None:
        with log.session("s"), log.tool_call("s", "sleep"):
            await asyncio.sleep(60)

    async def cancel() -> None:
        task = asyncio.create_task(run())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert recorder.flush(30).is_complete
    assert rows("SELECT status FROM sessions UNION ALL SELECT status FROM tool_executions") == [("cancelled",), ("cancelled",)]


def test_an_exception_whose_text_raises_is_named_all_the_same(log: ConversationLogger, recorder: Recorder, rows: Rows) -> None:
    class Mute(Exception):  # named for what it is
        def __str__(self) -> str:
            raise RuntimeError

    with pytest.raises(Mute), log.tool_call("s", "bash"):
        raise Mute
    assert recorder.flush(30).is_complete
    assert rows("SELECT error FROM tool_executions") == [("Mute",)]


def test_it_emits_the_hooks_and_nothing_else(log: ConversationLogger, recorder: Recorder) -> None:
    heard: list[Event] = []

    class Listens:
        @hookimpl
        def message_added(self, event: MessageAdded) -> None:
            heard.append(event)

    manager = PluginManager()
    manager.register(Listens())
    ConversationLogger(manager=manager).log_message("s", "user", json.dumps("x"))
    assert [type(event) for event in heard] == [MessageAdded]
