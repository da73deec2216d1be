"""Transcripts of Claude Code, lines to events: what a session and its sub-agents said, called, used and cost. Pure.

A session is one file of JSON Lines, `~/.claude/projects/{folder}/{session id}.jsonl`; each of its sub-agents has another beside
it, `{session id}/subagents/agent-{agent id}.jsonl`, with a `.meta.json` that says who asked for it. The format is Claude Code's
own and not documented; this is what version 2.1.331 was seen to write. A model's answer comes as one line a content block, all
with the same message id and usage. A file grows while its session lives and when it is resumed; a forked session begins with a
copy of the lines of the one it comes from.

`Reader` takes the lines in order and remembers little: what it must know of earlier lines is in its `State`, which can be kept
and given to another reader later. It never raises for a line: what it does not understand it counts in `not_understood`, and
keeps as a note if it can; what is of no use to a reader of conversations it counts in `skipped`.

Ids, the same as those of the hooks and of the SDK, so that all of them meet in the same rows:

    session            its id; of a sub-agent `{session id}/agent-{agent id}`
    user's prompt      its `promptId`
    assistant message  the id that the API gave it; the same for the model call
    tool call          the id that the model gave it; the same for the message with its result
    anything else      the `uuid` of its line
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    derived_event_id,
    row_id,
)
from turso_hooks.transcripts.anthropic import (
    PROVIDER,
    blocks_of,
    content_of,
    error_of,
    is_call,
    is_result,
    mapping_of,
    output_of,
    part_of,
    plain,
    price_of,
    text_of,
    usage_of,
    weight_of,
)

AGENT_TYPE = "claude-code"
SYNTHETIC = "<synthetic>"
"""The model of a message that Claude Code made itself, to say that the API failed."""

_TITLE_CHARS = 120
_MOST_TITLE_CHARS = 500
"""Of which those of a title are taken, without line breaks and the like."""

_SOURCE_RANK = 3
INTERRUPTED = "[Request interrupted by user"
_COMMANDS = ("<command-name>", "<command-message>", "<local-command-")
"""How a prompt begins that Claude Code carries out itself."""

_OF_NO_USE = frozenset(
    {
        "agent-name",
        "api-request",
        "api-request-blob",
        "api-request-shape",
        "atis-latch",
        "file-history-snapshot",
        "last-prompt",
        "mode",
        "permission-mode",
        "progress",
        "queue-operation",
        "tools-used",
    }
)
"""Lines that repeat what others say, or are Claude Code's own book-keeping."""

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
_MOST_UNPRICED = 10_000
_MOST_SESSIONS = 50
"""Limits to what is remembered: far more than a session has at once, and so few that a file without end does no harm."""

_decode_quickly = msgspec.json.Decoder().decode

_LATEST_YEAR, _EARLIEST_YEAR = 9000, 1900
"""A time beyond these is none, and a little later or in another zone might not be a time at all."""


def value_of(line: bytes) -> Any:
    """A line of JSON as a value. Raises `ValueError` or `RecursionError`."""
    try:
        return _decode_quickly(line)
    except msgspec.DecodeError:
        return json.loads(line)  # takes half an emoji too, which JavaScript writes when it cuts a text


class OpenMessage(msgspec.Struct, kw_only=True):
    """A model's answer of which more blocks may come."""

    message_id: str
    occurred_at: datetime
    position: int
    blocks: list[Any] = []
    lines: list[str] = []
    """The `uuid` of each line: one that comes again adds nothing."""
    model: str | None = None
    usage: dict[str, Any] = {}
    stop_reason: str | None = None
    request_id: str | None = None
    is_copied: bool = False
    is_error: bool = False
    is_said: bool = False
    """Nothing has come since it was last told as an event."""


class OpenCall(msgspec.Struct, kw_only=True):
    """A tool call without a result."""

    tool_name: str | None
    input: Any
    message_id: str
    occurred_at: datetime
    position: int
    is_said: bool = False
    """It was told that it has started; else that is told with its end."""
    is_copied: bool = False
    """It is another session's."""


class Unpriced(msgspec.Struct, frozen=True, kw_only=True):
    """A model call of which it is not known yet what it cost."""

    call_id: str
    model: str
    weight: float
    occurred_at: datetime
    position: int


class Session(msgspec.Struct, kw_only=True):
    """What is known of a session so far."""

    last_at: datetime
    born_at: datetime | None = None
    """The first time that its file names: what is older is copied from another session."""
    prompt_ids: dict[str, str] = {}
    """The last ones, and the line of each."""
    started_at: datetime | None = None
    """When it was last said to have started."""
    titles: int = 0
    """How many it was given since."""
    model: str | None = None
    title: str | None = None
    is_open: bool = False
    is_cancelled: bool = False
    error: str | None = None
    awaits_answer: bool = False
    """The last line of the conversation was the user's or a tool's, or the model was not done."""
    message: OpenMessage | None = None
    calls: dict[str, OpenCall] = {}
    prices: dict[str, float] = {}
    unpriced: list[Unpriced] = []


class State(msgspec.Struct, kw_only=True):
    """What a reader remembers of the lines it has read: small, and can be kept as JSON."""

    sessions: dict[str, Session] = {}


class SubAgent(msgspec.Struct, frozen=True, kw_only=True):
    """Whose transcript it is, if it is a sub-agent's: what its `.meta.json` says."""

    agent_id: str
    agent_type: str | None = None
    tool_call_id: str | None = None
    parent_agent_id: str | None = None
    title: str | None = None


def child_session_id(session_id: str, agent_id: str) -> str:
    """The session of a sub-agent. Agent ids are told apart within their session only."""
    return f"{session_id}/agent-{agent_id}"


def sub_agent_of(agent_id: str, meta: bytes | None) -> SubAgent:
    """What a `.meta.json` says of a sub-agent; little if it is not there or is none."""
    try:
        said = mapping_of(value_of(meta or b"{}"))
    except (ValueError, RecursionError):
        said = {}
    return SubAgent(
        agent_id=agent_id,
        agent_type=text_of(said.get("agentType")),
        tool_call_id=text_of(said.get("toolUseId")),
        parent_agent_id=text_of(said.get("parentAgentId")),
        title=text_of(said.get("description")),
    )


def title_of(prompt: str) -> str | None:
    """A title from what was asked first: its beginning, on one line."""
    return " ".join(prompt[:_MOST_TITLE_CHARS].split())[:_TITLE_CHARS] or None


class Reader:
    """Turns the lines of one file into events.

    `session_id` is that of lines which name none, `recorded_at` the time of those before the first that has one. For
    the file of a sub-agent, `agent` says which.
    """

    def __init__(
        self, session_id: str, recorded_at: datetime, *, agent: SubAgent | None = None, state: State | None = None
    ) -> None:
        self.state = state or State()
        self.not_understood: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self._default_id = session_id
        self._recorded_at = recorded_at
        self._agent = agent
        self._prices: dict[str, float] = {}
        self._late: list[Event] = []
        """What is said of a session when it is forgotten."""

    def read(self, line: bytes, position: int) -> list[Event]:
        """The events of one line, which is the one at `position` of its file. Never raises for what is in it."""
        try:
            said = value_of(line)
        except (ValueError, RecursionError):
            self.not_understood["line that is not JSON"] += 1
            return []
        if not isinstance(said, dict):
            self.not_understood["line that is no object"] += 1
            return []
        events = list(self._line(said, position))
        late, self._late = self._late, []
        return [*late, *events]

    def flush(self) -> list[Event]:
        """What is known of messages and tool calls of which more may come: said now, and again if more comes."""
        events: list[Event] = []
        for name, session in self.state.sessions.items():
            lines = _Lines(self, name, session)
            events += [*lines.message(), *lines.running()]
        return events

    def finish(self) -> list[Event]:
        """The ends of sessions in whose file nothing will come any more, if they do not say it themselves."""
        events = self.flush()
        for name, session in self.state.sessions.items():
            if session.is_open and not session.awaits_answer:
                events += _Lines(self, name, session).end()
        return events

    def prices(self) -> dict[str, float]:
        """What a token of input costs, for each model of which the file has told it."""
        return {model: price for session in self.state.sessions.values() for model, price in session.prices.items()}

    def set_prices(self, prices: Mapping[str, float]) -> list[Event]:
        """Take over prices that are known from elsewhere: of sub-agents they are told only in the transcript of the session."""
        events: list[Event] = []
        self._prices = dict(prices)
        for name, session in self.state.sessions.items():
            session.prices.update(prices)
            events += _Lines(self, name, session).costs()
        return events

    def _line(self, said: dict[str, Any], position: int) -> Iterator[Event]:
        kind = text_of(said.get("type"))
        if kind in _OF_NO_USE:
            self._note_birth(said)
            self.skipped[kind] += 1
            return
        name = self._session_of(said)
        session = self._remembered(name, _time(said.get("timestamp")))
        lines = _Lines(self, name, session, said, position)
        if kind in {"user", "assistant"} and isinstance(said.get("message"), dict):
            yield from lines.user() if kind == "user" else lines.assistant()
        elif kind == "system":
            yield from lines.system()
        elif kind == "attachment":
            yield from lines.attachment()
        elif kind == "cost-state":
            yield from lines.cost_state()
        elif kind in {"summary", "ai-title", "custom-title"}:
            yield from lines.entitled()
        else:
            self.not_understood[f"line of type {kind:.60}" if kind else "line without a type"] += 1
            yield lines.note(f"unknown:{kind or '':.60}", said)

    def _note_birth(self, said: Mapping[str, Any]) -> None:
        occurred_at = _time(said.get("timestamp"))
        if occurred_at is not None:
            self._remembered(self._session_of(said), occurred_at)

    def _session_of(self, said: Mapping[str, Any]) -> str:
        session_id = text_of(said.get("sessionId")) or self._default_id
        agent_id = text_of(said.get("agentId")) or (self._agent.agent_id if self._agent else None)
        return child_session_id(session_id, agent_id) if agent_id else session_id

    def _remembered(self, name: str, occurred_at: datetime | None) -> Session:
        sessions = self.state.sessions
        session = sessions.get(name)
        if session is None:
            while len(sessions) >= _MOST_SESSIONS:
                forgotten = next(iter(sessions))
                lines = _Lines(self, forgotten, sessions.pop(forgotten))
                self._late += [*lines.message(), *lines.running()]
            session = sessions[name] = Session(last_at=self._recorded_at, prices=dict(self._prices))
        elif len(sessions) > 1:
            sessions[name] = sessions.pop(name)  # the one that was used last is forgotten last
        if occurred_at is not None and (session.born_at is None or occurred_at > session.last_at):
            session.born_at = session.born_at or occurred_at
            session.last_at = occurred_at
        return session


class _Lines:
    """One line on its way to its events, with what is known of its session."""

    def __init__(
        self, reader: Reader, name: str, session: Session, said: Mapping[str, Any] | None = None, position: int = 0
    ) -> None:
        self._reader = reader
        self._name = name
        self._session = session
        self._said = said or {}
        self._position = position
        self._at = _time(self._said.get("timestamp")) or session.last_at
        self._message = mapping_of(self._said.get("message"))
        self._uuid = text_of(self._said.get("uuid")) or f"#{position}"
        self._is_copied = session.born_at is not None and self._at < session.born_at

    # What a user, a tool or Claude Code itself said.

    def user(self) -> Iterator[Event]:
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
            self._reader.not_understood["user message without content"] += 1

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
            **_of_start(call),
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

    # What the model said.

    def assistant(self) -> Iterator[Event]:
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

    def running(self) -> Iterator[Event]:
        """The tool calls that have no result yet, each once."""
        for call_id, call in self._session.calls.items():
            if not (call.is_said or call.is_copied):
                call.is_said = True
                yield ToolCallStarted(
                    **self._common("tool_call_started", call_id, call.occurred_at, call.position),
                    tool_call_id=call_id,
                    tool_name=call.tool_name,
                    input=call.input,
                    message_id=call.message_id,
                )

    def message(self) -> Iterator[Event]:
        """The model's message as far as it has come, and the call that it came from."""
        answer = self._session.message
        if answer is None or answer.is_said:
            return
        answer.is_said = True
        # Of two versions of a message the later one counts, which is the one with more blocks.
        occurred_at = answer.occurred_at + timedelta(microseconds=len(answer.lines))
        usage = usage_of(answer.usage)
        metadata = {"copied": True} if answer.is_copied else {"api_error": True} if answer.is_error else None
        yield MessageAdded(
            **self._common("message", answer.message_id, occurred_at, answer.position),
            message_id=answer.message_id,
            role="assistant",
            content=plain([part_of(block) for block in answer.blocks]),
            model=None if answer.is_error else answer.model,
            token_count=usage.output if usage and not answer.is_error else None,
            metadata=metadata,
        )
        if answer.is_copied or answer.is_error:
            return
        model = answer.model or ""
        price = self._session.prices.get(model)
        weight = weight_of(answer.usage)
        yield ModelCallFinished(
            **self._common("model_call", answer.message_id, occurred_at, answer.position),
            model_call_id=answer.message_id,
            model=answer.model,
            provider=PROVIDER,
            usage=usage,
            finish_reason=answer.stop_reason,
            cost_usd=None if price is None else price * weight,
            metadata={"request_id": answer.request_id} if answer.request_id else None,
        )
        if price is None:
            unpriced = self._session.unpriced
            del unpriced[: max(len(unpriced) - _MOST_UNPRICED + 1, 0)]
            unpriced.append(
                Unpriced(
                    call_id=answer.message_id, model=model, weight=weight, occurred_at=occurred_at, position=answer.position
                )
            )

    # What Claude Code said about it.

    def system(self) -> Iterator[Event]:
        subtype = text_of(self._said.get("subtype")) or "system"
        if subtype in _SYSTEM_OF_NO_USE:
            self._reader.skipped[f"system:{subtype}"] += 1
            return
        yield from self.started()
        yield self.note(_NOTES.get(subtype, subtype), _payload(self._said))

    def attachment(self) -> Iterator[Event]:
        attachment = mapping_of(self._said.get("attachment"))
        kind = text_of(attachment.get("type")) or "attachment"
        if kind in _ATTACHMENTS_OF_NO_USE or self._is_copied:
            self._reader.skipped[f"attachment:{kind}"] += 1
            return
        yield from self.started()
        yield self.note(f"attachment:{kind}", dict(attachment))

    def cost_state(self) -> Iterator[Event]:
        """Written when the process of a session ends: what it has cost so far, all models and sub-agents together."""
        self._session.prices.update(_prices_of(self._said))
        yield from self.message()
        yield from self.costs()
        if self._session.is_open:
            yield from self.end()

    def costs(self) -> Iterator[Event]:
        """The calls whose price is known now."""
        prices, unpriced = self._session.prices, self._session.unpriced
        self._session.unpriced = [call for call in unpriced if call.model not in prices]
        for call in unpriced:
            if call.model in prices:
                yield ModelCallFinished(
                    **self._common("model_call_cost", call.call_id, call.occurred_at, call.position),
                    model_call_id=call.call_id,
                    cost_usd=prices[call.model] * call.weight,
                )

    def entitled(self) -> Iterator[Event]:
        title = next(
            filter(None, (text_of(self._said.get(key)) for key in ("customTitle", "aiTitle", "title", "summary"))), None
        )
        session = self._session
        if title is None:
            self._reader.not_understood["title without a text"] += 1
        elif title != session.title:
            session.title = title
            if session.started_at is not None:
                session.titles += 1
                # Later than the start, whose title was the first prompt, and no later than any end.
                common = self._common("session_title", title, session.started_at + timedelta(microseconds=session.titles))
                yield SessionStarted(**common, agent_type=self._agent_type(), title=title_of(title))

    # The session itself.

    def started(self) -> Iterator[Event]:
        """Its start, when the first is known of it, again when the model is, and when it goes on after an end."""
        session = self._session
        if session.is_open or self._is_copied:
            return
        session.is_open, session.started_at, session.titles = True, self._at, 0
        said, agent = self._said, self._reader._agent  # noqa: SLF001  # a line is a part of its reader
        if session.title is None and said.get("type") == "user" and said.get("isMeta") is not True:
            content = content_of(self._message.get("content"))
            session.title = content[:_MOST_TITLE_CHARS] if isinstance(content, str) else None
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

    def end(self) -> Iterator[Event]:
        session = self._session
        session.is_open = False
        for call_id, call in session.calls.items():
            if call.is_copied:
                continue
            common = self._common("tool_call_cancelled", call_id, session.last_at, call.position)
            named: dict[str, Any] = {"tool_call_id": call_id, "tool_name": call.tool_name}
            yield ToolCallFinished(**common, **named, **_of_start(call), status="cancelled")
        session.calls = {}
        is_cancelled = session.is_cancelled or session.awaits_answer
        status = "cancelled" if is_cancelled else "error" if session.error else "completed"
        # After everything of this moment, however precise its time is.
        at = session.last_at + timedelta(milliseconds=1)
        yield SessionEnded(**self._common("session_ended", status, at), status=status, error_message=session.error)

    def _agent_type(self) -> str:
        agent = self._reader._agent  # noqa: SLF001  # as above
        return (agent.agent_type if agent else None) or AGENT_TYPE

    def _parent(self) -> str | None:
        agent = self._reader._agent  # noqa: SLF001  # as above
        if agent is None or not self._name.endswith(f"/agent-{agent.agent_id}"):
            return None
        main = self._name.removesuffix(f"/agent-{agent.agent_id}")
        return child_session_id(main, agent.parent_agent_id) if agent.parent_agent_id else main

    def note(self, name: str, payload: Any) -> NoteAdded:
        common = self._common("note", self._uuid)
        return NoteAdded(**common, name=name, payload=payload, row_id=row_id(self._name, NoteAdded.row_kind, self._uuid))

    def _common(self, kind: str, source: str, at: datetime | None = None, position: int | None = None) -> dict[str, Any]:
        occurred_at = at or self._at
        return {
            "session_id": self._name,
            "event_id": derived_event_id(occurred_at, self._name, kind, source),
            "occurred_at": occurred_at,
            "position": self._position if position is None else position,
            "source_rank": _SOURCE_RANK,
        }


def denied(common: dict[str, Any], call_id: str, tool_name: str | None, reason: str) -> NoteAdded:
    """The note that a tool call was not allowed; one row, whoever saw it."""
    payload = {"tool_call_id": call_id, "tool_name": tool_name, "reason": reason}
    row = row_id(common["session_id"], NoteAdded.row_kind, f"permission_denied:{call_id}")
    return NoteAdded(**common, row_id=row, name="permission_denied", payload=payload)


def last_prices(lines: Iterable[bytes]) -> dict[str, float]:
    """What a token of input costs, for each model, as the last of these lines that tells it has it."""
    prices: dict[str, float] = {}
    for line in lines:
        if b'"cost-state"' in line:
            with suppress(ValueError, RecursionError):
                said = mapping_of(value_of(line))
                prices = _prices_of(said) if said.get("type") == "cost-state" else prices
    return prices


def _prices_of(said: Mapping[str, Any]) -> dict[str, float]:
    priced = ((model, price_of(usage)) for model, usage in mapping_of(said.get("modelUsage")).items())
    return {model: price for model, price in priced if price is not None}


def _of_start(call: OpenCall | None) -> dict[str, Any]:
    """What the end of a call tells of its start, if that has not been told."""
    if call is None or call.is_said:
        return {}
    return {"input": call.input, "message_id": call.message_id, "started_at": call.occurred_at}


def _payload(said: Mapping[str, Any]) -> dict[str, Any]:
    """A line without its envelope."""
    return {key: value for key, value in said.items() if key not in _ENVELOPE}


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


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _time(value: Any) -> datetime | None:
    """A time in ISO 8601, as all lines have it that have one."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    if not _EARLIEST_YEAR < found.year < _LATEST_YEAR:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
