"""A runner in miniature: a scripted model, one tool, and the hooks of turso-hooks. It knows nothing of databases.

It prints the id of its session. With TURSO_DATABASE_URL=file:agents.db the conversation is in agents.db afterwards.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import turso_hooks
from turso_hooks import TextPart, ToolCallPart

hook = turso_hooks.get_plugin_manager().hook


def add(numbers: dict[str, int]) -> int:
    """Add two numbers: the one tool of this agent."""
    return numbers["a"] + numbers["b"]


def ask_model(session_id: str, call_id: str, usage: turso_hooks.Usage) -> None:
    """Tell of one request to the model, which answers at once: it is only scripted."""
    call: dict[str, Any] = {"session_id": session_id, "model_call_id": call_id, "model": "scripted-1"}
    hook.model_call_started(event=turso_hooks.ModelCallStarted(**call))
    hook.model_call_finished(event=turso_hooks.ModelCallFinished(**call, usage=usage, finish_reason="stop"))


def run(question: str) -> str:
    """Have the conversation; returns its session id."""
    session_id = str(uuid4())
    hook.session_started(
        event=turso_hooks.SessionStarted(session_id=session_id, agent_type="minimal", model="scripted-1", title=question)
    )
    hook.message_added(event=turso_hooks.MessageAdded(session_id=session_id, role="user", content=question))

    ask_model(session_id, "model-1", turso_hooks.Usage(input=20, output=9))
    wish = ToolCallPart(tool_call_id="call-1", tool_name="add", input={"a": 2, "b": 3})
    hook.message_added(
        event=turso_hooks.MessageAdded(
            session_id=session_id, role="assistant", content=[TextPart(text="I will add them."), wish]
        )
    )

    call: dict[str, Any] = {"session_id": session_id, "tool_call_id": wish.tool_call_id, "tool_name": wish.tool_name}
    hook.tool_call_started(event=turso_hooks.ToolCallStarted(**call, input=wish.input))
    total = add(wish.input)
    hook.tool_call_finished(event=turso_hooks.ToolCallFinished(**call, output=total))
    hook.message_added(event=turso_hooks.MessageAdded(**call, role="tool", content=str(total)))

    ask_model(session_id, "model-2", turso_hooks.Usage(input=34, output=5))
    hook.message_added(event=turso_hooks.MessageAdded(session_id=session_id, role="assistant", content=f"It is {total}."))
    hook.session_ended(event=turso_hooks.SessionEnded(session_id=session_id))
    return session_id


if __name__ == "__main__":
    print(run("What is two and three?"))
