"""What is counted for statistics, under what, and how: as SQL. Pure. The tables and triggers are in `counting`.

Three tables, so that neither writing nor reading pays for what the other needs. Triggers on what is logged count it in
`session_stats`: a row for each session, day (UTC), kind of thing and name; so whoever writes, and whatever is changed or
deleted, it is right at once. Such a row `waits` until its numbers are brought to where they are read, `stats` and
`stats_durations`: a row for each value of each dimension and each day and month, however many sessions there are. A row that
changes after it was brought there waits again, and what of it is there is noted in `stats_changes`, to be taken away: under
the values that the session had then. So

    stats + stats_changes + what waits of session_stats  =  what a full count would give

at any time, and what brings them together (`rollups`) may come when it likes.

A session whose rows were there before the triggers is in `stats_uncounted` until `rollups` has counted it.

Of a model call of which nobody said what it cost, the tokens are counted apart (`unpriced_call`), so that its price can be
estimated. Costs are whole billionths of a dollar: sums of them can be taken back without a rest. Durations are counted by the
lower end of their bucket: eight to each power of two, so what is said of one is at most 6 % from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

SESSION, MESSAGE, TOOL_CALL, TOOL_USE = "session", "message", "tool_call", "tool_use"
MODEL_CALL, UNPRICED_CALL = "model_call", "unpriced_call"
"""The kinds of things that are counted. A `tool_use` is a session in which a tool was called, if only once."""

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
"""Of one call. Greater numbers are none: the sums of a million of them would still be integers to SQLite."""

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
    value = f"{{row}}.{column}"
    return f"CASE WHEN {value} BETWEEN 0 AND {_MOST_TOKENS} THEN CAST({value} AS INTEGER) ELSE 0 END"


def _name(column: str) -> str:
    return f"coalesce(substr({{row}}.{column}, 1, {MOST_CHARS}), '')"  # of an empty blob it is NULL


def _is(status: str) -> str:
    return f"({{row}}.status IS '{status}')"


def day_of(column: str) -> str:
    """SQL: days since 1970 of a time in milliseconds."""
    day = 86_400_000
    return f"coalesce(({column} - CASE WHEN {column} < 0 THEN {day - 1} ELSE 0 END) / {day}, {NO_DAY})"


_IS_PRICED = f"(typeof({{row}}.cost_usd) IN ('real', 'integer') AND {{row}}.cost_usd BETWEEN 0 AND {_MOST_USD})"


@dataclass(frozen=True)
class CountedTable:
    """A table whose rows are counted. `{row}` stands for the row in its SQL."""

    table: str
    kind: str
    """SQL."""
    name: str
    """SQL: the model or tool that it names; empty if none."""
    provider: str
    counters: dict[str, str]
    """SQL, beside `count`, which is 1."""
    reads: tuple[str, ...]
    """The columns that all this is made from, `occurred_ms` and `session_id` beside them."""
    has_duration: bool = field(default=False)

    def of(self, row: str, sql: str) -> str:
        """SQL for one row."""
        return sql.replace("{row}", row)

    def key(self, row: str) -> tuple[str, ...]:
        """SQL of what a row is counted under in `session_stats`."""
        return tuple(
            self.of(row, sql) for sql in ("{row}.session_id", day_of("{row}.occurred_ms"), self.kind, self.name, self.provider)
        )

    @property
    def bucket(self) -> str:
        """SQL: the bucket of a row's duration; NULL if it has none."""
        value = "{row}.duration_ms"
        return f"CASE WHEN typeof({value}) = 'integer' AND {value} >= 0 THEN {_lower_end(value)} END"


COUNTED = (
    CountedTable(
        "messages",
        f"'{MESSAGE}'",
        _name("model"),
        "''",
        {"message_tokens": _tokens("token_count")},
        ("model", "token_count"),
    ),
    CountedTable(
        "tool_executions",
        f"'{TOOL_CALL}'",
        _name("tool_name"),
        "''",
        {"completed": _is("completed"), "errors": _is("error")},
        ("tool_name", "status", "duration_ms"),
        has_duration=True,
    ),
    CountedTable(
        "model_calls",
        f"CASE WHEN {_IS_PRICED} THEN '{MODEL_CALL}' ELSE '{UNPRICED_CALL}' END",
        _name("model"),
        _name("provider"),
        {
            "completed": _is("completed"),
            "errors": _is("error"),
            **{column: _tokens(column) for column in COUNTERS if column.endswith("_tokens") and column != "message_tokens"},
            "cost_nano_usd": f"CASE WHEN {_IS_PRICED} THEN CAST(round({{row}}.cost_usd * 1e9) AS INTEGER) ELSE 0 END",
        },
        (
            "model",
            "provider",
            "status",
            "duration_ms",
            "cost_usd",
            *(column for column in COUNTERS if column.endswith("_tokens") and column != "message_tokens"),
        ),
        has_duration=True,
    ),
)

KEY = ("session_id", "day", "kind", "name", "provider")
STATS_KEY = "dimension, span, period, value, kind, model, provider"
DURATIONS_KEY = "dimension, span, period, value, kind"


def _of_session(column: str) -> str:
    return f"coalesce(substr(sessions.{column}, 1, {MOST_CHARS}), '')"


CONTRIBUTION = ("day", "kind", "name", "model", "provider", *SESSION_DIMENSIONS, "durations", *COUNTERS)
"""The columns of `stats_changes`, without `sign`."""


def contributions(stats: str) -> str:
    """SQL: what rows of `session_stats` add, in the columns of `CONTRIBUTION`; `sessions` is joined beside them."""
    of_session = f"{stats}.kind IN ('{SESSION}', '{TOOL_USE}')"
    is_tool = f"{stats}.kind IN ('{TOOL_CALL}', '{TOOL_USE}')"
    values = {
        "day": f"CASE WHEN {of_session} THEN {day_of('sessions.occurred_ms')} ELSE {stats}.day END",
        "name": f"CASE WHEN {is_tool} THEN {stats}.name ELSE '' END",
        "model": f"CASE WHEN {is_tool} OR {stats}.name = '' THEN {_of_session('model')} ELSE {stats}.name END",
        "provider": f"CASE WHEN {stats}.provider = '' THEN {_of_session('provider')} ELSE {stats}.provider END",
        **{column: _of_session(column) for column in SESSION_DIMENSIONS},
        # Of a tool's use it counts that there is one, not on how many days.
        "count": f"CASE {stats}.kind WHEN '{TOOL_USE}' THEN {stats}.count > 0 ELSE {stats}.count END",
    }
    return ", ".join(f"{values.get(column, f'{stats}.{column}')} AS {column}" for column in CONTRIBUTION)


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
        FROM ({contributions}) AS each CROSS JOIN ({_spans(dimensions)}) CROSS JOIN json_each(each.durations) AS bucket
        WHERE each.durations IS NOT NULL AND {_OF_DIMENSION}"""


def packed(buckets: str, key: str) -> str:
    """SQL: for each key its buckets as one JSON object, `durations`."""
    return f"""SELECT {key}, '{{' || group_concat('"' || lower_ms || '":' || count) || '}}' AS durations
        FROM (SELECT {key}, lower_ms, sum(count) AS count FROM ({buckets}) GROUP BY {key}, lower_ms) GROUP BY {key}"""


def _spans(dimensions: Iterable[tuple[str, str]]) -> str:
    return " UNION ALL ".join(f"SELECT '{dimension}' AS dimension, '{span}' AS span" for dimension, span in dimensions)


def recounted(counted: CountedTable, where: str) -> str:
    """SQL: rows of `session_stats` as a full count of a table gives them, without `waits`; `where` says of which rows."""
    table = counted.table
    counters = {column: counted.of(table, counted.counters.get(column, "0")) for column in COUNTERS if column != "count"}
    sums = ", ".join(f"sum({sql}) AS {column}" for column, sql in counters.items())
    bucket = counted.of(table, counted.bucket) if counted.has_duration else "NULL"
    key = ", ".join(f"{sql} AS {column}" for column, sql in zip(KEY, counted.key(table), strict=True))
    totals = ", ".join(f"sum({column})" for column in COUNTERS)
    return f"""SELECT {", ".join(KEY)}, '{{' || group_concat('"' || bucket || '":' || count) || '}}', {totals}
        FROM (SELECT {key}, {bucket} AS bucket, count(*) AS count, {sums} FROM {table} WHERE {where} GROUP BY 1, 2, 3, 4, 5, 6)
        GROUP BY 1, 2, 3, 4, 5"""


def recounted_sessions(where: str) -> str:
    """The same of sessions themselves."""
    counters = {"count": "1", "completed": "status IS 'completed'", "errors": "status IS 'error'"}
    return f"""SELECT id, 0, '{SESSION}', '', '', NULL, {", ".join(counters.get(column, "0") for column in COUNTERS)}
        FROM sessions WHERE id IS NOT NULL AND {where}"""
