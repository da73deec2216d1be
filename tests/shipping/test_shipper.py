from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest

from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.errors import DatabaseUnusable, JournalUnsynced, JournalUnwritable
from turso_hooks.events import MessageAdded, SessionStarted, decode, encode
from turso_hooks.journal import JournalFolder, Writer
from turso_hooks.journal import writer as journal_writer
from turso_hooks.shipping import Shipper
from turso_hooks.shipping.backoff import backoff_s
from turso_hooks.shipping.counts import Counts, decode_tally, encode_tally
from turso_hooks.store import prepare_schema


class FrozenKey(msgspec.Struct, frozen=True):
    """Something msgpack takes as a key and does not give back."""

    x: int


Rows = Callable[..., list[tuple[object, ...]]]


@pytest.fixture
def folder(tmp_path: Path) -> JournalFolder:
    return JournalFolder(tmp_path / "state", "file:x")


@pytest.fixture
def make(database: Path, folder: JournalFolder) -> Iterator[Callable[..., Shipper]]:
    made: list[Shipper] = []

    def make(**options: object) -> Shipper:
        shipper = Shipper(EmbeddedDatabase(database), folder, **options)  # type: ignore[arg-type]
        made.append(shipper)
        return shipper

    yield make
    for shipper in made:
        shipper.close()


def message(n: int) -> bytes:
    return encode(MessageAdded(session_id="s", role="user", content=str(n), message_id=str(n)))


def drain(shipper: Shipper) -> None:
    while shipper.adopt():
        while shipper.ship_adopted():
            pass


def test_every_record_becomes_a_row_once_and_shipped_segments_are_deleted(
    make: Callable[..., Shipper], writer: Writer, rows: Rows
) -> None:
    shipper = make(writer=writer, batch_events=7)
    for n in range(100):
        writer.append(message(n))
    while shipper.ship_own():
        pass
    assert rows("SELECT count(*), count(DISTINCT content) FROM messages") == [(100, 100)]
    assert len(writer.segments()) == 1
    assert rows("SELECT records, next_number FROM journal_writers") == [(100, 100)]


def test_a_segment_that_cannot_be_deleted_is_not_counted_again_when_its_writer_is_long_gone(
    make: Callable[..., Shipper], writer: Writer, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.append(message(1))
    writer.append(encode_tally(Counter(dropped=5)))
    writer.close()

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)  # as in a folder that others own; root may delete everywhere
    for day in (1, 3, 5):
        shipper = make(now=lambda day=day: datetime(2200, 1, day, tzinfo=timezone.utc))  # type: ignore[misc]
        with pytest.raises(PermissionError):
            drain(shipper)
        shipper.close()
    assert rows("SELECT reason, sum(count) FROM journal_counts GROUP BY 1") == [("dropped", 5)]
    assert rows("SELECT sum(records) FROM journal_writers") == [(2,)]


def test_a_segment_that_cannot_be_deleted_holds_up_nothing_that_comes_after_it(
    make: Callable[..., Shipper], writer: Writer, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)  # as in a folder that others own; root may delete everywhere
    shipper = make(writer=writer)
    for n in range(50):
        writer.append(message(n))
    while shipper.ship_own():
        pass
    assert rows("SELECT count(*), count(DISTINCT content) FROM messages") == [(50, 50)]
    assert len(writer.segments()) > 1


def test_a_row_that_is_refused_is_set_aside_alone_and_the_rest_goes_on(
    make: Callable[..., Shipper], writer: Writer, rows: Rows, database: Path
) -> None:
    opened = EmbeddedDatabase(database)
    prepare_schema(opened)
    opened.execute(
        "CREATE TRIGGER picky BEFORE INSERT ON messages WHEN NEW.content IN ('3', '77') BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    opened.close()
    shipper = make(writer=writer)
    for n in range(100):
        writer.append(message(n))
    while shipper.ship_own():
        pass
    assert rows("SELECT count(*) FROM messages") == [(98,)]
    assert rows("SELECT number, reason FROM dead_letters ORDER BY number") == [(3, "no"), (77, "no")]
    assert [decode(row[0]).content for row in rows("SELECT payload FROM dead_letters ORDER BY number")] == ["3", "77"]  # type: ignore[arg-type, attr-defined]
    assert rows("SELECT reason, count FROM journal_counts") == [("dead_letter", 2)]
    assert rows("SELECT records FROM journal_writers") == [(100,)]


@pytest.mark.parametrize(
    "payload",
    [
        encode(MessageAdded(session_id="s", role=5, content={FrozenKey(x=1): 1})),  # type: ignore[arg-type]
        encode(MessageAdded(session_id="s", role="user", content=msgspec.msgpack.Ext(-1, b"x"))),
        msgspec.msgpack.encode({"type": "$tally", "counts": {"a": "b"}}),
        b"\x91" * 5000 + b"\xc0",
    ],
)
def test_no_record_keeps_those_after_it_waiting(
    payload: bytes, make: Callable[..., Shipper], writer: Writer, rows: Rows
) -> None:
    shipper = make(writer=writer)
    for one in (message(1), payload, message(2)):
        writer.append(one)
    while shipper.ship_own():
        pass
    assert rows("SELECT content FROM messages ORDER BY sequence") == [("1",), ("2",)]
    assert rows("SELECT payload FROM dead_letters") == [(payload,)]


def test_a_file_that_cannot_be_opened_keeps_no_other_waiting(
    make: Callable[..., Shipper], writer: Writer, folder: JournalFolder, rows: Rows
) -> None:
    writer.append(message(1))
    writer.close()
    for name in (f"{'0' * 32}.00000001.v1.segment", f"{'f' * 32}.00000001.v1.segment"):
        (folder.path / name).mkdir()
    drain(make())
    assert rows("SELECT content FROM messages") == [("1",)]
    assert len(folder.unreadable) == 2


def test_a_segment_sealed_by_a_signal_handler_amid_an_append_is_read_to_its_end(
    make: Callable[..., Shipper], writer: Writer, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipper = make(writer=writer)
    writer.append(message(1))
    real = os.write

    def write_after_being_interrupted(fd: int, data: bytes) -> int:
        monkeypatch.setattr(journal_writer, "_write", real)
        writer.seal()
        shipper.ship_own()
        return real(fd, data)

    monkeypatch.setattr(journal_writer, "_write", write_after_being_interrupted)
    writer.append(message(2))
    while shipper.ship_own():
        pass
    assert rows("SELECT content FROM messages ORDER BY sequence") == [("1",), ("2",)]


def test_what_is_no_event_is_set_aside_with_its_bytes(make: Callable[..., Shipper], writer: Writer, rows: Rows) -> None:
    shipper = make(writer=writer)
    for payload in (b"\xc1", message(1), b"", encode_tally(Counts().total())):
        writer.append(payload)
    while shipper.ship_own():
        pass
    assert rows("SELECT payload FROM dead_letters ORDER BY number") == [(b"\xc1",), (b"",)]
    assert rows("SELECT count(*) FROM messages") == [(1,)]


def test_an_answer_that_was_lost_and_a_shipper_that_came_late_change_nothing_twice(
    make: Callable[..., Shipper], writer: Writer, rows: Rows
) -> None:
    late, quick = make(writer=writer), make(writer=writer)
    writer.append(message(1))
    late.ship_own()
    quick.ship_own()
    writer.append(message(2))
    writer.append(encode_tally(Counts().total()))
    quick.ship_own()
    assert late.ship_own()
    assert not late.ship_own()
    assert rows("SELECT count(*) FROM messages") == [(2,)]
    assert rows("SELECT records FROM journal_writers") == [(3,)]


def test_what_a_dead_writer_left_is_adopted_shipped_and_deleted(
    make: Callable[..., Shipper], writer: Writer, folder: JournalFolder, rows: Rows
) -> None:
    for n in range(100):
        writer.append(message(n))
    writer.close()
    shipper = make(batch_events=10)
    drain(shipper)
    assert rows("SELECT count(*) FROM messages") == [(100,)]
    assert folder.waiting() == []
    assert rows("SELECT finished_at IS NOT NULL FROM journal_writers") == [(1,)]


def test_damage_is_counted_and_leaves_a_gap_in_the_numbers(make: Callable[..., Shipper], writer: Writer, rows: Rows) -> None:
    for n in range(10):
        writer.append(message(n))
    path = writer.segments()[0].path
    writer.close()
    broken = bytearray(path.read_bytes())
    broken[200] ^= 0xFF
    path.write_bytes(broken)
    drain(make())
    assert rows("SELECT count(*) FROM messages") == [(9,)]
    assert rows("SELECT next_number - records FROM journal_writers") == [(1,)]
    assert rows("SELECT reason, count FROM journal_counts") == [("damaged", 1)]


def test_a_database_that_was_deleted_is_made_anew_with_what_the_journal_still_holds(
    make: Callable[..., Shipper], writer: Writer, rows: Rows, database: Path
) -> None:
    shipper = make(writer=writer)
    writer.append(encode(SessionStarted(session_id="s")))
    shipper.ship_own()
    for path in database.parent.glob("agents.db*"):
        path.unlink()
    writer.append(message(1))
    with pytest.raises(DatabaseUnusable, match="no such table"):
        shipper.ship_own()
    while shipper.ship_own():
        pass
    assert rows("SELECT count(*) FROM sessions WHERE start_known") == [(1,)]
    assert rows("SELECT count(*) FROM messages") == [(1,)]


def test_a_segment_that_is_appended_to_and_closed_while_it_is_read_is_not_deleted_unread(
    make: Callable[..., Shipper], writer: Writer, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipper = make(writer=writer)
    writer.append(message(1))
    shipper.ship_own()
    real = os.fstat

    def fstat_and_meanwhile(fd: int) -> os.stat_result:
        status = real(fd)
        monkeypatch.setattr(os, "fstat", real)
        writer.append(message(2))
        writer.seal()
        return status

    monkeypatch.setattr(os, "fstat", fstat_and_meanwhile)
    while shipper.ship_own():
        pass
    while shipper.ship_own():
        pass
    assert rows("SELECT content FROM messages ORDER BY sequence") == [("1",), ("2",)]
    assert writer.segments() == []


def test_pauses_grow_to_a_bound_and_are_random() -> None:
    assert [backoff_s(n, 1.0) for n in (1, 2, 3, 100)] == [0.1, 0.2, 0.4, 30.0]
    assert backoff_s(5, 0.0) == 0


def test_counts_told_are_not_told_again_and_survive_as_a_record() -> None:
    counts = Counts()
    for _ in range(2500):
        counts.add("cut")
    told = counts.untold()
    assert decode_tally(encode_tally(told)) == {"cut": 2500}
    counts.mark_told(told)
    counts.add("cut", 2)
    assert (counts.untold(), counts.total()) == ({"cut": 2}, {"cut": 2502})
    assert decode_tally(encode(MessageAdded(session_id="s", role="user", content="$tally"))) is None


def test_counts_that_are_told_but_not_on_the_disk_yet_are_not_told_again() -> None:
    counts, taken = Counts(), []

    def append(payload: bytes) -> None:
        taken.append(decode_tally(payload))
        raise JournalUnsynced("the disk does not answer")

    counts.add("dropped", 2)
    assert counts.tell(append)
    assert not counts.tell(append)
    assert taken == [{"dropped": 2}]


def test_counts_that_are_not_taken_are_told_later_with_the_numbers_that_took() -> None:
    counts, taken = Counts(), []

    def refuse(_: bytes) -> None:
        raise JournalUnwritable("no folder")

    counts.add("dropped", 2)
    assert not counts.tell(refuse)
    assert not counts.tell(refuse)
    assert counts.tell(taken.append)
    assert [decode_tally(payload) for payload in taken] == [{"dropped": 2, "tally_refused": 2}]
