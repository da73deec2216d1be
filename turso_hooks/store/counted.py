"""What is counted for statistics, under what, and how: as SQL. Pure. The tables and triggers are in `counting`.

Triggers only note what they see: whoever writes, each row that comes is in `stats_waiting` with the sign 1, one that goes with
-1, one that changes with both. So they cost little, hold nothing that could fail, and what is noted is right at once, whatever
is changed or deleted. It waits there until it is brought to where it is read:

- `stats` and `stats_durations`: a row for each value of each dimension and each day and month, however many sessions there are.
- `session_stats`: the same numbers of each session: a row for each day (UTC), kind of thing and name.

Where a session gets another project, say, what was brought has to go from one value to the other: a trigger notes that in
`stats_changes`, for each row of `session_stats` once to be taken away and once to be added. So at any time

    session_stats + stats_waiting                   =  what a full count would give
    stats + stats_changes                           =  session_stats, under the values that the sessions have
    stats + stats_changes + what waits, under them  =  what is read

and what brings them together (`rollups`) may come when it likes.

A session whose rows were there before the triggers is in `stats_uncounted` until `rollups` has counted it.

Of a model call of which nobody said what it cost, the tokens are counted apart (`unpriced_call`), so that its price can be
estimated. Costs are whole billionths of a dollar: sums of them can be taken back without a rest. Durations are counted by the
lower end of their bucket: eight to each power of two, so what is said of one is at most 6 % from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

SESSION, MESSAGE, TOOL_CALL, TOOL_USE = "session", "message", "tool_call", "tool_use"
MODEL_CALL, UNPRICED_CALL = "model_call", "unpriced_call"
"""The kinds of things that are counted. A `tool_use` is a session in which a tool was called: as one, however many calls."""

SESSION_DIMENSIONS = ("agent_type", "project", "user_id", "runner")
DIMENSIONS = ("all", *SESSION_DIMENSIONS, "model", "provider", "tool")
"""What numbers can be asked by. Of one value of it: what its sessions hold; of `model` and `provider` the calls and messages
that name it, and the rest of those sessions that do; of `tool` its calls."""

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

MOST_MS = 2**31
"""Longer durations count as this: 25 days."""

_MOST_TOKENS, _MOST_USD = 10**10, 10**4
"""Of one call. Greater numbers are none: the sums of 900,000 of them are still integers to SQLite."""

MOST_CHARS = 200
"""Longer names and values count as their beginning."""

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


def _lower_end(value: str) -> str:
    """SQL of `lower_end`."""
    bits_cut = " + ".join(f"(d >= {2**power})" for power in range(_BUCKET_BITS + 1, MOST_MS.bit_length()))
    return f"(SELECT d & -(1 << ({bits_cut})) FROM (SELECT min({value}, {MOST_MS}) AS d))"


def _tokens(column: str) -> str:
    return f"CASE WHEN {column} BETWEEN 0 AND {_MOST_TOKENS} THEN CAST({column} AS INTEGER) ELSE 0 END"


def _beginning(column: str) -> str:
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
        return f"CASE WHEN typeof(duration_ms) = 'integer' AND duration_ms >= 0 THEN {_lower_end('duration_ms')} END"


_TOOL_CALLS = CountedTable(
    "tool_executions",
    ("occurred_ms", "tool_name", "status", "duration_ms"),
    f"'{TOOL_CALL}'",
    {"completed": _is("completed"), "errors": _is("error")},
    name=_beginning("tool_name"),
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
        name=_beginning("model"),
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
        name=_beginning("model"),
        provider=_beginning("provider"),
    ),
)

EVERY_SESSION = " UNION ".join(
    f"SELECT {each.session_id} FROM {each.table} WHERE {each.session_id} IS NOT NULL" for each in COUNTED
)
"""SQL: the ids of all sessions, those among them that only rows name."""

_USES = replace(_TOOL_CALLS, reads=("tool_name",), kind=f"'{TOOL_USE}'", counters={}, day="0")

KEY = ("session_id", "kind", "name", "provider", "day")
SESSION_KEY = ", ".join(KEY)
STATS_KEY = "dimension, span, period, value, kind, model, provider"
DURATIONS_KEY = "dimension, span, period, value, kind"


CONTRIBUTION = ("day", "kind", "name", "model", "provider", *SESSION_DIMENSIONS, "durations", *COUNTERS)
"""The columns of `stats_changes`, without `sign`."""


def contributions(stats: str, session: Callable[[str], str] = "sessions.{}".format, before: str = "0") -> str:
    """SQL: what rows of `session_stats` add, in the columns of `CONTRIBUTION`.

    `session` gives the SQL of a column of their sessions. Of rows that are to be added to others, `before` is these' count.
    """
    of_session = f"{stats}.kind IN ('{SESSION}', '{TOOL_USE}')"
    is_tool = f"{stats}.kind IN ('{TOOL_CALL}', '{TOOL_USE}')"
    model, provider = (_beginning(session(column)) for column in ("model", "provider"))
    values = {
        "day": f"CASE WHEN {of_session} THEN {day_of(session('occurred_ms'))} ELSE {stats}.day END",
        "name": f"CASE WHEN {is_tool} THEN {stats}.name ELSE '' END",
        "model": f"CASE WHEN {is_tool} OR {stats}.name = '' THEN {model} ELSE {stats}.name END",
        "provider": f"CASE WHEN {stats}.provider = '' THEN {provider} ELSE {stats}.provider END",
        **{column: _beginning(session(column)) for column in SESSION_DIMENSIONS},
        "count": f"""CASE {stats}.kind WHEN '{TOOL_USE}' THEN ({before} + {stats}.count > 0) - ({before} > 0)
            ELSE {stats}.count END""",
    }
    return ", ".join(f"{values.get(column, f'{stats}.{column}')} AS {column}" for column in CONTRIBUTION)


def brought(sign: int = 1, ids: str | None = None) -> str:
    """SQL: what was brought, under the values that the sessions have; of those of which `ids` is the SQL, if not of all."""
    among = "" if ids is None else f"WHERE session_id IN ({ids})"
    return f"""SELECT {sign} AS sign, {contributions("session_stats")}
        FROM session_stats LEFT JOIN sessions ON sessions.id = session_id {among}"""


def waiting(which: str = "true", ids: str | None = None) -> str:
    """SQL: what waits, in the same way; `which` says which rows of `stats_waiting`."""
    which = which if ids is None else f"{which} AND session_id IN ({ids})"
    return f"""SELECT 1 AS sign, {contributions("fresh", before="coalesce(before.count, 0)")}
        FROM ({packed(facts_waiting(which), SESSION_KEY, COUNTERS)}) AS fresh
        LEFT JOIN sessions ON sessions.id = fresh.session_id
        LEFT JOIN session_stats AS before ON before.kind = '{TOOL_USE}'
        AND {" AND ".join(f"before.{column} = fresh.{column}" for column in KEY)}"""


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


_VALUE = f"""CASE dimension WHEN 'all' THEN '' WHEN 'tool' THEN name
    {" ".join(f"WHEN '{each}' THEN {each}" for each in DIMENSIONS if each not in {"all", "tool"})} END"""
_PERIOD = f"""CASE WHEN day = {NO_DAY} THEN ''
    ELSE coalesce(strftime(CASE span WHEN 'day' THEN '%Y-%m-%d' ELSE '%Y-%m' END, day * 86400, 'unixepoch'), '') END"""
_OF_DIMENSION = f"""CASE kind WHEN '{TOOL_USE}' THEN dimension = 'tool' WHEN '{TOOL_CALL}' THEN true
    ELSE dimension <> 'tool' END"""


def spread(contributions: str, dimensions: Iterable[tuple[str, str]]) -> str:
    """SQL: signed contributions, each under every dimension and span that is asked for, in the columns of `stats`.

    `model` and `provider` are said where they decide what a call may have cost.
    """
    priced = (f"CASE kind WHEN '{UNPRICED_CALL}' THEN {column} ELSE '' END AS {column}" for column in ("model", "provider"))
    counters = (f"sign * {column} AS {column}" for column in COUNTERS)
    return f"""SELECT dimension, span, {_PERIOD} AS period, {_VALUE} AS value, kind, {", ".join((*priced, *counters))}
        FROM ({contributions}) CROSS JOIN ({_spans(dimensions)}) WHERE {_OF_DIMENSION}"""


def spread_durations(contributions: str, dimensions: Iterable[tuple[str, str]]) -> str:
    """SQL: the same of their durations, each bucket by itself: `DURATIONS_KEY`, `lower_ms` and `count`."""
    kind = f"CASE kind WHEN '{TOOL_CALL}' THEN kind ELSE '{MODEL_CALL}' END"
    return f"""SELECT dimension, span, {_PERIOD} AS period, {_VALUE} AS value, {kind} AS kind, bucket.key AS lower_ms,
        sign * bucket.value AS count
        FROM ({contributions}) AS each CROSS JOIN json_each(each.durations) AS bucket CROSS JOIN ({_spans(dimensions)})
        WHERE each.durations IS NOT NULL AND {_OF_DIMENSION}"""


def packed(buckets: str, key: str, counters: Sequence[str] = ()) -> str:
    """SQL: for each key its buckets as one JSON object, `durations`, and sums of counters; NULL if it has no bucket."""
    sums = "".join(f", sum({column}) AS {column}" for column in counters)
    of_each = "".join(f", sum({column}) AS {column}" for column in counters or ("count",))
    return f"""SELECT {key}, '{{' || group_concat('"' || lower_ms || '":' || count) || '}}' AS durations{sums}
        FROM (SELECT {key}, lower_ms{of_each} FROM ({buckets}) GROUP BY {key}, lower_ms) GROUP BY {key}"""


def _spans(dimensions: Iterable[tuple[str, str]]) -> str:
    return " UNION ALL ".join(f"SELECT '{dimension}' AS dimension, '{span}' AS span" for dimension, span in dimensions)
