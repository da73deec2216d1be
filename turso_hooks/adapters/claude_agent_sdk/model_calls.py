"""The model calls of a conversation: by the stream's partial messages, and by the result, which says what all have cost.

No input or output, but it looks at the clock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from turso_hooks.adapters.claude_agent_sdk.observed import observed
from turso_hooks.events import Event, ModelCallFinished, utc_now
from turso_hooks.transcripts.anthropic import PROVIDER, mapping_of, text_of, usage_of, weight_of


@dataclass
class _Call:
    """One that is running, by the partial messages."""

    call_id: str
    model: str | None
    began: float
    usage: dict[str, Any]
    first_token: float | None = None
    finish_reason: str | None = None


class _Untold(NamedTuple):
    """One of which no partial message has told."""

    session_id: str
    model: str | None
    usage: dict[str, Any]
    occurred_at: datetime


class _Unpriced(NamedTuple):
    session_id: str
    call_id: str
    model: str
    weight: float
    occurred_at: datetime


class ModelCalls:
    """Makes the events of model calls. What it remembers is gone with the next result."""

    def __init__(self) -> None:
        self._requested = time.perf_counter()
        self._call: _Call | None = None
        self._told: set[str] = set()
        """Of which partial messages have told since the last result."""
        self._untold: dict[str, _Untold] = {}
        self._unpriced: list[_Unpriced] = []

    def requested(self) -> None:
        """Note that the next call begins now."""
        self._requested = time.perf_counter()

    def answered(
        self, session_id: str, call_id: str, model: str | None, usage: Mapping[str, Any], occurred_at: datetime
    ) -> None:
        """Note a call by its answer, of which partial messages may not tell."""
        if call_id not in self._told and (self._call is None or self._call.call_id != call_id):
            self._untold[call_id] = _Untold(session_id, model, dict(usage), occurred_at)

    def partial(self, session_id: str, event: Mapping[str, Any]) -> Iterator[Event]:
        """A partial message, which is an event of the API's stream."""
        kind = event.get("type")
        if kind == "message_start":
            yield from self.over(session_id)
            message = mapping_of(event.get("message"))
            call_id = text_of(message.get("id"))
            if call_id:
                usage = dict(mapping_of(message.get("usage")))
                self._call = _Call(call_id, text_of(message.get("model")), self._requested, usage)
            return
        call = self._call
        if call is None:
            return
        if kind == "content_block_delta" and call.first_token is None:
            call.first_token = time.perf_counter()
        elif kind == "message_delta":
            call.usage |= mapping_of(event.get("usage"))
            call.finish_reason = text_of(mapping_of(event.get("delta")).get("stop_reason"))
        elif kind == "message_stop":
            yield from self.over(session_id)

    def over(self, session_id: str) -> Iterator[Event]:
        """The end of the call that runs, if one does."""
        call, self._call = self._call, None
        if call is None:
            return
        self._told.add(call.call_id)
        self._untold.pop(call.call_id, None)
        if call.finish_reason is None:
            call.usage.pop("output_tokens", None)  # what it was when the answer began
        now = utc_now()
        self._unpriced.append(_Unpriced(session_id, call.call_id, call.model or "", weight_of(call.usage), now))
        yield ModelCallFinished(
            **observed(session_id, now),
            model_call_id=call.call_id,
            model=call.model,
            provider=PROVIDER,
            usage=usage_of(call.usage),
            finish_reason=call.finish_reason,
            duration_ms=(time.perf_counter() - call.began) * 1000,
            time_to_first_token_ms=(call.first_token - call.began) * 1000 if call.first_token else None,
        )

    def untold(self, session_id: str, total: Mapping[str, Any]) -> Iterator[Event]:
        """Calls of which only the beginning was told: what came out of them is known if it was one."""
        of_this = [call for call in self._untold.values() if call.session_id == session_id]
        for call_id, (name, model, usage, occurred_at) in self._untold.items():
            usage.pop("output_tokens", None)
            if name == session_id and len(of_this) == 1 and "output_tokens" in total and not self._told:
                usage["output_tokens"] = total["output_tokens"]
                self._unpriced.append(_Unpriced(name, call_id, model or "", weight_of(usage), occurred_at))
            common = observed(name, occurred_at)
            yield ModelCallFinished(**common, model_call_id=call_id, model=model, provider=PROVIDER, usage=usage_of(usage))
        self._untold.clear()

    def priced(self, session_id: str, total: Mapping[str, Any], prices: Mapping[str, float]) -> Iterator[Event]:
        """What is known with a result: `total` is the usage of all calls, `prices` what a token of input costs, by model."""
        yield from self.over(session_id)
        yield from self.untold(session_id, total)
        self._told.clear()
        for call in self._unpriced:
            price = prices.get(call.model)
            if price is not None:
                common = observed(call.session_id, call.occurred_at)
                yield ModelCallFinished(**common, model_call_id=call.call_id, cost_usd=price * call.weight)
        self._unpriced.clear()
