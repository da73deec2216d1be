"""The events of one line of a transcript, with what is remembered of its session. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from turso_hooks.events import Event, MessageAdded, NoteAdded, SessionStarted, ToolCallFinished, row_id
from turso_hooks.transcripts.anthropic import (
    PROVIDER,
    blocks_of,
    content_of,
    error_of,
    is_call,
    is_result,
    mapping_of,
    output_of,
    text_of,
)
from turso_hooks.transcripts.claude_code.files import SubAgent, prices_of
from turso_hooks.transcripts.claude_code.session import SessionEvents, of_start
from turso_hooks.transcripts.claude_code.state import OpenCall, OpenMessage, Session
from turso_hooks.transcripts.claude_code.vocabulary import (
    AGENT_TYPE,
    INTERRUPTED,
    SYNTHETIC,
    child_session_id,
    denied,
    title_of,
)

_COMMANDS = ("<command-name>", "<command-message>", "<local-command-")
"""How a prompt begins that Claude Code carries out itself."""

_ATTACHMENTS_OF_NO_USE = frozenset(
    {
        "agent_listing_delta",
        "date",
        "deferred_tools_delta",
        "environment",
        "model",
        "prompt_snapshot",
        "remote_session_change",
        "session_context",
        "skill_listing",
        "total_tokens_reminder",
    }
)
"""What every session is told anew about its tools and surroundings: tens of kilobytes a turn."""

_SYSTEM_OF_NO_USE = frozenset({"stop_hook_summary", "turn_duration"})
_NOTES = {"compact_boundary": "compaction", "microcompact_boundary": "compaction", "api_error": "retry"}

_MOST_CALLS = 2000
_MOST_PROMPTS = 100
"""Limits to what is remembered: far more than a session has at once, and so few that a file without end does no harm."""

_LATEST_YEAR, _EARLIEST_YEAR = 9000, 1900
"""A time beyond these is none, and a little later or in another zone might not be a time at all."""


_ENVELOPE = frozenset(
    {
        "cwd",
        "entrypoint",
        "gitBranch",
        "isSidechain",
        "parentUuid",
        "sessionId",
        "timestamp",
        "type",
        "userType",
        "uuid",
        "version",
    }
)
"""What every line has, and a payload is without."""


class Unused(NamedTuple):
    """What became no event, by kind: it is not known what it means, or it is of no use to a reader of conversations."""

    not_understood: Counter[str]
    skipped: Counter[str]


class LineEvents(SessionEvents):
    """One line on its way to its events."""

    def __init__(  # noqa: PLR0913, PLR0917  # a line, and whose it is
        self, name: str, session: Session, agent: SubAgent | None, unused: Unused, said: Mapping[str, Any], position: int
    ) -> None:
        super().__init__(name, session)
        self._agent = agent
        self._unused = unused
        self._said = said
        self._position = position
        self._at = time_of(said) or session.last_at
        self._message = mapping_of(said.get("message"))
        self._uuid = text_of(said.get("uuid")) or f"#{position}"
        self._is_copied = session.born_at is not None and self._at < session.born_at

    def user(self) -> Iterator[Event]:
        """What a user, a tool or Claude Code said to the model."""
        yield from self.message()
        blocks = blocks_of(self._message.get("content"))
        results = [block for block in blocks if is_result(block)]
        yield from self.started()
        if results:
            self._session.awaits_answer = not self._is_copied
            for block in results:
                yield from self._result(block)
            blocks = [block for block in blocks if not is_result(block)]
        if blocks:
            yield from self._prompt(blocks)
        elif not results:
            self._unused.not_understood["user message without content"] += 1

    def _prompt(self, blocks: list[Mapping[str, Any]]) -> Iterator[Event]:
        content = content_of(blocks)
        is_meta = self._said.get("isMeta") is True
        is_summary = self._said.get("isCompactSummary") is True
        is_interrupt = isinstance(content, str) and content.startswith(INTERRUPTED)
        message_id = self._uuid
        prompt_id = text_of(self._said.get("promptId"))
        session = self._session
        is_prompt = not (is_meta or is_summary or is_interrupt or self._is_copied)
        if is_prompt and prompt_id and session.prompt_ids.setdefault(prompt_id, self._uuid) == self._uuid:
            message_id = prompt_id
            if len(session.prompt_ids) > _MOST_PROMPTS:
                del session.prompt_ids[next(iter(session.prompt_ids))]
        if not is_meta and not self._is_copied:
            is_command = isinstance(content, str) and content.startswith(_COMMANDS)
            session.awaits_answer = not (is_summary or is_interrupt or is_command)
            session.is_cancelled = is_interrupt
            session.error = None
        marks = {"meta": is_meta, "compact_summary": is_summary, "copied": self._is_copied}
        yield MessageAdded(
            **self._common("message", message_id),
            message_id=message_id,
            role="system" if is_meta else "user",
            content=content,
            metadata={name: True for name, holds in marks.items() if holds} or None,
        )

    def _result(self, block: Mapping[str, Any]) -> Iterator[Event]:
        call_id: str = block["tool_use_id"]
        content = block.get("content")
        call = self._session.calls.pop(call_id, None)
        tool_name = call.tool_name if call else None
        yield MessageAdded(
            **self._common("message", call_id),
            message_id=call_id,
            role="tool",
            content=output_of(content),
            tool_call_id=call_id,
            tool_name=tool_name,
            metadata={"copied": True} if self._is_copied else None,
        )
        if self._is_copied:
            return
        is_error = block.get("is_error") is True
        result = mapping_of(self._said.get("toolUseResult"))
        is_cancelled = is_error and (result.get("interrupted") is True or INTERRUPTED in error_of(content))
        yield ToolCallFinished(
            **self._common("tool_call_finished", call_id, position=call.position if call else None),
            **of_start(call),
            tool_call_id=call_id,
            tool_name=tool_name,
            status="cancelled" if is_cancelled else "error" if is_error else "completed",
            output=None if is_error else output_of(content),
            error=error_of(content) if is_error else None,
            duration_ms=_number(result.get("totalDurationMs")) or _number(result.get("durationMs")),
        )
        decision = mapping_of(self._said.get("permissionDecision"))
        if is_error and (decision.get("decision") == "reject" or self._said.get("toolDenialKind")):
            yield denied(self._common("note", f"permission_denied:{call_id}"), call_id, tool_name, error_of(content))

    def assistant(self) -> Iterator[Event]:
        """A block of the model's message: of one that came before, what is known of it by now."""
        session, said, message = self._session, self._said, self._message
        message_id = text_of(message.get("id")) or self._uuid
        if session.message is not None and session.message.message_id != message_id:
            yield from self.message()
            session.message = None
        model = text_of(message.get("model"))
        is_error = said.get("isApiErrorMessage") is True or model == SYNTHETIC
        if not self._is_copied and not is_error and model and session.model is None:
            session.model = model
            session.is_open = False  # said once more, with the model
        yield from self.started()
        answer = session.message
        if answer is None:
            answer = session.message = OpenMessage(
                message_id=message_id,
                occurred_at=self._at,
                position=self._position,
                is_copied=self._is_copied,
                is_error=is_error,
                model=model,
            )
        if self._uuid in answer.lines:
            return
        answer.is_said = False
        answer.lines.append(self._uuid)
        answer.request_id = text_of(said.get("requestId")) or answer.request_id
        answer.usage = dict(mapping_of(message.get("usage"))) or answer.usage
        answer.stop_reason = text_of(message.get("stop_reason")) or answer.stop_reason
        if not self._is_copied:
            session.awaits_answer = answer.stop_reason in {None, "tool_use", "pause_turn"}
            session.is_cancelled = False
        for block in blocks_of(message.get("content")):
            answer.blocks.append(block)
            if is_call(block):
                yield from self._call(block, message_id)
        if not self._is_copied:
            session.error = error_of(message.get("content")) if is_error else None

    def _call(self, block: Mapping[str, Any], message_id: str) -> Iterator[Event]:
        calls = self._session.calls
        if len(calls) >= _MOST_CALLS:
            yield from self.running()
            calls.clear()
        calls[block["id"]] = OpenCall(
            tool_name=text_of(block.get("name")),
            input=block.get("input"),
            message_id=message_id,
            occurred_at=self._at,
            position=self._position,
            is_copied=self._is_copied,
        )

    def system(self) -> Iterator[Event]:
        """What Claude Code did about it, such as compacting."""
        subtype = text_of(self._said.get("subtype")) or "system"
        if subtype in _SYSTEM_OF_NO_USE:
            self._unused.skipped[f"system:{subtype}"] += 1
            return
        yield from self.started()
        yield self.note(_NOTES.get(subtype, subtype), _payload(self._said))

    def attachment(self) -> Iterator[Event]:
        """What Claude Code told the model beside the conversation."""
        attachment = mapping_of(self._said.get("attachment"))
        kind = text_of(attachment.get("type")) or "attachment"
        if kind in _ATTACHMENTS_OF_NO_USE or self._is_copied:
            self._unused.skipped[f"attachment:{kind}"] += 1
            return
        yield from self.started()
        yield self.note(f"attachment:{kind}", dict(attachment))

    def cost_state(self) -> Iterator[Event]:
        """Written when the process of a session ends: what it has cost so far, all models and sub-agents together."""
        self._session.prices.update(prices_of(self._said))
        yield from self.message()
        yield from self.costs()
        if self._session.is_open:
            yield from self.end()

    def entitled(self) -> Iterator[Event]:
        """Another title."""
        title = next(
            filter(None, (text_of(self._said.get(key)) for key in ("customTitle", "aiTitle", "title", "summary"))), None
        )
        session = self._session
        if title is None:
            self._unused.not_understood["title without a text"] += 1
        elif title != session.title:
            session.title = title
            if session.started_at is not None:
                session.titles += 1
                # Later than the start, whose title was the first prompt, and no later than any end.
                common = self._common("session_title", title, session.started_at + timedelta(microseconds=session.titles))
                yield SessionStarted(**common, agent_type=self._agent_type(), title=title_of(title))

    def started(self) -> Iterator[Event]:
        """Its start, when the first is known of it, again when the model is, and when it goes on after an end."""
        session = self._session
        if session.is_open or self._is_copied:
            return
        session.is_open, session.started_at, session.titles = True, self._at, 0
        said, agent = self._said, self._agent
        if session.title is None and said.get("type") == "user" and said.get("isMeta") is not True:
            content = content_of(self._message.get("content"))
            session.title = title_of(content) if isinstance(content, str) else None
        version = text_of(said.get("version"))
        known = {"git_branch": said.get("gitBranch"), "entrypoint": said.get("entrypoint")}
        yield SessionStarted(
            **self._common("session_started", self._name),
            agent_type=self._agent_type(),
            model=session.model,
            provider=PROVIDER,
            parent_session_id=self._parent(),
            parent_tool_call_id=agent.tool_call_id if agent else None,
            title=title_of((agent.title if agent else None) or session.title or ""),
            project=text_of(said.get("cwd")),
            runner=f"claude-code {version}" if version else "claude-code",
            metadata={key: value for key, value in known.items() if text_of(value)} or None,
        )

    def _agent_type(self) -> str:
        agent = self._agent
        return (agent.agent_type if agent else None) or AGENT_TYPE

    def _parent(self) -> str | None:
        agent = self._agent
        if agent is None or not self._name.endswith(f"/agent-{agent.agent_id}"):
            return None
        main = self._name.removesuffix(f"/agent-{agent.agent_id}")
        return child_session_id(main, agent.parent_agent_id) if agent.parent_agent_id else main

    def note(self, name: str, payload: Any) -> NoteAdded:
        """The line as a note."""
        common = self._common("note", self._uuid)
        return NoteAdded(**common, name=name, payload=payload, row_id=row_id(self._name, NoteAdded.row_kind, self._uuid))


def _payload(said: Mapping[str, Any]) -> dict[str, Any]:
    """A line without its envelope."""
    return {key: value for key, value in said.items() if key not in _ENVELOPE}


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def time_of(said: Mapping[str, Any]) -> datetime | None:
    """The time of a line, in ISO 8601 as all lines have it that have one."""
    value = said.get("timestamp")
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    if not _EARLIEST_YEAR < found.year < _LATEST_YEAR:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
