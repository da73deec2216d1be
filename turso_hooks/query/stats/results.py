"""What statistics are made of."""

from __future__ import annotations

from datetime import date

import msgspec


class Durations(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took, in milliseconds: each figure is within 6 % of the true one; None if nothing is known.

    Half of all took `p50_ms` at most, 95 of 100 `p95_ms`, and all of them `max_ms`; what took longer than 25 days counts as
    that. `count` is of how many it is known.
    """

    count: int
    p50_ms: int | None
    p95_ms: int | None
    max_ms: int | None


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is of everything.

    A session counts on the day it began, all else when it happened; days are those of UTC. Rates are what was completed among
    what was completed or ended in an error: running and cancelled ones are neither, and of none there is no rate.

    Tokens and costs are those of model calls, `input_tokens` with the cached ones, `output_tokens` with those of reasoning.
    What messages say of their own tokens is the same tokens once more, and kept apart in `message_tokens`.
    """

    value: str | None
    """Of what: `2026-01-31`, the name of a model, and so on; None for what has none, and for the total."""
    sessions: int
    """By tool: those in which it was called."""
    sessions_completed: int
    sessions_failed: int
    session_success_rate: float | None
    messages: int
    message_tokens: int
    model_calls: int
    model_errors: int
    model_success_rate: float | None
    model_durations: Durations
    tool_calls: int
    tool_errors: int
    tool_success_rate: float | None
    tool_durations: Durations
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: float
    """What sources said that calls cost."""
    estimated_cost_usd: float
    """What further calls cost by list prices; 0 without the extra `prices`."""
    unpriced_calls: int
    """Calls of which neither is known."""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers for each value that was asked for, and in total."""

    by: str
    since: date | None
    """The first day; None if all that was before is meant too."""
    until: date | None
    """The day after the last one; None if all that came after is meant too."""
    rows: tuple[Numbers, ...]
    """By day and month in the order of time, else those with the most in them first."""
    total: Numbers
    has_prices: bool
    """Whether the extra `prices` is installed, so that costs can be estimated."""
    uncounted_sessions: int
    """Sessions that were there before statistics were kept, and are not in them yet: see `turso-hooks recount`."""
