"""What the database answers as numbers: sums, rates, durations, costs."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from turso_hooks.errors import QueryError
from turso_hooks.query.asking import Asker
from turso_hooks.query.filters import meant_by
from turso_hooks.query.stats.periods import Days
from turso_hooks.query.stats.prices import Called, Estimator, Tokens, are_prices_installed
from turso_hooks.query.stats.questions import BY, question
from turso_hooks.query.stats.results import Durations, Numbers, Stats
from turso_hooks.store.statistics import (
    COUNTERS,
    MESSAGE,
    MODEL_CALL,
    SESSION,
    TOOL_CALL,
    TOOL_USE,
    UNPRICED_CALL,
    in_bucket,
)

_OPERATION = "add up statistics"
_NANO = 10**9
_NOTHING = dict.fromkeys(COUNTERS, 0)
_OF_TOKENS = tuple(map(COUNTERS.index, ("count", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")))

_decode = msgspec.json.Decoder(dict[str, int]).decode


def stats(asker: Asker, by: str, filters: Mapping[str, Any]) -> Stats:
    """Numbers for each value; see `Reader.stats`."""
    if by not in BY:
        raise QueryError(f"there are no numbers by {by!r:.40}: ask by one of {', '.join(BY)}")
    days = Days.touched(filters.get("since"), filters.get("until"))
    of_sessions = {name: value for name, value in filters.items() if name not in {"since", "until"}}
    meant = meant_by(of_sessions, asker.now()).together()
    sums = _sums(asker.result(_OPERATION, *question(by, days, meant if meant.parts else None)).rows)
    uncounted = asker.result(_OPERATION, "SELECT count(*) FROM stats_uncounted").rows[0][0]
    values = [sum_ for (dimension, _), sum_ in sums.items() if dimension != "all" or by in {"day", "month"}]
    totals = [sum_ for (dimension, _), sum_ in sums.items() if dimension == "all"] if by == "tool" else values
    total = _Sum(None)
    for each in totals:
        total.add(each)
    estimator = Estimator(total.unpriced)
    rows = [each.numbers(estimator) for each in values if each.is_any]
    if by in {"day", "month"}:
        rows.sort(key=lambda row: row.value or "")
    else:
        rows.sort(key=lambda row: (-row.messages - row.tool_calls - row.model_calls, -row.sessions, row.value or ""))
    return Stats(
        by=by,
        since=days.since,
        until=days.until,
        rows=tuple(rows),
        total=total.numbers(estimator),
        has_prices=are_prices_installed(),
        uncounted_sessions=uncounted,
    )


@dataclass
class _Sum:
    """What was counted of one value: counters by kind, calls by length, and tokens that have no price yet."""

    value: str | None
    counters: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    durations: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    unpriced: defaultdict[Called, Tokens] = field(default_factory=lambda: defaultdict(Tokens))

    @property
    def is_any(self) -> bool:
        return any(any(counters) for counters in self.counters.values())

    def count(self, kind: str, numbers: Sequence[int]) -> None:
        before = self.counters.get(kind)
        self.counters[kind] = [*numbers] if before is None else [a + b for a, b in zip(before, numbers, strict=True)]

    def add(self, other: _Sum) -> None:
        for kind, numbers in other.counters.items():
            self.count(kind, numbers)
        for kind, durations in other.durations.items():
            self.durations[kind].update(durations)
        for called, tokens in other.unpriced.items():
            self.unpriced[called].add(tokens)

    def of(self, *kinds: str) -> dict[str, int]:
        """The counters of these kinds together."""
        found = [self.counters[kind] for kind in kinds if kind in self.counters]
        return dict(zip(COUNTERS, map(sum, zip(*found, strict=True)), strict=True)) if found else _NOTHING

    def numbers(self, estimator: Estimator) -> Numbers:
        sessions, messages, tools = self.of(SESSION), self.of(MESSAGE), self.of(TOOL_CALL)
        models = self.of(MODEL_CALL, UNPRICED_CALL)
        estimates = [(tokens, estimator.estimate(called, tokens)) for called, tokens in self.unpriced.items()]
        return Numbers(
            value=self.value,
            sessions=sessions["count"] or self.of(TOOL_USE)["count"],
            sessions_completed=sessions["completed"],
            sessions_failed=sessions["errors"],
            session_success_rate=_rate(sessions),
            messages=messages["count"],
            message_tokens=messages["message_tokens"],
            model_calls=models["count"],
            model_errors=models["errors"],
            model_success_rate=_rate(models),
            model_durations=_durations(self.durations[MODEL_CALL]),
            tool_calls=tools["count"],
            tool_errors=tools["errors"],
            tool_success_rate=_rate(tools),
            tool_durations=_durations(self.durations[TOOL_CALL]),
            input_tokens=models["input_tokens"],
            output_tokens=models["output_tokens"],
            cache_read_tokens=models["cache_read_tokens"],
            cache_write_tokens=models["cache_write_tokens"],
            reasoning_tokens=models["reasoning_tokens"],
            cost_usd=models["cost_nano_usd"] / _NANO,
            estimated_cost_usd=math.fsum(cost for _, cost in estimates if cost is not None),
            unpriced_calls=sum(tokens.calls for tokens, cost in estimates if cost is None),
        )


def _sums(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[str, str], _Sum]:
    """By dimension and value."""
    sums: dict[tuple[str, str], _Sum] = {}
    for dimension, value, kind, model, provider, period, durations, *counters in rows:
        if isinstance(value, bytes):  # other programs may have written it
            value = value.decode("utf-8", errors="replace")  # noqa: PLW2901
        found = sums.get((dimension, value)) or sums.setdefault((dimension, value), _Sum(value or None))
        if durations is not None:
            found.durations[kind].update(_decode(durations))
            continue
        found.count(kind, counters)
        if kind == UNPRICED_CALL:
            found.unpriced[Called(str(model), str(provider), period)].add(Tokens(*(counters[n] for n in _OF_TOKENS)))
    return sums


def _rate(counters: Mapping[str, int]) -> float | None:
    over = counters["completed"] + counters["errors"]
    return counters["completed"] / over if over else None


def _durations(counts: Mapping[str, int]) -> Durations:
    """Of buckets the figures: the smallest duration that so many of all do not exceed."""
    buckets = sorted((int(lower_ms), count) for lower_ms, count in counts.items() if count > 0)
    number = sum(count for _, count in buckets)
    if not number:
        return Durations(count=0, p50_ms=None, p95_ms=None, max_ms=None)

    def quantile(percent: int) -> int:
        wanted = -(-number * percent // 100)
        for lower, count in buckets:
            wanted -= count
            if wanted <= 0:
                return round(in_bucket(lower))
        raise AssertionError("no count is below zero")

    return Durations(count=number, p50_ms=quantile(50), p95_ms=quantile(95), max_ms=quantile(100))
