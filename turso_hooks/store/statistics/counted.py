"""What is counted: rows of which tables, as what, and the numbers of each, as SQL. Pure.

Of a model call of which nobody said what it cost, the tokens are counted apart (`unpriced_call`), so that its price can be
estimated. Costs are whole billionths of a dollar: sums of them can be taken back without a rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from turso_hooks.store.statistics.buckets import lower_end_of

SESSION, MESSAGE, TOOL_CALL, TOOL_USE = "session", "message", "tool_call", "tool_use"
MODEL_CALL, UNPRICED_CALL = "model_call", "unpriced_call"
"""The kinds of things that are counted. A `tool_use` is a session in which a tool was called: as one, however many calls."""

COUNTERS = (
    "count",
    "completed",
    "errors",
    "message_tokens",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_nano_usd",
)

NO_DAY = -(10**7)
"""The day of what has no time."""

_MOST_TOKENS, _MOST_USD = 10**10, 10**4
"""Of one call. Greater numbers are none: the sums of 900,000 of them are still integers to SQLite."""

MOST_CHARS = 200
"""Longer names and values count as their beginning."""


def _tokens(column: str) -> str:
    return f"CASE WHEN {column} BETWEEN 0 AND {_MOST_TOKENS} THEN CAST({column} AS INTEGER) ELSE 0 END"


def beginning(column: str) -> str:
    """SQL: what counts of a name."""
    return f"coalesce(substr({column}, 1, {MOST_CHARS}), '')"  # of an empty blob it is NULL


def _is(status: str) -> str:
    return f"(status IS '{status}')"


def day_of(column: str) -> str:
    """SQL: days since 1970 of a time in milliseconds."""
    day = 86_400_000
    return f"coalesce(({column} - CASE WHEN {column} < 0 THEN {day - 1} ELSE 0 END) / {day}, {NO_DAY})"


_IS_PRICED = f"(typeof(cost_usd) IN ('real', 'integer') AND cost_usd BETWEEN 0 AND {_MOST_USD})"
_OF_CALLS = tuple(column for column in COUNTERS if column.endswith("_tokens") and column != "message_tokens")


@dataclass(frozen=True)
class CountedTable:
    """A table whose rows are counted."""

    table: str
    reads: tuple[str, ...]
    """The columns that decide what a row counts as, `session_id` beside them; `stats_waiting` has them too."""
    kind: str
    """SQL on these."""
    counters: dict[str, str]
    """SQL, beside `count`, which is 1."""
    name: str = "''"
    """SQL: the model or tool that it names; empty if none."""
    provider: str = "''"
    day: str = day_of("occurred_ms")
    session_id: str = "session_id"
    """What that column is called here."""

    @property
    def bucket(self) -> str:
        """SQL: the bucket of a row's duration; NULL if it has none."""
        if "duration_ms" not in self.reads:
            return "NULL"
        return f"CASE WHEN typeof(duration_ms) = 'integer' AND duration_ms >= 0 THEN {lower_end_of('duration_ms')} END"


_TOOL_CALLS = CountedTable(
    "tool_executions",
    ("occurred_ms", "tool_name", "status", "duration_ms"),
    f"'{TOOL_CALL}'",
    {"completed": _is("completed"), "errors": _is("error")},
    name=beginning("tool_name"),
)

COUNTED = (
    # On the day that it began: that of its row, whatever is known of it by then.
    CountedTable(
        "sessions",
        ("status",),
        f"'{SESSION}'",
        {"completed": _is("completed"), "errors": _is("error")},
        day="0",
        session_id="id",
    ),
    CountedTable(
        "messages",
        ("occurred_ms", "model", "token_count"),
        f"'{MESSAGE}'",
        {"message_tokens": _tokens("token_count")},
        name=beginning("model"),
    ),
    _TOOL_CALLS,
    CountedTable(
        "model_calls",
        ("occurred_ms", "model", "provider", "status", "duration_ms", "cost_usd", *_OF_CALLS),
        f"CASE WHEN {_IS_PRICED} THEN '{MODEL_CALL}' ELSE '{UNPRICED_CALL}' END",
        {
            "completed": _is("completed"),
            "errors": _is("error"),
            **{column: _tokens(column) for column in _OF_CALLS},
            "cost_nano_usd": f"CASE WHEN {_IS_PRICED} THEN CAST(round(cost_usd * 1e9) AS INTEGER) ELSE 0 END",
        },
        name=beginning("model"),
        provider=beginning("provider"),
    ),
)

EVERY_SESSION = " UNION ".join(
    f"SELECT {each.session_id} FROM {each.table} WHERE {each.session_id} IS NOT NULL" for each in COUNTED
)
"""SQL: the ids of all sessions, those among them that only rows name."""

_USES = replace(_TOOL_CALLS, reads=("tool_name",), kind=f"'{TOOL_USE}'", counters={}, day="0")

KEY = ("session_id", "kind", "name", "provider", "day")
SESSION_KEY = ", ".join(KEY)


def facts_waiting(which: str = "true") -> str:
    """SQL: what rows of `stats_waiting` count as, in the columns of `KEY`, `lower_ms` and `COUNTERS`."""
    # An id may be NULL: the original's tables allow it. What refers to a session may not.
    return _facts(
        lambda counted: f"stats_waiting WHERE counted = '{counted.table}' AND session_id IS NOT NULL AND {which}", sign="sign"
    )


def facts(which: str) -> str:
    """SQL: the same from a full count; `which` is the SQL of which sessions, with `{id}` for the column of their ids."""
    return _facts(lambda counted: f"{counted.table} WHERE {which.format(id=counted.session_id)}")


def _facts(source: Callable[[CountedTable], str], sign: str = "1") -> str:
    def of(counted: CountedTable) -> str:
        session_id = "session_id" if sign == "sign" else counted.session_id
        key = (session_id, counted.kind, counted.name, counted.provider, counted.day, counted.bucket)
        named = ", ".join(f"{sql} AS {column}" for column, sql in zip((*KEY, "lower_ms"), key, strict=True))
        counters = {"count": "1"} | counted.counters
        sums = (f"sum({sign} * ({counters[each]}))" if each in counters else "0" for each in COUNTERS)
        numbers = ", ".join(f"{sql} AS {column}" for column, sql in zip(COUNTERS, sums, strict=True))
        return f"SELECT {named}, {numbers} FROM {source(counted)} GROUP BY 1, 2, 3, 4, 5, 6"

    return " UNION ALL ".join(of(counted) for counted in (*COUNTED, _USES))
