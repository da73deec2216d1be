"""What model calls may have cost of which their source did not say: an estimate by the package genai-prices.

It comes with the extra `prices`, and is imported when something is to be estimated. It knows list prices, and since when they
hold (https://github.com/pydantic/genai-prices); it does not know of discounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

import msgspec

_TRIED_TOKENS = 1000
"""Of one kind, to find its price. Prices that step up with the size of a call do so at many times as many."""

_LARGEST_CALL = 10**8
"""Input tokens; what claims to be larger is no average of calls."""


class Tokens(msgspec.Struct):
    """Tokens of some model calls; `input` includes the cached ones, as everywhere."""

    calls: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    def add(self, other: Tokens) -> None:
        """Add others to these."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Called(NamedTuple):
    """A model, its provider (empty if unknown) and the day or month, as `2026-01-31` or `2026-01`; empty if unknown."""

    model: str
    provider: str
    period: str


class _Price(NamedTuple):
    """Dollars for one token."""

    input: float
    output: float
    cache_read: float
    cache_write: float

    def of(self, tokens: Tokens) -> float:
        uncached = max(0, tokens.input - tokens.cache_read - tokens.cache_write)
        cached = self.cache_read * tokens.cache_read + self.cache_write * tokens.cache_write
        return self.input * uncached + self.output * tokens.output + cached


class Estimator:
    """Knows the price of an average call of each kind: of some models a large call costs more a token."""

    def __init__(self, calls: Mapping[Called, Tokens]) -> None:
        self._prices = {called: _price(called, tokens) for called, tokens in calls.items()}

    def estimate(self, called: Called, tokens: Tokens) -> float | None:
        """What calls of this kind cost in dollars; None if no price is known."""
        price = self._prices.get(called)
        return None if price is None else price.of(tokens)


@cache
def are_prices_installed() -> bool:
    """Whether anything can be estimated."""
    return find_spec("genai_prices") is not None


def _price(called: Called, tokens: Tokens) -> _Price | None:
    if not called.model or not are_prices_installed():
        return None
    from genai_prices import Usage, calc_price  # noqa: PLC0415  # takes 0.2 s

    average = min(max(tokens.input / max(tokens.calls, 1), _TRIED_TOKENS), _LARGEST_CALL)

    def cost(provider: str | None, **of_one_kind: int) -> float:
        usage = Usage(input_tokens=average, **of_one_kind)
        found = calc_price(usage, called.model, provider_id=provider, genai_request_timestamp=_middle_of(called.period))
        return float(found.total_price)

    for provider in dict.fromkeys((called.provider or None, None)):
        try:
            without = cost(provider)
            output, read, write = (
                (cost(provider, **{kind: _TRIED_TOKENS}) - without) / _TRIED_TOKENS
                for kind in ("output_tokens", "cache_read_tokens", "cache_write_tokens")
            )
        except (LookupError, ValueError):  # it does not know the model, or not at this provider
            continue
        uncached = without / average
        return _Price(uncached, output, uncached + read, uncached + write)  # cached ones are among the input
    return None


def _middle_of(period: str) -> datetime | None:
    """A time in a day or month; None, which is now, if it is unknown."""
    try:
        day = f"{period}-15" if len(period) == len("2026-01") else period
        return datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
