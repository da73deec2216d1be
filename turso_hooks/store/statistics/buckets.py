"""Durations are counted by the lower end of their bucket: eight buckets to each power of two. Pure.

So what is said of one is at most 6 % from it, and what is counted can be added up and taken back.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_MS = 2**31
"""Longer durations count as this: 25 days."""


_BUCKET_BITS = 3


def lower_end(milliseconds: int) -> int:
    """The lower end of the bucket of a duration: itself below 16, else its four highest bits."""
    cut = min(milliseconds, MOST_MS).bit_length() - _BUCKET_BITS - 1
    return min(milliseconds, MOST_MS) >> cut << cut if cut > 0 else milliseconds


def in_bucket(lower: int) -> float:
    """The duration that stands for all of a bucket: at most 1/17 from each of them."""
    width = 1 << max(0, lower.bit_length() - _BUCKET_BITS - 1)
    upper = lower + width
    return lower if width == 1 else 2 * lower * upper / (lower + upper)


def lower_end_of(value: str) -> str:
    """SQL: `lower_end` of a value."""
    bits_cut = " + ".join(f"(d >= {2**power})" for power in range(_BUCKET_BITS + 1, MOST_MS.bit_length()))
    return f"(SELECT d & -(1 << ({bits_cut})) FROM (SELECT min({value}, {MOST_MS}) AS d))"


def packed(buckets: str, key: str, counters: Sequence[str] = ()) -> str:
    """SQL: for each key its buckets as one JSON object, `durations`, and sums of counters; NULL if it has no bucket."""
    sums = "".join(f", sum({column}) AS {column}" for column in counters)
    of_each = "".join(f", sum({column}) AS {column}" for column in counters or ("count",))
    return f"""SELECT {key}, '{{' || group_concat('"' || lower_ms || '":' || count) || '}}' AS durations{sums}
        FROM (SELECT {key}, lower_ms{of_each} FROM ({buckets}) GROUP BY {key}, lower_ms) GROUP BY {key}"""
