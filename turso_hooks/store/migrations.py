"""The schema, version by version. Append-only: a version that was released is never changed.

Version 1 is the original logger's, to the letter. The original knows no other and goes on writing to it, with times of
another form (`YYYY-MM-DD HH:MM:SS`), so whatever must hold for every row is kept by triggers: `occurred_ms`, by which rows are
sorted and filtered, and `tool_executions.message_id`, which refers to a message only once that is there.

No statement uses what one of SQLite, libSQL and Turso's engine lacks.
"""

from __future__ import annotations

from typing import NamedTuple

from turso_hooks.store.statistics import EVERY_SESSION, STATS_TABLES, STATS_TRIGGERS


class Migration(NamedTuple):
    """What brings a database from the version before to `version`, in one transaction."""

    version: int
    statements: tuple[str, ...]


def milliseconds_of(text: str) -> str:
    """SQL: milliseconds since 1970 of a time in either form, cut to the millisecond (strftime would round)."""
    fraction = f"substr(replace(substr({text}, 21), 'Z', '') || '000', 1, 3)"
    return f"(CAST(strftime('%s', substr({text}, 1, 19)) AS INTEGER) * 1000 + CAST({fraction} AS INTEGER))"


def _keeps_occurred_ms(table: str, column: str) -> tuple[str, ...]:
    """Triggers that keep `occurred_ms` what `column` says, whoever writes; a writer that knows it pays one comparison."""
    expected = milliseconds_of(f"NEW.{column}")
    update = f"BEGIN UPDATE {table} SET occurred_ms = {expected} WHERE id = NEW.id; END"
    wrong = f"WHEN NEW.occurred_ms IS NOT {expected}"
    return (
        f"CREATE TRIGGER {table}_occurred_inserted AFTER INSERT ON {table} {wrong} {update}",
        f"CREATE TRIGGER {table}_occurred_updated AFTER UPDATE OF {column}, occurred_ms ON {table} {wrong} {update}",
        f"UPDATE {table} SET occurred_ms = {milliseconds_of(column)}",
    )


_ORIGINAL = Migration(
    1,
    (
        """CREATE TABLE IF NOT EXISTS schema_version (
            version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL DEFAULT (datetime('now')))""",
        """CREATE TABLE IF NOT EXISTS sessions (
            id TEXT PRIMARY KEY, agent_type TEXT NOT NULL, model TEXT NOT NULL, provider TEXT,
            started_at TEXT NOT NULL DEFAULT (datetime('now')), ended_at TEXT,
            status TEXT NOT NULL DEFAULT 'running', error_message TEXT, metadata TEXT)""",
        """CREATE TABLE IF NOT EXISTS messages (
            id TEXT PRIMARY KEY, session_id TEXT NOT NULL, sequence INTEGER NOT NULL, role TEXT NOT NULL, content TEXT,
            tool_name TEXT, tool_input TEXT, tool_output TEXT, created_at TEXT NOT NULL DEFAULT (datetime('now')),
            token_count INTEGER, FOREIGN KEY (session_id) REFERENCES sessions(id))""",
        """CREATE TABLE IF NOT EXISTS tool_executions (
            id TEXT PRIMARY KEY, session_id TEXT NOT NULL, message_id TEXT, tool_name TEXT NOT NULL, status TEXT NOT NULL,
            input TEXT, output TEXT, error TEXT, started_at TEXT NOT NULL DEFAULT (datetime('now')), ended_at TEXT,
            duration_ms INTEGER, FOREIGN KEY (session_id) REFERENCES sessions(id),
            FOREIGN KEY (message_id) REFERENCES messages(id))""",
        "CREATE INDEX IF NOT EXISTS idx_messages_session ON messages(session_id)",
        "CREATE INDEX IF NOT EXISTS idx_messages_created ON messages(created_at)",
        "CREATE INDEX IF NOT EXISTS idx_tool_executions_session ON tool_executions(session_id)",
        "CREATE INDEX IF NOT EXISTS idx_tool_executions_started ON tool_executions(started_at)",
        "CREATE INDEX IF NOT EXISTS idx_sessions_agent_type ON sessions(agent_type)",
        "CREATE INDEX IF NOT EXISTS idx_sessions_status ON sessions(status)",
        "CREATE INDEX IF NOT EXISTS idx_sessions_started ON sessions(started_at)",
    ),
)

_EVENTS = Migration(
    2,
    (
        "ALTER TABLE sessions ADD COLUMN parent_session_id TEXT",
        "ALTER TABLE sessions ADD COLUMN parent_tool_call_id TEXT",
        "ALTER TABLE sessions ADD COLUMN title TEXT",
        "ALTER TABLE sessions ADD COLUMN project TEXT",
        "ALTER TABLE sessions ADD COLUMN user_id TEXT",
        "ALTER TABLE sessions ADD COLUMN runner TEXT",
        "ALTER TABLE sessions ADD COLUMN occurred_ms INTEGER",
        "ALTER TABLE sessions ADD COLUMN start_known INTEGER",
        "ALTER TABLE sessions ADD COLUMN status_key TEXT",
        "ALTER TABLE sessions ADD COLUMN provenance TEXT",
        "ALTER TABLE messages ADD COLUMN parts TEXT",
        "ALTER TABLE messages ADD COLUMN tool_call_id TEXT",
        "ALTER TABLE messages ADD COLUMN model TEXT",
        "ALTER TABLE messages ADD COLUMN occurred_ms INTEGER",
        "ALTER TABLE messages ADD COLUMN position INTEGER",
        "ALTER TABLE messages ADD COLUMN metadata TEXT",
        "ALTER TABLE messages ADD COLUMN provenance TEXT",
        "ALTER TABLE tool_executions ADD COLUMN tool_call_id TEXT",
        "ALTER TABLE tool_executions ADD COLUMN message_row_id TEXT",
        "ALTER TABLE tool_executions ADD COLUMN occurred_ms INTEGER",
        "ALTER TABLE tool_executions ADD COLUMN position INTEGER",
        "ALTER TABLE tool_executions ADD COLUMN metadata TEXT",
        "ALTER TABLE tool_executions ADD COLUMN status_key TEXT",
        "ALTER TABLE tool_executions ADD COLUMN provenance TEXT",
        """CREATE TABLE model_calls (
            id TEXT PRIMARY KEY, session_id TEXT NOT NULL, model_call_id TEXT, model TEXT, provider TEXT, status TEXT NOT NULL,
            input_tokens INTEGER, output_tokens INTEGER, cache_read_tokens INTEGER, cache_write_tokens INTEGER,
            reasoning_tokens INTEGER, duration_ms INTEGER, time_to_first_token_ms INTEGER, finish_reason TEXT, cost_usd REAL,
            error TEXT, started_at TEXT NOT NULL, ended_at TEXT, occurred_ms INTEGER, position INTEGER, metadata TEXT,
            status_key TEXT, provenance TEXT, FOREIGN KEY (session_id) REFERENCES sessions(id))""",
        """CREATE TABLE notes (
            id TEXT PRIMARY KEY, session_id TEXT NOT NULL, name TEXT NOT NULL, payload TEXT, occurred_at TEXT NOT NULL,
            occurred_ms INTEGER, position INTEGER, metadata TEXT, provenance TEXT,
            FOREIGN KEY (session_id) REFERENCES sessions(id))""",
        "CREATE INDEX idx_sessions_occurred ON sessions(occurred_ms)",
        "CREATE INDEX idx_sessions_parent ON sessions(parent_session_id) WHERE parent_session_id IS NOT NULL",
        "CREATE INDEX idx_messages_sequence ON messages(session_id, sequence)",
        "CREATE INDEX idx_tool_executions_message ON tool_executions(message_row_id) WHERE message_row_id IS NOT NULL",
        "CREATE INDEX idx_model_calls_session ON model_calls(session_id)",
        "CREATE INDEX idx_notes_session ON notes(session_id)",
        *_keeps_occurred_ms("sessions", "started_at"),
        *_keeps_occurred_ms("messages", "created_at"),
        *_keeps_occurred_ms("tool_executions", "started_at"),
        *_keeps_occurred_ms("model_calls", "started_at"),
        *_keeps_occurred_ms("notes", "occurred_at"),
        """CREATE TRIGGER tool_executions_message_inserted AFTER INSERT ON tool_executions
            WHEN NEW.message_row_id IS NOT NULL
            BEGIN UPDATE tool_executions SET message_id = (SELECT id FROM messages WHERE id = NEW.message_row_id)
                WHERE id = NEW.id; END""",
        """CREATE TRIGGER tool_executions_message_updated AFTER UPDATE OF message_row_id ON tool_executions
            WHEN NEW.message_row_id IS NOT OLD.message_row_id
            BEGIN UPDATE tool_executions SET message_id = (SELECT id FROM messages WHERE id = NEW.message_row_id)
                WHERE id = NEW.id; END""",
        """CREATE TRIGGER messages_tool_executions AFTER INSERT ON messages
            BEGIN UPDATE tool_executions SET message_id = NEW.id WHERE message_row_id = NEW.id; END""",
    ),
)

_JOURNAL = Migration(
    3,
    (
        # How far each journal writer's records are in this database. `records` of the `next_number` numbers it has given
        # out came; the difference was refused or damaged.
        """CREATE TABLE journal_writers (
            writer_id TEXT PRIMARY KEY, segment INTEGER NOT NULL, end_offset INTEGER NOT NULL,
            records INTEGER NOT NULL, next_number INTEGER NOT NULL, updated_at TEXT NOT NULL, finished_at TEXT)""",
        """CREATE TABLE journal_counts (
            writer_id TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (writer_id, reason))""",
        """CREATE TABLE dead_letters (
            id TEXT PRIMARY KEY, writer_id TEXT NOT NULL, number INTEGER NOT NULL, reason TEXT NOT NULL,
            payload BLOB NOT NULL, created_at TEXT NOT NULL)""",
    ),
)

_GAPS = Migration(
    4,
    (
        # Which of a writer's numbers did not come: `next_number - records` of them, as far as they were noted.
        """CREATE TABLE journal_gaps (
            writer_id TEXT NOT NULL, first_number INTEGER NOT NULL, last_number INTEGER NOT NULL, reason TEXT, sessions TEXT,
            noted_at TEXT NOT NULL, PRIMARY KEY (writer_id, first_number))""",
    ),
)

_MESSAGES_FIND_CALLS = Migration(
    5,
    (
        # With the index's own condition said once more. SQLite knows without that it holds; Turso's engine (0.6) does not, and
        # read all tool executions for every message: 10 ms each with 50,000 of them, 0.1 ms now.
        "DROP TRIGGER messages_tool_executions",
        """CREATE TRIGGER messages_tool_executions AFTER INSERT ON messages
            BEGIN UPDATE tool_executions SET message_id = NEW.id
                WHERE message_row_id = NEW.id AND message_row_id IS NOT NULL; END""",
    ),
)


def _sees(table: str, event: str, column: str) -> str:
    """A trigger for rows of another program: when something of their session was last seen. Ours say so themselves."""
    name = event.split(maxsplit=1)[0].lower()
    return f"""CREATE TRIGGER {table}_seen_{name} AFTER {event} ON {table} WHEN NEW.provenance IS NULL
        BEGIN UPDATE sessions SET seen_ms = {milliseconds_of(f"NEW.{column}")}
            WHERE id = NEW.session_id AND {milliseconds_of(f"NEW.{column}")} > coalesce(seen_ms, -1); END"""


def _latest(table: str) -> str:
    return f"coalesce((SELECT max(occurred_ms) FROM {table} WHERE session_id = sessions.id), 0)"


def _ordered(column: str) -> tuple[str, ...]:
    """The index by which the newest sessions of one kind are found without reading the others."""
    return (f"CREATE INDEX idx_sessions_{column}_newest ON sessions({column}, occurred_ms, id)",)


_READING = Migration(
    6,
    (
        "ALTER TABLE sessions ADD COLUMN seen_ms INTEGER",
        "ALTER TABLE sessions ADD COLUMN search_key INTEGER",
        "ALTER TABLE messages ADD COLUMN search_key INTEGER",
        "ALTER TABLE tool_executions ADD COLUMN search_key INTEGER",
        "ALTER TABLE model_calls ADD COLUMN search_key INTEGER",
        # What is read in order is found in order. These do what those that go did as well, and each insert pays for one.
        "DROP INDEX idx_sessions_occurred",
        "CREATE INDEX idx_sessions_newest ON sessions(occurred_ms, id)",
        "CREATE INDEX idx_sessions_seen ON sessions(seen_ms, id)",
        *(sql for column in ("agent_type", "model", "project", "user_id", "status") for sql in _ordered(column)),
        "DROP INDEX idx_messages_session",
        "CREATE INDEX idx_messages_occurred ON messages(session_id, occurred_ms)",
        "DROP INDEX idx_tool_executions_session",
        "CREATE INDEX idx_tool_executions_occurred ON tool_executions(session_id, occurred_ms)",
        "DROP INDEX idx_model_calls_session",
        "CREATE INDEX idx_model_calls_occurred ON model_calls(session_id, occurred_ms)",
        f"""UPDATE sessions SET seen_ms = max(coalesce(occurred_ms, 0), {_latest("messages")}, {_latest("tool_executions")},
            {_latest("model_calls")}, coalesce({milliseconds_of("ended_at")}, 0))""",
        _sees("messages", "INSERT", "created_at"),
        _sees("tool_executions", "INSERT", "started_at"),
        _sees("tool_executions", "UPDATE OF ended_at", "ended_at"),
        f"""CREATE TRIGGER sessions_seen_insert AFTER INSERT ON sessions WHEN NEW.provenance IS NULL
            BEGIN UPDATE sessions SET seen_ms = {milliseconds_of("NEW.started_at")} WHERE id = NEW.id; END""",
    ),
)

_STATS = Migration(
    7,
    (
        *STATS_TABLES,
        *STATS_TRIGGERS,
        # To be counted bit by bit: all at once would be longer than a server lets a transaction be.
        f"INSERT INTO stats_uncounted {EVERY_SESSION}",
    ),
)

_WHOLE = {
    "messages": ("content", "parts", "tool_output"),
    "tool_executions": ("input", "output"),
    "notes": ("payload",),
}
"""The columns of which large values are in `payloads`."""


_PAYLOADS = Migration(
    8,
    (
        "CREATE TABLE payloads (id TEXT NOT NULL, piece INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (id, piece))",
        # By triggers that count, or indexes on the columns, every row would pay for what few have.
        """CREATE TABLE payload_sessions (
            payload_id TEXT NOT NULL, session_id TEXT NOT NULL, PRIMARY KEY (payload_id, session_id))""",
        *(f"ALTER TABLE {table} ADD COLUMN {column}_whole TEXT" for table, columns in _WHOLE.items() for column in columns),
        # Where foreign keys are enforced, a message that goes looks for tool executions that refer to it.
        "CREATE INDEX idx_tool_executions_refers ON tool_executions(message_id) WHERE message_id IS NOT NULL",
    ),
)

MIGRATIONS = (_ORIGINAL, _EVENTS, _JOURNAL, _GAPS, _MESSAGES_FIND_CALLS, _READING, _STATS, _PAYLOADS)
LATEST = MIGRATIONS[-1].version
FIRST_WITH_STATISTICS = _STATS.version

ORIGINAL_COLUMNS = (
    """SELECT id, agent_type, model, provider, started_at, ended_at, status, error_message, metadata
        FROM sessions LIMIT 0""",
    """SELECT id, session_id, sequence, role, content, tool_name, tool_input, tool_output, created_at, token_count
        FROM messages LIMIT 0""",
    """SELECT id, session_id, message_id, tool_name, status, input, output, error, started_at, ended_at, duration_ms
        FROM tool_executions LIMIT 0""",
)
"""Fail where another program has tables of the same names and other columns."""

ALL_ORIGINAL_COLUMNS = f"SELECT 1 FROM ({'), ('.join(ORIGINAL_COLUMNS)}) LIMIT 0"
"""The same in one statement."""


def pending(version: int) -> tuple[Migration, ...]:
    """The migrations a database of `version` still lacks."""
    return tuple(migration for migration in MIGRATIONS if migration.version > version)


def statements_of(migration: Migration) -> tuple[str, ...]:
    """All statements of a migration's transaction.

    Recording the version comes first: of two that migrate at once, the second fails on its primary key before it has
    changed anything. Version 1 may be there without being recorded, and repeating it changes nothing.
    """
    if migration.version == 1:
        record = "INSERT INTO schema_version (version) VALUES (1) ON CONFLICT (version) DO NOTHING"
        return (*migration.statements, *ORIGINAL_COLUMNS, record)
    record = f"INSERT INTO schema_version (version) VALUES ({migration.version})"
    return (record, *ORIGINAL_COLUMNS, *migration.statements)
