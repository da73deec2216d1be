"""What OpenCode has written down, without a server: its file, an SQLite database.

    {XDG_DATA_HOME or ~/.local/share}/opencode/opencode.db

It is opened for reading only, and may be written to meanwhile. Tables and columns are those of version 1.18.33: the `data` of a
message and of a part is what a server gives as its `info` and as the part, without the ids.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from turso_hooks.errors import TranscriptError

_SESSIONS = """
SELECT id, parent_id, title, directory, version, agent, model, time_created, time_updated,
    max(time_updated, coalesce((SELECT max(time_updated) FROM message WHERE session_id = session.id), 0),
        coalesce((SELECT max(time_updated) FROM part WHERE session_id = session.id), 0)) AS changed
FROM session ORDER BY changed, id
"""
_MESSAGES = "SELECT id, data FROM message WHERE session_id = ? ORDER BY time_created, id"
_PARTS = "SELECT message_id, id, data FROM part WHERE session_id = ? ORDER BY message_id, id"


def default_file(environment: Mapping[str, str]) -> Path:
    """Where OpenCode keeps the sessions of this user."""
    configured = environment.get("XDG_DATA_HOME")
    return (Path(configured) if configured else Path.home() / ".local" / "share") / "opencode" / "opencode.db"


class OpenCodeFile:
    """The file at `path`. Raises `TranscriptError` if it is none of OpenCode's, or cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sessions(self) -> Iterator[tuple[Mapping[str, Any], datetime]]:
        """The `info` of each session, as a server gives it, and when anything of it changed: the last change comes last."""
        with self._opened() as connection:
            rows = connection.execute(_SESSIONS).fetchall()
        for session_id, parent, title, directory, version, agent, model, created, updated, changed in rows:
            info = {
                "id": session_id,
                "parentID": parent,
                "title": title,
                "directory": directory,
                "version": version,
                "agent": agent,
                "model": _json(model),
                "time": {"created": created, "updated": updated},
            }
            yield info, datetime.fromtimestamp(changed / 1000, timezone.utc)

    def messages(self, session_id: str) -> list[Mapping[str, Any]]:
        """The messages of a session with their parts, as a server gives them, in order."""
        with self._opened() as connection:
            parts: dict[str, list[dict[str, Any]]] = {}
            for message_id, part_id, data in connection.execute(_PARTS, (session_id,)):
                ids = {"id": part_id, "sessionID": session_id, "messageID": message_id}
                parts.setdefault(message_id, []).append({**_json(data), **ids})
            return [
                {"info": {**_json(data), "id": message_id, "sessionID": session_id}, "parts": parts.get(message_id, [])}
                for message_id, data in connection.execute(_MESSAGES, (session_id,))
            ]

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(f"file:{quote(str(self.path.absolute()))}?mode=ro", uri=True)) as connection:
                connection.execute("PRAGMA query_only = 1")
                yield connection
        except sqlite3.Error as error:
            raise TranscriptError(f"cannot read {self.path}: {error}; is that a file of OpenCode 1.18's?") from error


def _json(data: Any) -> dict[str, Any]:
    try:
        said = json.loads(data) if isinstance(data, (str, bytes)) else None
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
