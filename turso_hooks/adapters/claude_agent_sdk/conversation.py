"""One conversation with the SDK: its messages and what its hooks are told, to events.

Called on the agent's thread, and never raises. It knows messages by the names of their classes and fields, so that this module
needs no SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from turso_hooks.adapters.claude_agent_sdk.blocks import blocks
from turso_hooks.adapters.claude_agent_sdk.model_calls import ModelCalls
from turso_hooks.adapters.claude_agent_sdk.observed import observed
from turso_hooks.adapters.claude_agent_sdk.transcripts import Transcripts
from turso_hooks.errors import describe
from turso_hooks.events import (
    Event,
    MessageAdded,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    row_id,
    utc_now,
)
from turso_hooks.shipping import warn_once
from turso_hooks.transcripts.anthropic import (
    PROVIDER,
    error_of,
    is_call,
    is_result,
    mapping_of,
    output_of,
    part_of,
    plain,
    price_of,
    text_of,
)
from turso_hooks.transcripts.claude_code import (
    AGENT_TYPE,
    INTERRUPTED,
    SYNTHETIC,
    child_session_id,
    denied,
    title_of,
)
from turso_hooks.transcripts.claude_code_hooks import hook_events

FAILED = "adapter_failed"
"""The reason that is counted when something in here went wrong."""

_CANCELLED = frozenset({"CancelledError", "Cancelled", "KeyboardInterrupt", "GeneratorExit"})
"""What asyncio, trio, a person and a closed generator call being stopped."""


@dataclass
class _Answer:
    """A model's message, as far as its blocks have come."""

    message_id: str
    occurred_at: datetime
    parts: list[Any] = field(default_factory=list)
    lines: int = 0


class Conversation:
    """Makes events of one conversation and gives them to `emit`."""

    def __init__(  # noqa: PLR0913  # by name
        self,
        emit: Callable[[Event], object],
        count: Callable[[str], object],
        *,
        sdk_version: str,
        prompt: str | None = None,
        hides_partial: bool = False,
        resumed: str | None = None,
        is_fork: bool = False,
    ) -> None:
        self._emit = emit
        self._count = count
        self._sdk_version = sdk_version
        self._prompt = prompt
        self._hides_partial = hides_partial
        self._resumed = resumed
        self._is_fork = is_fork
        self._session_id: str | None = None
        self._prompt_id: str | None = None
        self._has_title = False
        self._is_over = False
        self._is_cancelled = False
        self._error: str | None = None
        self._calls = ModelCalls()
        self._answers: dict[str, _Answer] = {}
        self._agents: dict[str, str] = {}
        """The sub-agent that a tool call has started."""
        self._prompts: dict[str, Any] = {}
        """What sub-agents were asked, by their session."""
        self._is_known = False
        self._running: dict[str, tuple[str, str | None]] = {}
        """Tool calls without a result: session and tool."""
        self._transcripts = Transcripts(emit, self._failed)

    def shows(self, message: Any) -> bool:
        """Log a message of the stream; whether it is for the agent, or came only because it was asked for in here."""
        self._safely(self._message, message)
        if not self._hides_partial:
            return True
        name = type(message).__name__
        return name != "StreamEvent" and not (name == "SystemMessage" and _is_request(message))

    def hear(self, said: Mapping[str, Any]) -> None:
        """Log what a hook of the SDK's is told."""
        self._safely(self._heard, said)

    def end(self, error: BaseException | None) -> None:
        """End the session, once: as error or cancelled, if an exception ended it."""
        self._safely(self._ended, error)

    def _safely(self, log: Callable[[Any], Iterator[Event]], value: Any) -> None:
        try:
            for event in log(value):
                self._emit(event)
        except Exception as error:  # noqa: BLE001  # the agent has nothing to do with its log
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._count(FAILED)
        warn_once(f"{FAILED}:{type(error).__name__}", "an event of the Claude Agent SDK was not logged: %s", describe(error))

    # What the hooks are told.

    def _heard(self, said: Mapping[str, Any]) -> Iterator[Event]:
        session_id = text_of(said.get("session_id"))
        if self._session_id is None and session_id:
            self._session_id = session_id
        name = said.get("hook_event_name")
        if name == "UserPromptSubmit":
            self._prompt_id = text_of(said.get("prompt_id"))
            self._is_cancelled, self._error = False, None
            yield from self._entitled(said.get("prompt"))
        transcript = text_of(said.get("agent_transcript_path"))
        if name == "SubagentStop" and transcript:
            self._transcripts.follow(Path(transcript))
        yield from hook_events(said, utc_now())

    def _entitled(self, prompt: Any) -> Iterator[Event]:
        """The first prompt is the title, unless the session is older than this conversation."""
        if self._has_title or self._resumed or not isinstance(prompt, str) or not self._session_id:
            return
        self._has_title = True
        common = observed(self._session_id)
        yield SessionStarted(**common, agent_type=AGENT_TYPE, title=title_of(prompt))

    # What the stream says.

    def _message(self, message: Any) -> Iterator[Event]:
        name = type(message).__name__
        if name == "StreamEvent":
            yield from self._calls.partial(self._name(None), mapping_of(message.event))
        elif name == "AssistantMessage":
            yield from self._assistant(message)
        elif name == "UserMessage":
            yield from self._user(message)
        elif name == "ResultMessage":
            yield from self._result(message)
        elif hasattr(message, "subtype"):
            yield from self._system(message.subtype, mapping_of(getattr(message, "data", None)))

    def _system(self, subtype: Any, data: Mapping[str, Any]) -> Iterator[Event]:
        if subtype == "init":
            yield from self._started(data)
        elif subtype == "status" and data.get("status") == "requesting":
            self._calls.requested()
        elif (
            subtype == "task_started" and text_of(data.get("task_id")) and data.get("task_type", "local_agent") == "local_agent"
        ):
            yield from self._agent_started(data)
        elif subtype == "permission_denied" and text_of(data.get("tool_use_id")):
            call_id = data["tool_use_id"]
            session_id, tool_name = self._running.get(call_id, (self._name(None), None))
            reason = text_of(data.get("message")) or text_of(data.get("decision_reason")) or "denied"
            yield denied(observed(session_id), call_id, text_of(data.get("tool_name")) or tool_name, reason)
        elif subtype == "compact_boundary":
            yield self._note("compaction", dict(mapping_of(data.get("compact_metadata"))), text_of(data.get("uuid")))

    def _started(self, data: Mapping[str, Any]) -> Iterator[Event]:
        is_new, self._is_known = not self._is_known, True
        self._session_id = text_of(data.get("session_id")) or self._session_id
        self._is_over = False
        cli = text_of(data.get("claude_code_version")) or text_of(data.get("version"))
        yield SessionStarted(
            **observed(self._name(None)),
            agent_type=AGENT_TYPE,
            model=text_of(data.get("model")),
            provider=PROVIDER,
            project=text_of(data.get("cwd")),
            title=title_of(self._prompt) if self._prompt else None,
            runner=f"claude-code {cli}" if cli else "claude-code",
        )
        if not is_new:
            return
        known = {
            "sdk": f"claude-agent-sdk {self._sdk_version}",
            "cli": cli,
            "resumed": self._resumed,
            "forked_from": self._resumed if self._is_fork else None,
            "permission_mode": data.get("permissionMode"),
        }
        yield self._note("sdk_session", {key: value for key, value in known.items() if value})
        if self._prompt is not None and self._prompt_id is None:
            yield MessageAdded(**observed(self._name(None)), role="user", content=self._prompt)

    def _agent_started(self, data: Mapping[str, Any]) -> Iterator[Event]:
        call_id, agent_id = text_of(data.get("tool_use_id")), data["task_id"]
        parent = text_of(data.get("parent_task_id"))
        if call_id:
            self._agents[call_id] = agent_id
        name = child_session_id(self._session_id or "", agent_id)
        main = self._session_id or ""
        yield SessionStarted(
            **observed(name),
            agent_type=text_of(data.get("subagent_type")) or AGENT_TYPE,
            provider=PROVIDER,
            parent_session_id=child_session_id(main, parent) if parent else main,
            parent_tool_call_id=call_id,
            title=text_of(data.get("description")),
        )
        if text_of(data.get("prompt")):
            yield from self._prompt_of_agent(name, data["prompt"])

    def _prompt_of_agent(self, name: str, content: Any) -> Iterator[Event]:
        if name not in self._prompts and self._prompt_id is not None:
            self._prompts[name] = content
            yield MessageAdded(**observed(name), message_id=self._prompt_id, role="user", content=content)

    def _user(self, message: Any) -> Iterator[Event]:
        name = self._name(message.parent_tool_use_id)
        said = blocks(message.content)
        rest = [block for block in said if not is_result(block)]
        for block in said:
            if is_result(block):
                yield from self._tool_result(name, block)
        if not rest:
            return
        content = rest[0]["text"] if len(rest) == 1 and rest[0].get("type") == "text" else [part_of(block) for block in rest]
        if name != self._session_id and self._prompts.get(name, content) == content:
            yield from self._prompt_of_agent(name, content)  # if it has not been said when the agent was started
            return
        if isinstance(content, str) and content.startswith(INTERRUPTED):
            self._is_cancelled = True
        uuid = text_of(message.uuid)
        if uuid:
            yield MessageAdded(**observed(name), message_id=uuid, role="user", content=content)

    def _tool_result(self, name: str, block: Mapping[str, Any]) -> Iterator[Event]:
        call_id, content = block["tool_use_id"], block.get("content")
        _, tool_name = self._running.pop(call_id, (name, None))
        is_error = block.get("is_error") is True
        output = output_of(content)
        named: dict[str, Any] = {"tool_call_id": call_id, "tool_name": tool_name}
        yield MessageAdded(**observed(name), **named, message_id=call_id, role="tool", content=output)
        yield ToolCallFinished(
            **observed(name),
            **named,
            status=("cancelled" if INTERRUPTED in error_of(content) else "error") if is_error else "completed",
            output=None if is_error else output,
            error=error_of(content) if is_error else None,
        )

    def _assistant(self, message: Any) -> Iterator[Event]:
        name = self._name(message.parent_tool_use_id)
        message_id = text_of(message.message_id) or text_of(message.uuid)
        if message_id is None:
            return
        is_made_up = message.error is not None or message.model == SYNTHETIC
        answer = self._answers.get(name)
        if answer is None or answer.message_id != message_id:
            answer = self._answers[name] = _Answer(message_id, utc_now())
        answer.lines += 1
        for block in blocks(message.content):
            answer.parts.append(part_of(block))
            if is_call(block):
                self._running[block["id"]] = (name, text_of(block.get("name")))
                yield ToolCallStarted(
                    **observed(name),
                    tool_call_id=block["id"],
                    tool_name=text_of(block.get("name")),
                    input=block.get("input"),
                    message_id=message_id,
                )
        yield MessageAdded(
            # Of two versions of a message the later one counts, which is the one with more parts.
            **observed(name, answer.occurred_at + timedelta(microseconds=answer.lines)),
            message_id=message_id,
            role="assistant",
            content=plain(answer.parts),
            model=None if is_made_up else text_of(message.model),
            metadata={"api_error": True} if is_made_up else None,
        )
        if is_made_up:
            self._error = " ".join(part.text for part in answer.parts if type(part).__name__ == "TextPart") or str(
                message.error
            )
        else:
            self._calls.answered(name, message_id, text_of(message.model), mapping_of(message.usage), answer.occurred_at)

    # The end of a turn, and of all.

    def _result(self, message: Any) -> Iterator[Event]:
        self._session_id = self._session_id or text_of(message.session_id)
        priced = {model: price_of(usage) for model, usage in mapping_of(message.model_usage).items()}
        prices = {model: price for model, price in priced.items() if price is not None}
        yield from self._calls.priced(self._name(None), mapping_of(message.usage), prices)
        if not message.is_error:
            self._error = None  # an earlier turn's
        elif not self._is_cancelled:
            self._error = text_of(message.result) or self._error or ", ".join(message.errors or ()) or message.subtype
        said = {key: value for key, value in vars(message).items() if value is not None and key != "session_id"}
        yield self._note("result", said, text_of(message.uuid))
        self._transcripts.read(prices)

    def _ended(self, error: BaseException | None) -> Iterator[Event]:
        if self._is_over or self._session_id is None:
            return
        self._is_over = True
        yield from self._calls.over(self._name(None))
        yield from self._calls.untold(self._name(None), {})
        is_cancelled = self._is_cancelled or (error is not None and type(error).__name__ in _CANCELLED)
        status = "cancelled" if is_cancelled else "error" if error is not None or self._error else "completed"
        for call_id, (name, tool_name) in self._running.items():
            yield ToolCallFinished(**observed(name), tool_call_id=call_id, tool_name=tool_name, status="cancelled")
        self._running.clear()
        message = self._error or (describe(error) if error is not None else None)
        ended = observed(self._name(None))
        yield SessionEnded(**ended, status=status, error_message=None if status == "completed" else message)
        self._transcripts.read()

    def _name(self, parent_tool_use_id: str | None) -> str:
        """The session of a message."""
        main = self._session_id or ""
        if not parent_tool_use_id:
            return main
        return child_session_id(main, self._agents.get(parent_tool_use_id, parent_tool_use_id))

    def _note(self, name: str, payload: Any, source: str | None = None) -> NoteAdded:
        session_id = self._name(None)
        row = row_id(session_id, NoteAdded.row_kind, source) if source else None
        return NoteAdded(**observed(session_id), row_id=row, name=name, payload=payload)


def _is_request(message: Any) -> bool:
    return message.subtype == "status" and mapping_of(message.data).get("status") == "requesting"
