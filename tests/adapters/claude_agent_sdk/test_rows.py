"""What is in the database is what the model server sent and received, and what the agent got is what the SDK gives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.model import MODEL, Answered, ModelServer

Table = Callable[..., list[dict[str, Any]]]


def content_of(answer: Answered) -> Any:
    """How a message of the model's is kept: its text, or its parts."""
    parts = [part_of(block) for block in answer.blocks]
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def part_of(block: dict[str, Any]) -> dict[str, Any]:
    if block["type"] == "thinking":
        return {"type": "reasoning", "text": block["thinking"], "signature": block["signature"]}
    if block["type"] == "tool_use":
        return {"type": "tool_call", "tool_call_id": block["id"], "tool_name": block["name"], "input": block["input"]}
    return block


def results_received(server: ModelServer) -> dict[str, dict[str, Any]]:
    """What the model was told that its tools had answered, by the id of the call."""
    return {
        block["tool_use_id"]: block
        for answer in server.answered
        for message in answer.asked["messages"]
        if message["role"] == "user" and isinstance(message["content"], list)
        for block in message["content"]
        if block["type"] == "tool_result"
    }


def compared(server: ModelServer, table: Table) -> None:
    """Messages, tool calls and model calls, field by field."""
    messages = {row["id"].split(":message:")[1]: row for row in table("messages")}
    calls = {row["model_call_id"]: row for row in table("model_calls")}
    tools = {row["tool_call_id"]: row for row in table("tool_executions")}
    sent = server.whole()
    assert set(calls) == {answer.message_id for answer in sent if answer.script}
    for answer in sent:
        if not answer.script:
            continue
        message, call = messages[answer.message_id], calls[answer.message_id]
        kept = json.loads(message["parts"]) if message["parts"] else message["content"]
        assert (message["role"], message["model"], kept) == ("assistant", MODEL, content_of(answer))
        usage = answer.usage
        assert call["model"] == answer.asked["model"]
        assert (
            call["input_tokens"]
            == usage["input_tokens"] + usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
        )
        assert (call["output_tokens"], call["cache_read_tokens"]) == (usage["output_tokens"], usage["cache_read_input_tokens"])
        assert call["finish_reason"] == ("tool_use" if any(b["type"] == "tool_use" for b in answer.blocks) else "end_turn")
        for block in answer.blocks:
            if block["type"] == "tool_use":
                row = tools.pop(block["id"])
                assert (row["tool_name"], json.loads(row["input"])) == (block["name"], block["input"])
    assert tools == {}
    for call_id, block in results_received(server).items():
        assert messages[call_id]["role"] == "tool"
        said = block["content"] if isinstance(block["content"], str) else "\n".join(part["text"] for part in block["content"])
        assert said.startswith(messages[call_id]["content"].rstrip()) or messages[call_id]["content"] in said


@pytest.mark.parametrize(
    ("way", "backend"),
    [
        ("query", "asyncio"),
        ("client", "trio"),
        pytest.param("query", "trio", marks=pytest.mark.slow),
        pytest.param("client", "asyncio", marks=pytest.mark.slow),
    ],
)
def test_a_plain_answer_is_kept_with_its_thinking_tokens_time_and_cost(
    agents: Any, model_server: ModelServer, table: Table, way: str, backend: str
) -> None:
    agents.run("Good morning! [plain]", way=way, backend=backend)
    compared(model_server, table)
    (session,) = table("sessions")
    assert (session["agent_type"], session["model"], session["provider"]) == ("claude-code", MODEL, "anthropic")
    assert (session["project"], session["status"], session["title"]) == (
        str(agents.project),
        "completed",
        "Good morning! [plain]",
    )
    assert session["runner"].startswith("claude-code 2.")
    prompt, answer = table("messages")
    assert (prompt["role"], prompt["content"]) == ("user", "Good morning! [plain]")
    (call,) = table("model_calls")
    assert call["duration_ms"] >= call["time_to_first_token_ms"] >= 0
    notes = {note["name"]: json.loads(note["payload"]) for note in table("notes")}
    assert notes["sdk_session"]["sdk"].startswith("claude-agent-sdk 0.")
    assert call["cost_usd"] == pytest.approx(notes["result"]["total_cost_usd"])
    assert answer["token_count"] in {None, call["output_tokens"]}


@pytest.mark.slow
def test_two_tool_calls_in_one_turn_are_one_message_and_two_calls(agents: Any, model_server: ModelServer, table: Table) -> None:
    agents.run("[two]")
    compared(model_server, table)
    assert [row["role"] for row in table("messages")] == ["user", "assistant", "tool", "tool", "assistant"]
    calls = table("tool_executions")
    assert [(row["status"], json.loads(row["output"])) for row in calls] == [("completed", "one"), ("completed", "two")]
    assert all(row["duration_ms"] is not None and row["message_id"] for row in calls)
    total = next(json.loads(note["payload"])["total_cost_usd"] for note in table("notes") if note["name"] == "result")
    assert sum(row["cost_usd"] for row in table("model_calls")) == pytest.approx(total)


@pytest.mark.slow
def test_a_tool_that_fails_is_an_error_with_its_output(agents: Any, model_server: ModelServer, table: Table) -> None:
    agents.run("[failing]", options={"allowed_tools": ["Bash"]})
    compared(model_server, table)
    (call,) = table("tool_executions")
    assert (call["status"], call["output"]) == ("error", None)
    assert "Exit code 3" in call["error"]
    assert "oops" in call["error"]
    assert table("sessions")[0]["status"] == "completed"


@pytest.mark.slow
def test_a_tool_that_is_denied_is_an_error_and_a_note(agents: Any, model_server: ModelServer, table: Table) -> None:
    agents.run("[denied]")
    compared(model_server, table)
    (call,) = table("tool_executions")
    assert call["status"] == "error"
    (note,) = [json.loads(note["payload"]) for note in table("notes") if note["name"] == "permission_denied"]
    assert (note["tool_call_id"], note["tool_name"]) == (call["tool_call_id"], "Bash")


@pytest.mark.parametrize(
    "script", [pytest.param("parent", marks=pytest.mark.slow), pytest.param("background", marks=pytest.mark.slow), "nested"]
)
def test_a_sub_agent_is_a_session_under_the_call_that_started_it(
    agents: Any, model_server: ModelServer, table: Table, script: str
) -> None:
    agents.run(f"[{script}]")
    compared(model_server, table)
    sessions = {row["id"]: row for row in table("sessions")}
    calls = {row["tool_call_id"]: row for row in table("tool_executions")}
    children = [row for row in sessions.values() if row["parent_session_id"]]
    assert len(children) == (2 if script == "nested" else 1)
    for child in children:
        started_by = calls[child["parent_tool_call_id"]]
        assert (started_by["tool_name"], started_by["session_id"]) == ("Agent", child["parent_session_id"])
        assert (child["agent_type"], child["status"], child["model"]) == ("general-purpose", "completed", MODEL)
        prompts = [row for row in table("messages") if row["session_id"] == child["id"] and row["role"] == "user"]
        assert [row["content"] for row in prompts] == [json.loads(started_by["input"])["prompt"]]
    total = [json.loads(note["payload"])["total_cost_usd"] for note in table("notes") if note["name"] == "result"][-1]
    assert sum(row["cost_usd"] for row in table("model_calls")) == pytest.approx(total)


@pytest.mark.slow
def test_a_conversation_goes_on_when_it_is_resumed_and_a_fork_is_another(
    agents: Any, model_server: ModelServer, table: Table
) -> None:
    agents.run("[plain]")
    (first,) = table("sessions")
    agents.run("[two]", options={"resume": first["id"]})
    assert [row["id"] for row in table("sessions")] == [first["id"]]
    assert [row["role"] for row in table("messages")].count("user") == 2
    compared(model_server, table)
    agents.run("[plain]", options={"resume": first["id"], "fork_session": True})
    (fork,) = [row for row in table("sessions") if row["id"] != first["id"]]
    notes = [json.loads(note["payload"]) for note in table("notes") if note["session_id"] == fork["id"]]
    assert next(note for note in notes if "sdk" in note)["forked_from"] == first["id"]
    compared(model_server, table)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", pytest.param("trio", marks=pytest.mark.slow)])
def test_an_interrupt_in_the_middle_keeps_what_was_said_and_the_conversation_goes_on(
    agents: Any, model_server: ModelServer, table: Table, backend: str
) -> None:
    model_server.pause_s = 0.02
    process = agents.start("[slow]", "[plain]", way="interrupt", backend=backend)
    while not model_server.answered:
        assert process.poll() is None
    process.stdin.write("\n")
    process.stdin.flush()
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    rows = table("messages")
    assert next(row["content"] for row in rows if row["role"] == "user") == "[slow]"
    assert any("interrupted by user" in (row["content"] or "") for row in rows)
    assert any("Hello there." in (row["content"] or "") for row in rows)
    assert "ResultMessage" in out
    assert table("sessions")[0]["status"] == "completed"


@pytest.mark.parametrize("backend", ["asyncio", pytest.param("trio", marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", ["break", "cancel"])
def test_a_stream_that_is_not_read_to_its_end_ends_the_session_as_cancelled(
    agents: Any, table: Table, way: str, backend: str
) -> None:
    agents.run("[two]", way=way, backend=backend)
    (session,) = table("sessions")
    assert session["status"] == "cancelled"


@pytest.mark.slow
def test_a_server_that_is_overloaded_and_recovers_costs_nothing_but_time(
    agents: Any, model_server: ModelServer, table: Table
) -> None:
    model_server.refusals["plain"] = [529, 529]
    agents.run("[plain]")
    compared(model_server, table)
    assert len(table("model_calls")) == 1


@pytest.mark.slow
def test_a_request_that_is_refused_ends_the_session_as_an_error_and_raises_what_the_sdk_raises(
    agents: Any, model_server: ModelServer, table: Table
) -> None:
    model_server.refusals["plain"] = [400] * 50
    bare = agents.run("[plain]", is_logged=False)
    logged = agents.run("[plain]")
    assert bare == logged
    (session,) = table("sessions")
    assert session["status"] == "error"
    assert "400" in session["error_message"]
    assert table("model_calls") == []


@pytest.mark.parametrize(
    ("script", "way"),
    [
        pytest.param("plain", "client", marks=pytest.mark.slow),
        pytest.param("two", "query", marks=pytest.mark.slow),
        ("denied", "client"),
        pytest.param("parent", "query", marks=pytest.mark.slow),
    ],
)
def test_the_agent_gets_what_the_sdk_yields_in_order_and_its_own_hooks_hear_what_they_heard(
    agents: Any, script: str, way: str
) -> None:
    orders: dict[str, Any] = {"way": way, "hooks": ["PreToolUse", "PostToolUse", "Stop"]}
    bare, logged = (agents.run(f"[{script}]", is_logged=is_logged, **orders) for is_logged in (False, True))
    for is_hook in (False, True):  # they come on two ways, neither of which waits for the other
        assert of_kind(bare, is_hook=is_hook) == of_kind(logged, is_hook=is_hook)


def of_kind(got: list[list[Any]], *, is_hook: bool) -> list[list[Any]]:
    return [line for line in got if (line[0] == "hook") == is_hook]


@pytest.mark.slow
def test_who_asks_for_partial_messages_gets_them(agents: Any) -> None:
    options = {"include_partial_messages": True}
    bare = agents.run("[plain]", is_logged=False, options=options)
    assert agents.run("[plain]", options=options) == bare
    assert any(kind == "StreamEvent" for kind, _, _ in bare)


def test_a_stream_that_is_only_observed_is_logged_too(agents: Any, model_server: ModelServer, table: Table) -> None:
    agents.run("[two]", way="observe")
    assert [row["role"] for row in table("messages")] == ["user", "assistant", "tool", "tool", "assistant"]
    assert {row["model_call_id"] for row in table("model_calls")} == {answer.message_id for answer in model_server.whole("two")}


@pytest.mark.slow
def test_thirty_sessions_at_once_are_kept_each_with_what_is_its_own(
    agents: Any, model_server: ModelServer, table: Table
) -> None:
    scripts = ["plain", "two", "parent"] * 10
    processes = [agents.start(f"[{script}] number {n}") for n, script in enumerate(scripts)]
    for process in processes:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    agents.turso_hooks("drain")  # what somebody had no time for at exit: all of them end at once
    compared(model_server, table)
    sessions = table("sessions")
    assert sorted(row["title"] for row in sessions if not row["parent_session_id"]) == sorted(
        f"[{script}] number {n}" for n, script in enumerate(scripts)
    )
    assert len(sessions) == 40
    messages = {"plain": 2, "two": 5, "parent": 4}
    for row in sessions:
        if row["title"] and row["title"].startswith("["):
            mine = [message for message in table("messages") if message["session_id"] == row["id"]]
            assert len(mine) == messages[row["title"][1:].split("]")[0]]


@pytest.mark.slow
def test_the_example_asks_and_prints_and_is_logged(agents: Any, model_server: ModelServer, table: Table) -> None:
    example = Path(__file__).parents[3] / "examples" / "claude_agent.py"
    given = agents.environment | agents.claude_environment
    result = subprocess.run(
        [sys.executable, str(example), "[plain]"], cwd=agents.project, env=given, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout.split()) == (0, ["Hello", "there."]), result.stderr
    assert [row["role"] for row in table("messages")] == ["user", "assistant"]


def test_without_a_database_the_agent_runs_as_it_would(agents: Any) -> None:
    assert agents.run("[two]", is_logged=False) == agents.run("[two]", more={"TURSO_DATABASE_URL": ""})
