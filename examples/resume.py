"""An agent that goes on where it stopped, even if it was killed: all that it remembers is what was logged.

It reads a poem line by line, with a tool, and says at the end what it has read. The model is scripted, and knows only the
messages that it is sent, in the form of OpenAI's API; `format="anthropic"` gives those of the other one.

    export TURSO_DATABASE_URL=file:agents.db
    python examples/resume.py --killed-after 2     prints the id of its session, and dies in the middle
    turso-hooks drain                              brings into the database what the dead agent has left
    python examples/resume.py SESSION_ID           goes on, and reads no line twice
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from typing import Any

from turso_hooks import ConversationLogger, ToolCallPart
from turso_hooks.query import connect_sync

POEM = ["A word is dead", "When it is said,", "Some say.", "I say it just", "Begins to live", "That day."]

log = ConversationLogger(agent_type="reader", model="scripted-1")


def ask_model(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What the model says to these messages: a call of the tool, or that it is done."""
    read = [message["content"] for message in messages if message["role"] == "tool" and "interrupted" not in message["content"]]
    if len(read) == len(POEM):
        return {"content": " / ".join(read)}
    return {"call": ToolCallPart(tool_call_id=f"call-{len(messages)}", tool_name="read_line", input={"line": len(read)})}


def read_line(line: int, *, is_last: bool) -> str:
    """Read a line: the tool. `is_last` stands for whatever may kill an agent at work."""
    if is_last:
        os.kill(os.getpid(), signal.SIGKILL)
    return POEM[line]


def go_on(session_id: str, messages: list[dict[str, Any]], killed_after: int | None) -> str:
    """Have the conversation to its end; returns what the model says then."""
    read = 0
    while "call" in (answer := ask_model(messages)):
        call: ToolCallPart = answer["call"]
        log.log_message(session_id, "assistant", [call])
        with log.tool_call(session_id, call.tool_name, call.input, tool_call_id=call.tool_call_id) as running:
            running.output = read_line(call.input["line"], is_last=read == killed_after)
        log.log_message(session_id, "tool", running.output, tool_call_id=call.tool_call_id, tool_name=call.tool_name)
        read += 1
        function = {"name": call.tool_name, "arguments": json.dumps(call.input)}
        asked = {"id": call.tool_call_id, "type": "function", "function": function}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [asked]},
            {"role": "tool", "tool_call_id": call.tool_call_id, "content": running.output},
        ]
    log.log_message(session_id, "assistant", answer["content"])
    log.end_session(session_id)
    return str(answer["content"])


def main() -> None:
    """Begin a conversation, or go on with one."""
    parser = argparse.ArgumentParser(description="An agent that goes on where it stopped.")
    parser.add_argument("session_id", nargs="?", help="the session to go on with")
    parser.add_argument("--killed-after", type=int, metavar="N", help="die after so many lines")
    options = parser.parse_args()
    if options.session_id:
        with connect_sync() as reader:
            messages = reader.to_messages(options.session_id)["messages"]
        session_id = log.start_session(options.session_id)
    else:
        session_id = log.start_session(title="A poem")
        messages = [{"role": "user", "content": "Read me the poem, please."}]
        log.log_message(session_id, "user", messages[0]["content"])
        print(session_id, flush=True)
    print(go_on(session_id, messages, options.killed_after))


if __name__ == "__main__":
    main()
