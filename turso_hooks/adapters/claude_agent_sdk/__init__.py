"""The Claude Agent SDK, logged: its `query` and `ClaudeSDKClient` by the same names, and `observe` around any of its streams.

    from turso_hooks.adapters.claude_agent_sdk import query

    async for message in query(prompt="What is in this folder?"):
        ...

Everything goes to the hooks of this process's plugin manager (`get_plugin_manager()`), on asyncio and on trio. What the SDK
yields is yielded, in order, and what it raises is raised; a fault in here is counted as `adapter_failed`, reported once, and
never reaches the agent. Needs the extra `claude-agent-sdk`; made for its version 0.2.

Sessions, messages and tool results come from the stream; prompts and how long a tool took from the SDK's hooks, which are
added to those in `options.hooks` and decide nothing; tokens of each model call from the partial messages, which are asked for
and kept back if `options` did not ask; those of sub-agents from their transcripts, because the stream does not have them. What
a call cost is its share of what the result says, by the kinds of its tokens.

The ids are those of `transcripts.claude_code`: what the hooks of Claude Code log, or an import later, becomes the same rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from importlib.metadata import version
from types import TracebackType
from typing import Any

try:
    import claude_agent_sdk as sdk
    from claude_agent_sdk import ClaudeAgentOptions, HookMatcher, Message, Transport
except ImportError as error:  # what it drags in is not for those who use another SDK
    raise ImportError("the Claude Agent SDK is not installed: pip install 'turso-hooks[claude-agent-sdk]'") from error

from turso_hooks.adapters.claude_agent_sdk.conversation import Conversation
from turso_hooks.manager import get_plugin_manager
from turso_hooks.plugin import recorder

__all__ = ["ClaudeSDKClient", "observe", "query"]

_HOOKS = (
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "PermissionRequest",
    "SubagentStart",
    "SubagentStop",
)


async def query(
    *,
    prompt: str | AsyncIterable[dict[str, Any]],
    options: ClaudeAgentOptions | None = None,
    transport: Transport | None = None,
) -> AsyncIterator[Message]:
    """As `claude_agent_sdk.query`, logged."""
    conversation, watched = _watched(options)
    async with _closing(_logged(sdk.query(prompt=prompt, options=watched, transport=transport), conversation)) as messages:
        async for message in messages:
            yield message


class ClaudeSDKClient(sdk.ClaudeSDKClient):
    """As `claude_agent_sdk.ClaudeSDKClient`, logged; the session ends when it is disconnected."""

    def __init__(self, options: ClaudeAgentOptions | None = None, transport: Transport | None = None) -> None:
        self._conversation, watched = _watched(options)
        super().__init__(watched, transport)

    async def receive_messages(self) -> AsyncIterator[Message]:
        """As the SDK's."""
        async with _closing(super().receive_messages()) as messages:
            async for message in messages:
                if self._conversation.shows(message):
                    yield message

    async def disconnect(self) -> None:
        """As the SDK's, and the session ends."""
        try:
            await super().disconnect()
        finally:
            self._conversation.end(None)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool:
        """As the SDK's; an exception ends the session as error or cancelled."""
        if exc_val is not None:
            self._conversation.end(exc_val)
        return await super().__aexit__(exc_type, exc_val, exc_tb)


async def observe(messages: AsyncIterable[Message], *, prompt: str | None = None) -> AsyncIterator[Message]:
    """Log a stream of the SDK's and yield what it yields.

    `prompt` is what was asked, if it is to be logged; unlike the one of `query` it is another row than an import of the
    transcript makes of it. How many tokens a call put out is known if the stream has partial messages, or if there was one call
    for a result.
    """
    conversation = Conversation(
        get_plugin_manager().emit, recorder.count, prompt=prompt, sdk_version=version("claude-agent-sdk")
    )
    async with _closing(_logged(messages, conversation)) as logged:
        async for message in logged:
            yield message


def _watched(options: ClaudeAgentOptions | None) -> tuple[Conversation, ClaudeAgentOptions]:
    """A conversation, and the options with which it hears of everything."""
    given = options or ClaudeAgentOptions()
    conversation = Conversation(
        get_plugin_manager().emit,
        recorder.count,
        sdk_version=version("claude-agent-sdk"),
        hides_partial=not given.include_partial_messages,
        resumed=given.resume,
        is_fork=given.fork_session,
    )

    async def hear(said: Any, _: str | None, __: Any) -> Any:
        conversation.hear(said)
        return {}

    hooks: dict[Any, list[HookMatcher]] = {event: list(matchers) for event, matchers in (given.hooks or {}).items()}
    for event in _HOOKS:
        hooks.setdefault(event, []).append(HookMatcher(hooks=[hear]))
    return conversation, dataclasses.replace(given, hooks=hooks, include_partial_messages=True)


async def _logged(messages: AsyncIterable[Message], conversation: Conversation) -> AsyncIterator[Message]:
    try:
        async with _closing(messages) as stream:
            async for message in stream:
                if conversation.shows(message):
                    yield message
    except BaseException as error:
        conversation.end(error)
        raise
    conversation.end(None)


def _closing(stream: AsyncIterable[Message]) -> AbstractAsyncContextManager[AsyncIterable[Message]]:
    """The stream, closed at the end if it can be: a generator that is left open is closed whenever the collector finds it."""
    closable: Any = stream
    return aclosing(closable) if hasattr(stream, "aclose") else nullcontext(stream)
