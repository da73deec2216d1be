from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from turso_hooks.drivers import EmbeddedDatabase, Statement
from turso_hooks.drivers.filesystems import network_filesystem
from turso_hooks.errors import DatabaseUnavailable, DatabaseUnusable, RowRefused


@pytest.fixture
def opened(database: Path) -> Iterator[EmbeddedDatabase]:
    made = EmbeddedDatabase(database, busy_timeout_s=0.05)
    made.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, y)")
    yield made
    made.close()


def test_a_database_is_in_wal_and_waits_for_locks(opened: EmbeddedDatabase) -> None:
    assert opened.execute("PRAGMA journal_mode").rows == [("wal",)]
    assert opened.execute("PRAGMA synchronous").rows == [(1,)]
    assert opened.execute("PRAGMA busy_timeout").rows == [(50,)]


def test_a_transaction_takes_effect_wholly_or_not_at_all(opened: EmbeddedDatabase) -> None:
    insert = "INSERT INTO t VALUES (?, ?)"
    with pytest.raises(RowRefused, match="UNIQUE"):
        opened.transaction([Statement(insert, [(1, "a"), (2, "b")]), Statement(insert, [(1, "c")])])
    assert opened.execute("SELECT count(*) FROM t").rows == [(0,)]
    opened.transaction([Statement(insert, [(1, "a"), (2, "b")]), Statement("UPDATE t SET y = 'z'")])
    assert opened.execute("SELECT * FROM t").rows == [(1, "z"), (2, "z")]


def test_every_value_comes_back_exactly(opened: EmbeddedDatabase) -> None:
    values = [None, 2**63 - 1, -(2**63), 0.1, "a\0b é", b"\x00\xff"]
    opened.transaction([Statement("INSERT INTO t (y) VALUES (?)", [(value,) for value in values])])
    assert [row[0] for row in opened.execute("SELECT y FROM t ORDER BY x").rows] == values


@pytest.mark.parametrize("value", [2**63, "a\ud800", object()])
def test_a_value_that_sqlite_does_not_take_is_a_refused_row(opened: EmbeddedDatabase, value: object) -> None:
    with pytest.raises(RowRefused):
        opened.transaction([Statement("INSERT INTO t (y) VALUES (?)", [(value,), (value,)])])


def test_a_lock_that_lasts_is_unavailable_and_names_what_holds(opened: EmbeddedDatabase, database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match=r"cannot write.*database is locked; another program"):
            opened.transaction([Statement("DELETE FROM t")])
    opened.transaction([Statement("DELETE FROM t")])


def test_a_file_that_is_no_database_is_unusable(database: Path) -> None:
    database.write_text("hello " * 200, encoding="utf-8")
    with pytest.raises(DatabaseUnusable, match="not a database; name another file"):
        EmbeddedDatabase(database).execute("SELECT 1")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match=r"unable to open.*no-such-folder exists"):
        EmbeddedDatabase(tmp_path / "no-such-folder" / "a.db").execute("SELECT 1")


def test_reading_never_makes_a_file(database: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="unable to open"):
        EmbeddedDatabase(database, read_only=True).execute("SELECT 1")
    assert not database.exists()


def test_a_reader_cannot_write(opened: EmbeddedDatabase, database: Path) -> None:
    reader = EmbeddedDatabase(database, read_only=True)
    with pytest.raises(DatabaseUnusable, match="readonly"):
        reader.execute("DELETE FROM t")
    reader.close()


def test_a_file_that_was_replaced_is_opened_anew(opened: EmbeddedDatabase, database: Path) -> None:
    opened.execute("INSERT INTO t VALUES (1, 1)")
    for path in database.parent.glob("agents.db*"):
        path.unlink()
    with pytest.raises(DatabaseUnusable, match="no such table: t; run: turso-hooks migrate"):
        opened.execute("SELECT * FROM t")


def test_odd_file_names_are_opened_as_they_are(tmp_path: Path) -> None:
    odd = tmp_path / "a b?c#d%20é.db"
    made = EmbeddedDatabase(odd)
    made.execute("CREATE TABLE t (x)")
    made.close()
    assert odd.exists()


def test_wal_on_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/vda / ext4 rw 0 0\nhost:/x /mnt/a\\040b nfs4 rw 0 0\n/dev/vdb /mnt/a\\040b/local ext4 rw 0 0\n")
    assert network_filesystem(Path("/mnt/a b/deep"), mounts) == "nfs4"
    assert network_filesystem(Path("/mnt/a b/local/deep"), mounts) is None
    assert network_filesystem(Path("/home"), mounts) is None
    assert network_filesystem(Path("/home"), tmp_path / "none") is None


def test_a_closed_database_is_whole_in_its_one_file(opened: EmbeddedDatabase, database: Path, tmp_path: Path) -> None:
    opened.execute("INSERT INTO t VALUES (1, 'kept')")
    opened.close()
    shutil.copy(database, tmp_path / "copy.db")
    copy = EmbeddedDatabase(tmp_path / "copy.db", read_only=True)
    assert copy.execute("SELECT y FROM t").rows == [("kept",)]
    copy.close()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_folder_is_said_to_be_one(read_only: bool, tmp_path: Path) -> None:
    with EmbeddedDatabase(tmp_path, read_only=read_only) as opened, pytest.raises(DatabaseUnusable, match="it is a folder"):
        opened.execute("SELECT 1")


def test_a_reader_of_a_file_that_nobody_here_can_write_to_sees_what_others_write_later(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedDatabase(database) as writer:
        writer.execute("CREATE TABLE t (x)")
        writer.execute("INSERT INTO t VALUES (1)")
    monkeypatch.setattr("turso_hooks.drivers.embedded.os.access", lambda *_: False)  # root may write everywhere
    with EmbeddedDatabase(database, read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM t").rows == [(1,)]
        with EmbeddedDatabase(database) as writer:
            writer.execute("INSERT INTO t VALUES (2)")
            assert reader.execute("SELECT count(*) FROM t").rows == [(2,)]
        assert reader.execute("SELECT count(*) FROM t").rows == [(2,)]


class Moving(list[tuple[int]]):
    """Rows during whose insertion the database is moved away."""

    def __init__(self, database: Path) -> None:
        super().__init__([(1,), (2,)])
        self._database = database

    def __iter__(self) -> Iterator[tuple[int]]:
        yield (1,)
        self._database.rename(self._database.with_name("moved.db"))
        yield (2,)


def test_what_took_effect_in_a_file_that_was_moved_meanwhile_counts_as_not_written(database: Path) -> None:
    with EmbeddedDatabase(database) as opened:
        opened.execute("CREATE TABLE t (x)")
        with pytest.raises(DatabaseUnavailable, match="replaced while it was written to"):
            opened.transaction([Statement("INSERT INTO t VALUES (?)", Moving(database))])
