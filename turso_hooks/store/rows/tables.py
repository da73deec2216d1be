"""The tables events become rows of: their columns, and the rule of each (see `merging`)."""

from __future__ import annotations

from functools import lru_cache

from turso_hooks.drivers import Bulk
from turso_hooks.store.rows.merging import UNKNOWN, Table, in_json

# Times are compared by their milliseconds first: the original logger writes them in another form. `ended_at` has none, but
# its two forms differ only in the character between date and time, as far as whole seconds go.
_IS_EARLIER = "(new.occurred_ms < old.occurred_ms OR (new.occurred_ms = old.occurred_ms AND new.started_at < old.started_at))"
_EARLIEST = f"CASE WHEN {_IS_EARLIER} THEN new.{{column}} ELSE old.{{column}} END"
_LATEST = """
    CASE WHEN old.ended_at IS NULL OR new.ended_at > replace(old.ended_at, ' ', 'T') THEN new.ended_at
         ELSE old.ended_at END"""

# A start that was seen beats the time of the first thing that was; between two of a kind the earlier one stands.
# NULL is a row of the original logger, which always knew the start.
_EARLIER_START = f"""
    CASE WHEN new.start_known > coalesce(old.start_known, 1)
           OR (new.start_known = coalesce(old.start_known, 1) AND {_IS_EARLIER})
         THEN new.{{column}} ELSE old.{{column}} END"""

_WITH_LATEST_STATUS = """
    CASE WHEN new.status_key > coalesce(old.status_key, '') THEN new.{column} ELSE old.{column} END"""

# A terminal status beats running; between two of a kind the greater key. Claimed like a column of its own, so `merging` knows
# whose it is: the rank is raised by putting a digit before the key.
_CALL_STATUS = """
    CASE WHEN new.status_key > coalesce(old.status_key, CASE WHEN old.status = 'running' THEN '0' ELSE '1' END)
         THEN new.{column} ELSE old.{column} END"""


def _rules(**rules: str) -> dict[str, str]:
    return {column: " ".join(rule.format(column=column).split()) for column, rule in rules.items()}


SESSIONS = Table(
    name="sessions",
    fixed=("id",),
    claims=(
        ("agent_type",),
        ("model",),
        ("provider",),
        ("parent_session_id",),
        ("parent_tool_call_id",),
        ("title",),
        ("project",),
        ("user_id",),
        ("runner",),
        ("metadata",),
    ),
    required=frozenset({"agent_type", "model"}),
    rules=_rules(
        started_at=_EARLIER_START,
        occurred_ms=_EARLIER_START,
        start_known="max(coalesce(old.start_known, 1), new.start_known)",
        ended_at=_LATEST,
        status=_WITH_LATEST_STATUS,
        error_message=_WITH_LATEST_STATUS,
        status_key=_WITH_LATEST_STATUS,
        seen_ms="max(coalesce(old.seen_ms, new.seen_ms), new.seen_ms)",
    ),
)


def _session_seen(arriving: str) -> str:
    return " ".join(
        f"""
        INSERT INTO sessions
            (id, agent_type, model, started_at, occurred_ms, start_known, status, status_key, provenance, seen_ms)
        {arriving}
        ON CONFLICT (id) DO UPDATE SET
            started_at = CASE WHEN {_BEGAN_BEFORE} THEN excluded.started_at ELSE sessions.started_at END,
            occurred_ms = CASE WHEN {_BEGAN_BEFORE} THEN excluded.occurred_ms ELSE sessions.occurred_ms END,
            seen_ms = max(coalesce(sessions.seen_ms, excluded.seen_ms), excluded.seen_ms)
        WHERE {_BEGAN_BEFORE} OR sessions.seen_ms IS NULL OR excluded.seen_ms > sessions.seen_ms
        """.split()
    )


_BEGAN_BEFORE = "(sessions.start_known = 0 AND excluded.started_at < sessions.started_at)"
_SEEN = f"{{}}, '{UNKNOWN}', '{UNKNOWN}', {{}}, {{}}, 0, 'running', '', '', {{}}"

_SEEN_VALUES = f"({_SEEN.format('?', '?', '?', '?')})"


@lru_cache
def _sessions_seen(count: int) -> str:
    return _session_seen(f"VALUES {', '.join([_SEEN_VALUES] * count)}")


SESSION_SEEN = _sessions_seen(1)
"""Says when something of a session was seen first and last: a session of which nothing else is known gets a row."""

BULK_SESSION_SEEN = Bulk(
    _session_seen(f"SELECT {_SEEN.format(*map(in_json, range(4)))} FROM json_each(?) WHERE true"), of_values=_sessions_seen
)
"""The same for any number of sessions."""

# Not max(sequence): Turso's engine would read the whole session for each row, and read only the last entry for this.
_LAST_SEQUENCE = "SELECT sequence FROM messages WHERE session_id = {session_id} ORDER BY sequence DESC LIMIT 1"

MESSAGES = Table(
    name="messages",
    fixed=("id", "session_id"),
    claims=(
        ("role",),
        ("content", "content_whole", "parts", "parts_whole"),
        ("tool_name",),
        ("tool_output", "tool_output_whole"),
        ("tool_call_id",),
        ("model",),
        ("token_count",),
        ("created_at", "occurred_ms"),
        ("position",),
        ("metadata",),
    ),
    computed={"sequence": f"coalesce(({_LAST_SEQUENCE}), 0) + {{number}}"},
)

TOOL_EXECUTIONS = Table(
    name="tool_executions",
    fixed=("id", "session_id"),
    claims=(
        ("tool_name",),
        ("input", "input_whole"),
        ("output", "output_whole"),
        ("error",),
        ("duration_ms",),
        ("tool_call_id",),
        ("message_row_id",),
        ("position",),
        ("metadata",),
    ),
    required=frozenset({"tool_name"}),
    rules=_rules(started_at=_EARLIEST, occurred_ms=_EARLIEST, ended_at=_LATEST, status=_CALL_STATUS, status_key=_CALL_STATUS),
)

MODEL_CALLS = Table(
    name="model_calls",
    fixed=("id", "session_id"),
    claims=(
        ("model_call_id",),
        ("model",),
        ("provider",),
        ("input_tokens",),
        ("output_tokens",),
        ("cache_read_tokens",),
        ("cache_write_tokens",),
        ("reasoning_tokens",),
        ("duration_ms",),
        ("time_to_first_token_ms",),
        ("finish_reason",),
        ("cost_usd",),
        ("error",),
        ("position",),
        ("metadata",),
    ),
    rules=_rules(started_at=_EARLIEST, occurred_ms=_EARLIEST, ended_at=_LATEST, status=_CALL_STATUS, status_key=_CALL_STATUS),
    reals=frozenset({"cost_usd"}),
)

NOTES = Table(
    name="notes",
    fixed=("id", "session_id"),
    claims=(("name",), ("payload", "payload_whole"), ("occurred_at", "occurred_ms"), ("position",), ("metadata",)),
)

TABLES = (SESSIONS, MESSAGES, TOOL_EXECUTIONS, MODEL_CALLS, NOTES)
"""In the order in which a batch writes them: what others refer to comes first."""
