"""An agent on the Claude Agent SDK, logged or not: a program, told as JSON what to do, that prints a line a message it got."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import claude_agent_sdk as sdk

ORDERS: dict[str, Any] = json.loads(sys.argv[1])

if ORDERS["is_logged"]:
    from turso_hooks.adapters import claude_agent_sdk as ours
else:
    ours = sdk  # type: ignore[assignment]


def shown(message: Any) -> None:
    print(json.dumps([type(message).__name__, getattr(message, "subtype", None), _text(message)]), flush=True)


def _text(message: Any) -> list[Any]:
    content = getattr(message, "content", None)
    return [content] if isinstance(content, str) else [type(block).__name__ for block in content or ()]


async def _hear(said: Any, _: str | None, __: Any) -> Any:
    print(json.dumps(["hook", said["hook_event_name"], said.get("tool_name")]), flush=True)
    return {}


def options() -> sdk.ClaudeAgentOptions:
    hooks: Any = {event: [sdk.HookMatcher(hooks=[_hear])] for event in ORDERS.get("hooks", ())}
    return sdk.ClaudeAgentOptions(
        model=ORDERS["model"], cwd=Path.cwd(), env=ORDERS["environment"], hooks=hooks or None, **ORDERS["options"]
    )


async def with_query() -> None:
    for prompt in ORDERS["prompts"]:
        async for message in ours.query(prompt=prompt, options=options()):
            shown(message)


async def with_observe() -> None:
    from turso_hooks.adapters.claude_agent_sdk import observe

    for prompt in ORDERS["prompts"]:
        async for message in observe(sdk.query(prompt=prompt, options=options()), prompt=prompt):
            shown(message)


async def with_client() -> None:
    async with ours.ClaudeSDKClient(options()) as client:
        for prompt in ORDERS["prompts"]:
            await client.query(prompt)
            async for message in client.receive_response():
                shown(message)


async def with_interrupt() -> None:
    """Interrupted as soon as the first answer streams."""
    async with ours.ClaudeSDKClient(options()) as client:
        await client.query(ORDERS["prompts"][0])
        async for message in client.receive_messages():
            shown(message)
            if isinstance(message, sdk.SystemMessage) and message.subtype == "init":
                await _answer_streams()
                await client.interrupt()
            if isinstance(message, sdk.ResultMessage):
                break
        for prompt in ORDERS["prompts"][1:]:
            await client.query(prompt)
            async for message in client.receive_response():
                shown(message)


async def _answer_streams() -> None:
    """Until the model server says that it has begun: whoever started this writes a line."""
    await anyio.to_thread.run_sync(sys.stdin.readline)


async def with_break() -> None:
    """Stops reading at the first answer."""
    async for message in ours.query(prompt=ORDERS["prompts"][0], options=options()):
        shown(message)
        if isinstance(message, sdk.AssistantMessage):
            break


async def with_cancel() -> None:
    """Cancelled at the first answer."""
    with anyio.CancelScope() as scope:
        async for message in ours.query(prompt=ORDERS["prompts"][0], options=options()):
            shown(message)
            if isinstance(message, sdk.AssistantMessage):
                scope.cancel()


async def main() -> None:
    try:
        await {
            "query": with_query,
            "observe": with_observe,
            "client": with_client,
            "interrupt": with_interrupt,
            "break": with_break,
            "cancel": with_cancel,
        }[ORDERS["way"]]()
    except sdk.ClaudeSDKError as error:
        print(json.dumps(["raised", type(error).__name__, []]), flush=True)


anyio.run(main, backend=ORDERS.get("backend", "asyncio"))
