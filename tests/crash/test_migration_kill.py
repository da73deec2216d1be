"""Processes killed in the middle of a migration: at every statement, and at any moment."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.store import prepare_schema
from turso_hooks.store.migrations import LATEST

# Migrates copies of a database, each in a process of its own that kills itself before its n-th statement, until one gets
# through; prints how many did not.
KILLED_AT_EVERY_STATEMENT = """
import os, shutil, signal, sys
from pathlib import Path
from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.store import prepare_schema

folder = Path(sys.argv[1])
killed = 0
while True:
    copy = folder / f"{killed}.db"
    if (folder / "before.db").exists():
        shutil.copy(folder / "before.db", copy)
    process = os.fork()
    if process == 0:
        database = EmbeddedDatabase(copy)
        left = killed

        def count(statement):
            global left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

        database._open().set_trace_callback(count)
        prepare_schema(database)
        os._exit(0)
    if os.waitpid(process, 0)[1] != signal.SIGKILL:
        break
    killed += 1
print(killed)
"""


def schema_of(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()


def versions_of(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        try:
            return [version for (version,) in connection.execute("SELECT version FROM schema_version ORDER BY version")]
        except sqlite3.OperationalError:
            return []


def rows_of(path: Path) -> list[tuple[object, ...]]:
    """The rows that were there, whatever was added to them."""
    with closing(sqlite3.connect(path)) as connection:
        sql = "SELECT id, session_id, sequence, role, content, tool_output, created_at FROM messages ORDER BY id"
        return connection.execute(sql).fetchall()


def migrate(path: Path) -> None:
    with EmbeddedDatabase(path) as database:
        prepare_schema(database)


def check_killed(path: Path, whole: Path) -> list[int]:
    """A database of a killed process is at one version, wholly, and the next process takes it to the last; its versions."""
    versions = versions_of(path)
    assert versions == list(range(1, len(versions) + 1))
    at_that_version = schema_of(path)
    migrate(path)
    assert versions_of(path) == list(range(1, LATEST + 1))
    assert schema_of(path) == schema_of(whole)
    assert versions != versions_of(path) or at_that_version == schema_of(whole)
    return versions


@pytest.mark.slow
@pytest.mark.parametrize("begins_with", ["nothing", "the original's"])
def test_a_process_killed_at_any_statement_of_a_migration_leaves_a_whole_version_behind(
    begins_with: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    before = tmp_path / "before.db"
    if begins_with != "nothing":
        shared_data: Path = request.getfixturevalue("shared_data")
        with closing(sqlite3.connect(before)) as connection:
            connection.executescript((shared_data / "original-logger-v1.sql").read_text(encoding="utf-8"))
    whole = tmp_path / "whole.db"
    if before.exists():
        shutil.copy(before, whole)
    migrate(whole)
    command = [sys.executable, "-c", KILLED_AT_EVERY_STATEMENT, str(tmp_path)]
    killed = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert killed > 50
    seen = [check_killed(tmp_path / f"{n}.db", whole) for n in range(killed)]
    first, between = ([], {0}) if begins_with == "nothing" else ([1], set(range(1, LATEST)))
    assert seen[0] == first
    assert between <= {len(versions) for versions in seen} <= between | {LATEST}
    if before.exists():
        assert all(rows_of(tmp_path / f"{n}.db") == rows_of(before) for n in range(killed))


@pytest.mark.slow
def test_a_process_killed_at_any_moment_of_a_long_migration_loses_no_row(
    tmp_path: Path, shared_data: Path, child: Callable[..., subprocess.Popen[str]]
) -> None:
    before = tmp_path / "before.db"
    with closing(sqlite3.connect(before)) as connection:
        connection.executescript((shared_data / "original-logger-v1.sql").read_text(encoding="utf-8"))
        connection.executemany(
            "INSERT INTO messages (id, session_id, sequence, role, content) SELECT ?, id, ?, 'user', ? FROM sessions LIMIT 1",
            [(f"many-{n}", 1000 + n, "x" * 300) for n in range(40_000)],
        )
        connection.commit()
    whole = tmp_path / "whole.db"
    shutil.copy(before, whole)
    begin = time.monotonic()
    migrate(whole)
    took_s = time.monotonic() - begin
    expected = rows_of(before)
    code = """
        import sys
        from pathlib import Path
        from turso_hooks.drivers import EmbeddedDatabase
        from turso_hooks.store import prepare_schema
        print("begins", flush=True)
        prepare_schema(EmbeddedDatabase(Path(sys.argv[1])))
        """
    chance = random.Random(3)
    unfinished = 0
    for n in range(20):
        copy = tmp_path / f"killed-{n}.db"
        shutil.copy(before, copy)
        process = child(code, str(copy))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, took_s))  # the moment is the test
        process.send_signal(signal.SIGKILL)
        process.communicate()
        unfinished += len(check_killed(copy, whole)) < LATEST
        assert rows_of(copy) == expected
        copy.unlink()
    assert unfinished > 5
