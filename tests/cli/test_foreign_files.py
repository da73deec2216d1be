"""What other programs keep in files of their own is imported: files that those programs have written here."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from turso_hooks.query import Conversation, connect_sync

Run = Callable[..., "subprocess.CompletedProcess[str]"]

# Both run with a model of their own: nothing is asked of anybody.
OPENAI_AGENTS = """
import asyncio, sys
from agents import Agent, Runner, SQLiteSession, function_tool, set_tracing_disabled
from agents.items import ModelResponse
from agents.models.interface import Model
from agents.usage import Usage
from openai.types.responses import (
    ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText, ResponseReasoningItem,
)

set_tracing_disabled(True)
thought = ResponseReasoningItem(id="r", type="reasoning", summary=[{"type": "summary_text", "text": "I should add"}])
calls = [
    ResponseFunctionToolCall(
        id=f"f{n}", call_id=f"call_{n}", name="add", arguments=f'{{"a": {n}, "b": 2}}', type="function_call"
    )
    for n in range(2)
]
said = [ResponseOutputText(text="It is 2 and 3.", type="output_text", annotations=[])]
answer = ResponseOutputMessage(id="m", type="message", role="assistant", status="completed", content=said)
turns = iter([[thought, calls[0]], [calls[1]], [answer]])


class Scripted(Model):
    async def get_response(self, *arguments, **named):
        return ModelResponse(output=next(turns), usage=Usage(), response_id=None)

    def stream_response(self, *arguments, **named):
        raise NotImplementedError


@function_tool
def add(a: int, b: int) -> int:
    return a + b


async def main():
    session = SQLiteSession("conv-1", sys.argv[1])
    await Runner.run(Agent(name="A", model=Scripted(), tools=[add]), "Add, please", session=session)
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}
    other = SQLiteSession("conv-2", sys.argv[1])
    await other.add_items([{"role": "user", "content": [{"type": "input_text", "text": "Look"}, image]}])
    await other.add_items([{"type": "web_search_call", "id": "ws", "status": "completed"}])


asyncio.run(main())
"""

LLM = """
import sys
import llm, sqlite_utils
from llm.migrations import migrate

database = sqlite_utils.Database(sys.argv[1])
migrate(database)


class Scripted(llm.Model):
    model_id, supports_tools, can_stream = "scripted", True, False

    def execute(self, prompt, stream, response, conversation):
        response.set_usage(input=11, output=7, details={"prompt_tokens_details": {"cached_tokens": 3}})
        if prompt.tools and not prompt.tool_results:
            response.add_tool_call(llm.ToolCall(name="add", arguments={"a": 1, "b": 2}, tool_call_id="call_1"))
            yield "Let me add."
        else:
            yield f"Answer to {prompt.prompt}" if prompt.prompt else "It is 3."


def add(a: int, b: int) -> int:
    "Adds."
    return a + b


conversation = Scripted().conversation()
first = conversation.prompt("Hello", system="Be kind")
first.text()
first.log_to_db(database)
chain = conversation.chain("What is 1 + 2?", tools=[add])
chain.text()
chain.log_to_db(database)
"""

BEFORE = """
CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT);
CREATE TABLE responses (
    id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT, options_json TEXT, response TEXT,
    response_json TEXT, conversation_id TEXT, duration_ms INTEGER, datetime_utc TEXT, input_tokens INTEGER,
    output_tokens INTEGER, token_details TEXT);
INSERT INTO conversations VALUES ('old', 'Hello', 'gpt-4o');
INSERT INTO responses VALUES
    ('r1', 'gpt-4o', 'Hello', 'Be kind', NULL, '{}', 'Hi', NULL, 'old', 1500, '2024-05-06T07:08:09.000001', 5, 2, NULL),
    ('r2', 'gpt-4o', 'Bye', 'Be kind', NULL, '{}', 'Bye!', NULL, 'old', 500, '2024-05-06T07:09:09.000001', 9, 3, NULL);
"""
"""As llm 0.20 has them, which knew no tools; 0.27 was tried by hand, whose tables of tools are these of today."""


def written(script: str, path: Path) -> Path:
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=120, capture_output=True)
    return path


def read(tmp_path: Path, session_id: str) -> Conversation:
    with connect_sync(f"file:{tmp_path}/agents.db") as reader:
        return reader.get_session(session_id)


@pytest.mark.slow
def test_sessions_of_the_openai_agents_sdk_are_imported_once(run: Run, tmp_path: Path) -> None:
    file = written(OPENAI_AGENTS, tmp_path / "sessions.db")
    for _ in range(2):
        said = run("import", "openai-agents", str(file), "--json", "--db", f"file:{tmp_path}/agents.db")
        assert (said.returncode, json.loads(said.stdout)["sessions"]) == (0, 2)
    conversation = read(tmp_path, "conv-1")
    assert [(call.tool_call_id, call.input, call.output) for call in conversation.tool_calls] == [
        ("call_0", {"a": 0, "b": 2}, "2"),
        ("call_1", {"a": 1, "b": 2}, "3"),
    ]
    assert conversation.messages[0].content == "Add, please"
    assert conversation.messages[1].parts == [{"type": "reasoning", "text": "I should add"}]
    assert conversation.messages[-1].content == "It is 2 and 3."
    other = read(tmp_path, "conv-2")
    assert other.messages[0].parts[1]["url"] == "data:image/png;base64,AAAA"
    assert other.messages[1].metadata["item"]["type"] == "web_search_call"
    with connect_sync(f"file:{tmp_path}/agents.db") as reader:
        roles = [message["role"] for message in reader.to_messages("conv-1")["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]


@pytest.mark.slow
def test_what_llm_has_logged_is_imported_with_what_its_models_used(run: Run, tmp_path: Path) -> None:
    file = written(LLM, tmp_path / "logs.db")
    for _ in range(2):
        assert (
            run("import", "llm", LLM_USER_PATH=str(tmp_path), TURSO_DATABASE_URL=f"file:{tmp_path}/agents.db").returncode == 0
        )
    with closing(sqlite3.connect(file)) as connection:
        (thread,) = connection.execute("SELECT id FROM threads").fetchone()
    conversation = read(tmp_path, thread)
    assert [message.role for message in conversation.messages] == [
        "system", "user", "assistant", "user", "assistant", "tool", "assistant",
    ]  # fmt: skip
    assert [(call.tool_name, call.input, call.output) for call in conversation.tool_calls] == [("add", {"a": 1, "b": 2}, "3")]
    assert [(call.input_tokens, call.cache_read_tokens, call.output_tokens) for call in conversation.model_calls] == [
        (11, 3, 7)
    ] * 3
    assert (conversation.session.title, conversation.session.model, conversation.session.status) == (
        "Hello",
        "scripted",
        "completed",
    )


def test_logs_of_llm_before_it_had_threads_are_imported(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "logs.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(BEFORE)
    said = run("import", "llm", str(file), "--db", f"file:{tmp_path}/agents.db")
    assert (said.returncode, said.stdout.split(" are in ")[0]) == (0, "1 session, 5 messages and 0 tool calls")
    conversation = read(tmp_path, "old")
    assert [message.content for message in conversation.messages] == ["Be kind", "Hello", "Hi", "Bye", "Bye!"]
    assert [(call.duration_ms, call.input_tokens) for call in conversation.model_calls] == [(1500, 5), (500, 9)]


def test_a_file_of_another_program_is_told_to_be_one(run: Run, tmp_path: Path) -> None:
    other, url = tmp_path / "other.db", f"file:{tmp_path}/agents.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE threads (id TEXT)")
        connection.execute("INSERT INTO threads VALUES ('x')")
        connection.commit()
    for name in ("llm", "openai-agents"):
        said = run("import", name, str(other), "--db", url)
        assert (said.returncode, said.stdout, said.stderr.count("\n")) == (1, "", 1)
        assert "is that a file of" in said.stderr
    missing = run("import", "llm", LLM_USER_PATH=str(tmp_path / "nowhere"), TURSO_DATABASE_URL=url)
    assert missing.returncode == 2
    assert "is not there" in missing.stderr
