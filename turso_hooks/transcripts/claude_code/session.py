"""The events of what is remembered of a session: messages and calls that are not over, what they cost, the end. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    SessionEnded,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    derived_event_id,
)
from turso_hooks.transcripts.anthropic import PROVIDER, part_of, plain, usage_of, weight_of
from turso_hooks.transcripts.claude_code.state import OpenCall, OpenMessage, Session, Unpriced

_SOURCE_RANK = 3
_MOST_UNPRICED = 10_000
"""A limit to what is remembered: far more than a session has at once, and so few that a file without end does no harm."""


class SessionEvents:
    """Makes the events of one session."""

    def __init__(self, name: str, session: Session) -> None:
        self._name = name
        self._session = session
        self._at = session.last_at
        self._position = 0

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
        if not answer.is_copied and not answer.is_error:
            yield self._model_call(answer, occurred_at, usage)

    def _model_call(self, answer: OpenMessage, occurred_at: datetime, usage: Usage | None) -> ModelCallFinished:
        """The call that an answer came from; if its price is not known yet, it is noted, for `costs`."""
        model = answer.model or ""
        price = self._session.prices.get(model)
        weight = weight_of(answer.usage)
        if price is None:
            unpriced = self._session.unpriced
            del unpriced[: max(len(unpriced) - _MOST_UNPRICED + 1, 0)]
            unpriced.append(
                Unpriced(
                    call_id=answer.message_id, model=model, weight=weight, occurred_at=occurred_at, position=answer.position
                )
            )
        return ModelCallFinished(
            **self._common("model_call", answer.message_id, occurred_at, answer.position),
            model_call_id=answer.message_id,
            model=answer.model,
            provider=PROVIDER,
            usage=usage,
            finish_reason=answer.stop_reason,
            cost_usd=None if price is None else price * weight,
            metadata={"request_id": answer.request_id} if answer.request_id else None,
        )

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

    def end(self) -> Iterator[Event]:
        """Its end, and that of the tool calls that have none."""
        session = self._session
        session.is_open = False
        for call_id, call in session.calls.items():
            if call.is_copied:
                continue
            common = self._common("tool_call_cancelled", call_id, session.last_at, call.position)
            named: dict[str, Any] = {"tool_call_id": call_id, "tool_name": call.tool_name}
            yield ToolCallFinished(**common, **named, **of_start(call), status="cancelled")
        session.calls = {}
        is_cancelled = session.is_cancelled or session.awaits_answer
        status = "cancelled" if is_cancelled else "error" if session.error else "completed"
        # After everything of this moment, however precise its time is.
        at = session.last_at + timedelta(milliseconds=1)
        yield SessionEnded(**self._common("session_ended", status, at), status=status, error_message=session.error)

    def _common(self, kind: str, source: str, at: datetime | None = None, position: int | None = None) -> dict[str, Any]:
        occurred_at = at or self._at
        return {
            "session_id": self._name,
            "event_id": derived_event_id(occurred_at, self._name, kind, source),
            "occurred_at": occurred_at,
            "position": self._position if position is None else position,
            "source_rank": _SOURCE_RANK,
        }


def of_start(call: OpenCall | None) -> dict[str, Any]:
    """What the end of a call tells of its start, if that has not been told."""
    if call is None or call.is_said:
        return {}
    return {"input": call.input, "message_id": call.message_id, "started_at": call.occurred_at}
