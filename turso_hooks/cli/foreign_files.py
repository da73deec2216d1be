"""SQLite files of other programs: what is in them, as conversations and model calls. They are opened for reading only."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import click

from turso_hooks.errors import TranscriptError
from turso_hooks.events import Event
from turso_hooks.transcripts import llm_logs, openai_agents

_CHAIN = """
    WITH RECURSIVE chain(hash, depth) AS (
        SELECT tip_message_hash, 0 FROM threads WHERE id = ?
        UNION ALL SELECT messages.parent_hash, depth + 1 FROM chain JOIN messages ON messages.hash = chain.hash
        WHERE messages.parent_hash IS NOT NULL AND depth < 100000)
    SELECT messages.hash, messages.role FROM chain JOIN messages ON messages.hash = chain.hash ORDER BY depth DESC"""


class Foreign(NamedTuple):
    """A conversation as `openai_chat.Reader` takes it, where it is, and what else is known of it."""

    place: str
    conversation: dict[str, Any]
    events: list[Event]


def openai_agents_sessions(path: Path) -> Iterator[Foreign]:
    """The sessions of an `SQLiteSession` of the OpenAI Agents SDK. Raises `TranscriptError` if the file is none."""
    with _opened(path, "the OpenAI Agents SDK's") as connection:
        for session_id, created_at in connection.execute("SELECT session_id, created_at FROM agent_sessions ORDER BY rowid"):
            sql = "SELECT id, created_at, message_data FROM agent_messages WHERE session_id = ? ORDER BY id"
            items = ((str(item_id), _utc(at), _parsed(data)) for item_id, at, data in connection.execute(sql, (session_id,)))
            yield Foreign(f"session {session_id}", openai_agents.conversation_of(session_id, _utc(created_at), items), [])


def default_llm_file(environment: Mapping[str, str]) -> Path:
    """Where llm keeps its logs (https://llm.datasette.io/en/stable/logging.html)."""
    folder = environment.get("LLM_USER_PATH") or click.get_app_dir("io.datasette.llm")
    return Path(folder) / "logs.db"


def llm_conversations(path: Path) -> Iterator[Foreign]:
    """The conversations in llm's logs, of version 0.36 and before. Raises `TranscriptError` if the file is none."""
    with _opened(path, "llm's") as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        connection.row_factory = _named
        if not tables & {"threads", "responses"}:
            raise TranscriptError(f"cannot read {path}: it has no table threads or responses; is that a file of llm's?")
        threads = connection.execute("SELECT * FROM threads ORDER BY id").fetchall() if "threads" in tables else []
        for thread in threads:
            messages = [
                (
                    message,
                    connection.execute(
                        "SELECT * FROM parts WHERE message_hash = ? ORDER BY position", (message["hash"],)
                    ).fetchall(),
                )
                for message in connection.execute(_CHAIN, (thread["id"],)).fetchall()
            ]
            turns = connection.execute(
                "SELECT * FROM turns WHERE thread_id = ? ORDER BY datetime_utc, id", (thread["id"],)
            ).fetchall()
            conversation = llm_logs.conversation_of_thread(thread, messages, turns)
            yield Foreign(f"thread {thread['id']}", conversation, [*llm_logs.model_calls_of(thread["id"], turns)])
        known = {thread["id"] for thread in threads}
        before = connection.execute("SELECT * FROM conversations ORDER BY id").fetchall() if "conversations" in tables else []
        yield from (_before(connection, conversation) for conversation in before if conversation["id"] not in known)


def _before(connection: sqlite3.Connection, conversation: dict[str, Any]) -> Foreign:
    responses = connection.execute(
        "SELECT * FROM responses WHERE conversation_id = ? ORDER BY datetime_utc, id", (conversation["id"],)
    ).fetchall()
    with_tools = [
        (each, _of(connection, "tool_calls", each["id"]), _of(connection, "tool_results", each["id"])) for each in responses
    ]
    found = llm_logs.conversation_of_responses(conversation, with_tools)
    return Foreign(f"conversation {conversation['id']}", found, [*llm_logs.model_calls_of(conversation["id"], responses)])


def _of(connection: sqlite3.Connection, table: str, response_id: str) -> list[dict[str, Any]]:
    """The calls or results of a response; none before 0.26, which knew no tools."""
    try:
        return connection.execute(f"SELECT * FROM {table} WHERE response_id = ? ORDER BY id", (response_id,)).fetchall()  # noqa: S608  # ours
    except sqlite3.OperationalError:
        return []


@contextmanager
def _opened(path: Path, whose: str) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA query_only = 1")
            yield connection
    except (sqlite3.Error, KeyError) as error:  # KeyError: a column that is not there
        raise TranscriptError(f"cannot read {path}: {error}; is that a file of {whose}?") from error


def _named(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip((name for name, *_ in cursor.description), row, strict=True))


def _parsed(data: Any) -> Any:
    try:
        return json.loads(data)
    except (TypeError, ValueError, RecursionError):
        return data


def _utc(at: str | None) -> str | None:
    """SQLite's `CURRENT_TIMESTAMP`, which is in UTC, with its zone."""
    return f"{at.replace(' ', 'T')}Z" if isinstance(at, str) else None
