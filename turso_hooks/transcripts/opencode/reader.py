"""Sessions and messages of OpenCode's to events. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    row_id,
)
from turso_hooks.transcripts.anthropic import mapping_of, plain, text_of
from turso_hooks.transcripts.opencode.parts import (
    error_of,
    is_whole,
    is_whole_part,
    milliseconds,
    part_of,
    says_something,
    span_of,
    usage_of,
)
from turso_hooks.transcripts.opencode.stamped import note, payload_of, stamped

ABORTED = "MessageAbortedError"
LOST = "OpenCode's server ended in the middle of this"
"""The error of a session whose server was gone before the model's answer was whole."""

_WHOLE_US = 999
"""OpenCode's times are whole milliseconds: what is said of a message has the more microseconds, the more of it there is."""

_MOST_SESSIONS = 10_000
_MOST_SESSIONS_WITH_CALLS = 1000
_MOST_CALLS = 5_000
"""Limits to what is remembered: far more than there are at once, and so few that a server without end does no harm."""

_LATEST_MS = 1 << 47
"""In the year 6429; a number beyond it is no time."""

_MADE_UP_TITLE = re.compile(r"(New|Child) session - \d{4}-")
"""What OpenCode calls a session until it has a title, which often is only milliseconds later."""

_GOES_ON = frozenset({"tool-calls", "unknown"})
"""Why a model stopped that is to be asked once more."""

_REJECTED, _FEEDBACK = "The user rejected permission", "with the following feedback"
_DENIED = (_REJECTED, "The user has specified a rule which prevents")
_CANCELLED = "Tool execution aborted"


class _Message(NamedTuple):
    session_id: str
    message_id: str
    info: Mapping[str, Any]
    parts: Sequence[Mapping[str, Any]]
    at: datetime


class Reader:
    """Makes events of sessions, messages and what a server's stream says.

    It remembers who started which sub-agent, and which tool calls there were: some models give an id twice.
    """

    def __init__(self, recorded_at: datetime) -> None:
        self.not_understood: Counter[str] = Counter()
        self._recorded_at = recorded_at
        """The time of what has none."""
        self._born: dict[str, datetime] = {}
        self._parents: dict[str, tuple[str, str]] = {}
        """The session and the tool call that have started a session."""
        self._calls: dict[str, dict[str, list[str]]] = {}
        """For each session and tool call id the parts that have it, in order."""

    def session(self, info: Mapping[str, Any]) -> list[Event]:
        """What there is to say of a session, by its `info`."""
        session_id = text_of(info.get("id"))
        if session_id is None:
            self.not_understood["session without an id"] += 1
            return []
        times, model = mapping_of(info.get("time")), mapping_of(info.get("model"))
        born = self._born[session_id] = self._time(times.get("created"))
        _forget(self._born, _MOST_SESSIONS)
        parent, call_id = self._parents.get(session_id, (text_of(info.get("parentID")), None))
        version, title = text_of(info.get("version")), text_of(info.get("title"))
        agent, model_id = text_of(info.get("agent")), text_of(model.get("id"))
        # Whatever may change is said of a later time than the rest, and the later, the later it is known.
        at = born + timedelta(microseconds=_version_us(self._time(times.get("updated"), born) - born))
        events: list[Event] = [
            SessionStarted(
                **stamped(session_id, born, "session_started", call_id or ""),
                parent_session_id=parent,
                parent_tool_call_id=call_id,
                project=text_of(info.get("directory")),
                runner=f"opencode {version}" if version else "opencode",
            ),
            SessionStarted(
                **stamped(session_id, at, "session_updated", f"{agent}\0{model_id}"),
                agent_type=agent,
                model=model_id,
                provider=text_of(model.get("providerID")),
            ),
        ]
        if title:
            entitled_at = born if _MADE_UP_TITLE.match(title) else at
            events.append(SessionStarted(**stamped(session_id, entitled_at, "session_title", title), title=title))
        return events

    def message(self, message: Mapping[str, Any]) -> list[Event]:
        """What there is to say of a message by now, by its `info` and `parts`."""
        info = mapping_of(message.get("info"))
        listed = message.get("parts")
        parts = [part for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []
        session_id, message_id = text_of(info.get("sessionID")), text_of(info.get("id"))
        if session_id is None or message_id is None:
            self.not_understood["message without an id"] += 1
            return []
        at = self._time(mapping_of(info.get("time")).get("created"))
        said = _Message(session_id, message_id, info, parts, at)
        if info.get("role") == "assistant":
            return list(self._assistant(said))
        if info.get("role") == "user":
            return list(_user(said))
        self.not_understood["message without a role"] += 1
        return []

    def lost(self, message: Mapping[str, Any]) -> list[Event]:
        """What there is to say of a message that will not be completed, for its server is gone."""
        info = mapping_of(message.get("info"))
        events = self.message(message)
        if is_whole(info) or info.get("role") != "assistant" or not events:
            return events
        session_id = events[0].session_id
        at = self._time(mapping_of(info.get("time")).get("created")) + timedelta(milliseconds=1)
        for event in list(events):
            if isinstance(event, ToolCallStarted):
                common = stamped(session_id, at, "tool_call_lost", event.tool_call_id or "", event.row_id)
                events.append(
                    ToolCallFinished(
                        **common, tool_call_id=event.tool_call_id, tool_name=event.tool_name, status="cancelled", error=LOST
                    )
                )
        common = stamped(session_id, at, "session_lost", str(info.get("id")))
        return [*events, SessionEnded(**common, status="error", error_message=LOST)]

    def _assistant(self, message: _Message) -> Iterator[Event]:
        info, at = message.info, message.at
        yield SessionStarted(**stamped(message.session_id, at, "session_resumed", message.message_id))
        yield from _said_by_model(message)
        for part in message.parts:
            if part.get("type") == "tool":
                yield from self._tool(message, part)
        yield from self._model_calls(message)
        if is_whole(info):
            yield from _end(message, self._time(mapping_of(info.get("time")).get("completed"), at))

    def _model_calls(self, message: _Message) -> Iterator[Event]:
        """One a step, and one that failed before it came to a step's end."""
        steps: list[Sequence[Mapping[str, Any]]] = []
        since = 0
        for index, part in enumerate(message.parts):
            if part.get("type") == "step-finish":
                steps.append(message.parts[since : index + 1])
                since = index + 1
        for n, step in enumerate(steps):
            yield self._model_call(message, n, step)
        error = mapping_of(message.info.get("error"))
        if is_whole(message.info) and error and not steps:
            common = stamped(message.session_id, message.at, "model_call", message.message_id)
            yield ModelCallFinished(**common, **_of_model(message, 0), error=error_of(error))

    def _model_call(self, message: _Message, n: int, step: Sequence[Mapping[str, Any]]) -> ModelCallFinished:
        finish, begin = step[-1], message.at
        spans = [span_of(part) for part in step]
        starts = [self._time(start) for start, _ in spans if start is not None]
        end = max((self._time(end) for _, end in spans if end is not None), default=begin)
        is_first = n == 0  # when a later step was asked for is not told
        cost = finish.get("cost")
        return ModelCallFinished(
            **stamped(message.session_id, end, "model_call", f"{message.message_id}/{n}"),
            **_of_model(message, n),
            usage=usage_of(mapping_of(finish.get("tokens"))),
            finish_reason=text_of(finish.get("reason")),
            cost_usd=cost if isinstance(cost, (int, float)) and not isinstance(cost, bool) and math.isfinite(cost) else None,
            time_to_first_token_ms=milliseconds(min(starts) - begin) if starts and is_first else None,
            duration_ms=milliseconds(end - begin) if end > begin and is_first else None,
        )

    def _tool(self, message: _Message, part: Mapping[str, Any]) -> Iterator[Event]:
        session_id = message.session_id
        state = mapping_of(part.get("state"))
        status, times = text_of(state.get("status")), mapping_of(state.get("time"))
        call_id = text_of(part.get("callID")) or text_of(part.get("id"))
        if call_id is None or status not in {"running", "completed", "error"}:
            return  # pending: what it is called with is still being said
        n = self._reuse(session_id, call_id, text_of(part.get("id")) or "")
        start = self._time(times.get("start"), message.at)
        row = row_id(session_id, ToolCallStarted.row_kind, call_id, n) if n else None
        named: dict[str, Any] = {"tool_call_id": call_id, "tool_name": text_of(part.get("tool"))}
        told: dict[str, Any] = {**named, "input": state.get("input"), "message_id": message.message_id}
        yield from self._sub_agent(session_id, call_id, state)
        if status == "running":
            yield ToolCallStarted(**stamped(session_id, start, "tool_call_started", f"{call_id}~{n}", row), **told)
            return
        end = self._time(times.get("end"), start)
        error = (text_of(state.get("error")) or "failed") if status == "error" else None
        yield ToolCallFinished(
            **stamped(session_id, end, "tool_call_finished", f"{call_id}~{n}", row),
            **told,
            **_outcome(state, error),
            duration_ms=milliseconds(end - start),
        )
        answer = row_id(session_id, MessageAdded.row_kind, call_id, n) if n else None
        yield MessageAdded(
            **stamped(session_id, end, "message", f"{call_id}~{n}", answer),
            **named,
            message_id=call_id,
            role="tool",
            content=state.get("output") if error is None else error,
        )
        if error is not None and error.startswith(_DENIED):
            payload = {"tool_call_id": call_id, "tool_name": named["tool_name"], "reason": error}
            yield note(session_id, end, "permission_denied", f"permission_denied:{call_id}", payload)

    def _sub_agent(self, session_id: str, call_id: str, state: Mapping[str, Any]) -> Iterator[Event]:
        """The session that a tool call has started, whose own `info` does not say by which."""
        child = text_of(mapping_of(state.get("metadata")).get("sessionId"))
        if child is None:
            return
        self._parents[child] = (session_id, call_id)
        _forget(self._parents, _MOST_SESSIONS)
        born = self._born.get(child)
        if born is not None:
            common = stamped(child, born, "session_parent", call_id)
            yield SessionStarted(**common, parent_session_id=session_id, parent_tool_call_id=call_id)

    def _reuse(self, session_id: str, call_id: str, part_id: str) -> int:
        """How many other parts of the session had this id before."""
        calls = self._calls[session_id] = self._calls.pop(session_id, {})  # the one that was used last is forgotten last
        _forget(self._calls, _MOST_SESSIONS_WITH_CALLS)
        parts = calls.setdefault(call_id, [])
        _forget(calls, _MOST_CALLS)
        if part_id not in parts:
            parts.append(part_id)
        return parts.index(part_id)

    def _time(self, value: Any, default: datetime | None = None) -> datetime:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < _LATEST_MS:
            return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=int(value))
        return self._recorded_at if default is None else default


def _outcome(state: Mapping[str, Any], error: str | None) -> dict[str, Any]:
    """What came of a tool call, which failed with `error` if that is not None."""
    metadata = mapping_of(state.get("metadata"))
    known = {"title": state.get("title"), "exit": metadata.get("exit"), "truncated": metadata.get("truncated") or None}
    status = "completed" if error is None else "cancelled" if error.startswith(_CANCELLED) else "error"
    return {
        "status": status,
        "output": state.get("output") if error is None else None,
        "error": error,
        "metadata": {key: value for key, value in known.items() if value is not None} or None,
    }


def _user(message: _Message) -> Iterator[Event]:
    session_id, at = message.session_id, message.at
    if not message.parts:
        return  # they are on their way: OpenCode makes no message without any
    yield SessionStarted(**stamped(session_id, at, "session_resumed", message.message_id))
    for part in message.parts:
        if part.get("type") == "compaction":
            yield note(session_id, at, "compaction", text_of(part.get("id")) or message.message_id, payload_of(part))
    content = [part_of(part) for part in message.parts if part.get("type") != "compaction"]
    if content:
        version = at + timedelta(microseconds=min(len(content), _WHOLE_US))
        common = stamped(session_id, version, "message", message.message_id)
        yield MessageAdded(**common, message_id=message.message_id, role="user", content=plain(content))


def _said_by_model(message: _Message) -> Iterator[Event]:
    info, is_done = message.info, is_whole(message.info)
    said = [part for part in message.parts if says_something(part)]
    if not said and not is_done:
        return
    # Of two versions of a message the later one counts, which is the one that has more of it.
    grown = 2 * len(said) - sum(not is_whole_part(part) for part in said)
    version = message.at + timedelta(microseconds=_WHOLE_US if is_done else min(grown, _WHOLE_US - 1))
    marks = {
        "mode": text_of(info.get("mode")),
        "compact_summary": info.get("summary") is True,
        "incomplete": not is_done,
        "error": text_of(mapping_of(info.get("error")).get("name")),
    }
    tokens = usage_of(mapping_of(info.get("tokens")))
    yield MessageAdded(
        **stamped(message.session_id, version, "message", message.message_id),
        message_id=message.message_id,
        role="assistant",
        content=plain([part_of(part) for part in said]) if said else None,
        model=text_of(info.get("modelID")),
        token_count=tokens.output if tokens and is_done else None,
        metadata={key: value for key, value in marks.items() if value},
    )


def _of_model(message: _Message, n: int) -> dict[str, Any]:
    return {
        "model_call_id": f"{message.message_id}/{n}" if n else message.message_id,
        "model": text_of(message.info.get("modelID")),
        "provider": text_of(message.info.get("providerID")),
    }


def _end(message: _Message, completed: datetime) -> Iterator[Event]:
    """The end of a turn, if that was its last message."""
    error = mapping_of(message.info.get("error"))
    is_cancelled = error.get("name") == ABORTED or any(map(_is_refused, message.parts))
    if not error and not is_cancelled and text_of(message.info.get("finish")) in _GOES_ON:
        return
    status = "cancelled" if is_cancelled else "error" if error else "completed"
    # After everything of this moment, however precise its time is.
    common = stamped(message.session_id, completed + timedelta(milliseconds=1), "session_ended", message.message_id)
    yield SessionEnded(**common, status=status, error_message=error_of(error) if status == "error" else None)


def _is_refused(part: Mapping[str, Any]) -> bool:
    """Whether a person did not allow a tool call, and said nothing: then the model is not asked again."""
    error = text_of(mapping_of(part.get("state")).get("error")) or ""
    return error.startswith(_REJECTED) and _FEEDBACK not in error


def _version_us(age: timedelta) -> int:
    """Microseconds that grow with the age of what is said, and do not reach a millisecond in a hundred years."""
    return int(23 * math.log2(1 + max(age / timedelta(milliseconds=1), 0.0)))


def _forget(remembered: dict[str, Any], most: int) -> None:
    if len(remembered) > most:
        del remembered[next(iter(remembered))]
