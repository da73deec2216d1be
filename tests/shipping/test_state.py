from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.errors import DatabaseUnavailable
from turso_hooks.events import MessageAdded, encode
from turso_hooks.journal import JournalFolder, Writer
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings
from turso_hooks.shipping import Shipper, TargetState, read_state
from turso_hooks.shipping.counts import Counts, encode_tally
from turso_hooks.store import prepare_schema

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.fixture
def folder(tmp_path: Path, database: Path) -> JournalFolder:
    return JournalFolder(tmp_path / "state", f"file:{database}")


@pytest.fixture
def state(folder: JournalFolder, database: Path) -> Callable[[], TargetState]:
    def state() -> TargetState:
        if not database.exists():
            return read_state(folder, None)
        with EmbeddedDatabase(database, read_only=True) as opened:
            return read_state(folder, opened)

    return state


def message(n: int) -> bytes:
    return encode(MessageAdded(session_id="s", role="user", content=str(n), message_id=str(n), occurred_at=AT))


def tally(**counts: int) -> bytes:
    told = Counts()
    for reason, number in counts.items():
        told.add(reason, number)
    return encode_tally(told.total())


def test_of_a_journal_that_is_not_there_all_is_nothing(state: Callable[[], TargetState]) -> None:
    found = state()
    assert (found.waiting_records, found.waiting_bytes, found.writers, found.reached_at) == (0, 0, [], None)


def test_what_waits_is_counted_with_what_its_tallies_tell(writer: Writer, state: Callable[[], TargetState]) -> None:
    for n in range(100):
        writer.append(message(n))
    writer.append(tally(journal_full=7, cut=1))
    found = state()
    assert (found.waiting_records, found.waiting_since, found.shipped_records) == (101, AT, 0)
    assert found.waiting_bytes == sum(segment.path.stat().st_size for segment in writer.segments())
    assert found.counts == {"journal_full": 7, "cut": 1}
    assert [(one.writer_id, one.state) for one in found.writers] == [(writer.writer_id, "in use")]
    writer.close()
    assert [one.state for one in state().writers] == ["left behind"]


def test_what_is_half_shipped_is_counted_once(
    writer: Writer, folder: JournalFolder, database: Path, state: Callable[[], TargetState]
) -> None:
    for n in range(100):
        writer.append(message(n))
    writer.append(tally(dropped=2))
    shipper = Shipper(EmbeddedDatabase(database), folder, writer=writer, batch_events=7)
    shipped = 0
    while shipper.ship_own():
        found = state()
        assert found.waiting_records + found.shipped_records == 101
        assert found.counts == {"dropped": 2}
        assert found.shipped_records >= shipped
        shipped = found.shipped_records
    assert (shipped, state().waiting_bytes) == (101, 0)
    writer.close()
    for each in writer.folder.adopt():
        each.remove()
    assert [one.state for one in state().writers] == ["shipped"]
    shipper.close()


def test_dead_letters_damage_and_gaps_are_told(
    writer: Writer, folder: JournalFolder, database: Path, state: Callable[[], TargetState]
) -> None:
    for payload in (message(1), b"\xc1", message(2), message(3)):
        writer.append(payload)
    path = writer.segments()[0].path
    writer.close()
    broken = bytearray(path.read_bytes())
    broken[-5 - len(message(3))] ^= 0xFF  # in the header of the last but nothing
    broken[60] ^= 0xFF
    path.write_bytes(broken)
    assert state().damages == 2
    shipper = Shipper(EmbeddedDatabase(database), folder)
    while shipper.adopt():
        while shipper.ship_adopted():
            pass
    shipper.close()
    found = state()
    assert (found.shipped_records, found.missing_numbers, found.damages) == (2, 1, 0)
    assert found.counts == {"damaged": 2, "dead_letter": 1}
    assert sum(found.dead_letters.values()) == 1
    assert [(one.dead_letters, one.missing_numbers) for one in found.writers] == [(found.dead_letters, 1)]


def test_when_the_database_was_last_reached_and_what_is_in_the_way_is_told_without_asking_it(
    writer: Writer, folder: JournalFolder, database: Path
) -> None:
    shipper = Shipper(EmbeddedDatabase(database, busy_timeout_s=0), folder, writer=writer)
    begin = time.time() - 1
    writer.append(message(1))
    shipper.ship_own()
    reached_at = read_state(folder, None).reached_at
    assert reached_at is not None
    assert begin <= reached_at.timestamp() <= time.time() + 1
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        writer.append(message(2))
        os.utime(folder.path / "reached", (begin, begin))
        with pytest.raises(DatabaseUnavailable):
            shipper.ship_own()
        found = read_state(folder, None)
        assert "locked" in str(found.problem)
        assert found.failed_at is not None
        assert found.reached_at is not None
        other.execute("COMMIT")
    while shipper.ship_own():
        pass
    found = read_state(folder, None)
    assert (found.problem, found.failed_at) == (None, None)
    shipper.close()


def test_a_database_that_cannot_be_read_is_said_and_the_journal_is_told_all_the_same(
    writer: Writer, database: Path, state: Callable[[], TargetState]
) -> None:
    database.write_bytes(b"no database" * 1000)
    writer.append(message(1))
    found = state()
    assert "not a database" in str(found.unread)
    assert found.waiting_records == 1


def test_a_database_of_an_older_schema_has_nothing_to_tell(database: Path, state: Callable[[], TargetState]) -> None:
    with closing(sqlite3.connect(database)) as other:
        other.execute("CREATE TABLE schema_version (version INTEGER)")
    assert (state().unread, state().shipped_records) == (None, 0)


def test_what_a_full_journal_refuses_can_be_seen_while_the_database_is_out_of_reach(
    settings: Settings, database: Path, state: Callable[[], TargetState]
) -> None:
    with EmbeddedDatabase(database) as opened:
        prepare_schema(opened)
    recorder = Recorder(Settings(**{**vars(settings), "journal_max_bytes": 10_000}))
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(100):
            recorder.record(MessageAdded(session_id="s", role="user", content="x" * 1000))
        refused = recorder.counts()["journal_full"]
        assert refused > 80
        assert not recorder.flush(0.1).is_complete
        assert state().counts == {"journal_full": refused}
        other.execute("COMMIT")
    assert recorder.close(20).is_complete
    found = state()
    assert (found.counts, found.missing_numbers) == ({"journal_full": refused}, refused)
