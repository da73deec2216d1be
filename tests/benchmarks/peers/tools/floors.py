"""Floors: the least that a line in a file or a row in SQLite costs. What they write is made ready before the call."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

from benchmarks.peers.work import DATABASE, LINES, Event, Tool

TABLE = "CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT, session_id TEXT, turn INTEGER, text TEXT, answer TEXT)"
INSERT = "INSERT INTO events (kind, session_id, turn, text, answer) VALUES (?, ?, ?, ?, ?)"


def database_with_events(folder: Path, synchronous: str = "NORMAL") -> sqlite3.Connection:
    connection = sqlite3.connect(folder / DATABASE, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(TABLE)
    return connection


class JsonLine(Tool):
    """One `os.write` of a line, already encoded, to an O_APPEND file."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self._file = os.open(folder / LINES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def prepare(self, event: Event) -> bytes:
        return json.dumps(event._asdict()).encode() + b"\n"

    def log(self, item: bytes) -> None:
        os.write(self._file, item)


class Autocommit(Tool):
    """An INSERT by hand; WAL, synchronous NORMAL or what PEER_SYNCHRONOUS says."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self._connection = database_with_events(folder, os.environ.get("PEER_SYNCHRONOUS", "NORMAL"))

    def log(self, item: Event) -> None:
        self._connection.execute(INSERT, item)

    def close(self) -> None:
        self._connection.close()


class ExecuteMany(Tool):
    """A list, and with each thousandth call a transaction of a thousand; WAL, synchronous NORMAL."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self._connection = database_with_events(folder)
        self._waiting: list[Event] = []

    def log(self, item: Event) -> None:
        self._waiting.append(item)
        if len(self._waiting) >= 1000:
            self.durable()

    def durable(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(INSERT, self._waiting)
        self._connection.execute("COMMIT")
        self._waiting.clear()

    def close(self) -> None:
        self.durable()
        self._connection.close()
