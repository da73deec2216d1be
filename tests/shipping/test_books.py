"""The books are read beside real journals and databases, whatever was done to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.events import MessageAdded, encode
from turso_hooks.journal import JournalFolder, Writer
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings
from turso_hooks.shipping import Books, Shipper, read_books
from turso_hooks.store import DAMAGED, Gap, finish_writer

Drain = Callable[[], None]
Read = Callable[[], Books]


@pytest.fixture
def folder(tmp_path: Path) -> JournalFolder:
    return JournalFolder(tmp_path / "state", "file:x")


@pytest.fixture
def opened(database: Path) -> Iterator[EmbeddedDatabase]:
    with EmbeddedDatabase(database) as opened:
        yield opened


@pytest.fixture
def drain(folder: JournalFolder, database: Path) -> Drain:
    def drain() -> None:
        shipper = Shipper(EmbeddedDatabase(database), folder)
        while shipper.adopt():
            while shipper.ship_adopted():
                pass
        shipper.close()

    return drain


@pytest.fixture
def read(folder: JournalFolder, database: Path, opened: EmbeddedDatabase) -> Read:
    return lambda: read_books(folder, opened if database.exists() else None)


def message(n: int, session_id: str | None = None) -> bytes:
    return encode(MessageAdded(session_id=session_id or f"s{n}", role="user", content=str(n), message_id=str(n)))


def add(writer: Writer, *numbers: int) -> None:
    for n in numbers:
        writer.append(message(n))


def totals(books: Books) -> dict[str, int]:
    return {name: books.total(name) for name in ("numbers", "shipped", "waiting", "missing", "damaged", "unaccounted")}


def balanced(numbers: int, **others: int) -> dict[str, int]:
    return {"numbers": numbers, "shipped": 0, "waiting": 0, "missing": 0, "damaged": 0, "unaccounted": 0, **others}


def test_of_nothing_the_books_are_empty_and_balance(read: Read) -> None:
    books = read()
    assert (books.writers, books.problems, books.unseen) == ([], [], [])


def test_what_waits_and_what_came_add_up_at_every_step(
    writer: Writer, folder: JournalFolder, database: Path, read: Read
) -> None:
    add(writer, *range(50))
    assert totals(read()) == balanced(50, waiting=50)
    shipper = Shipper(EmbeddedDatabase(database), folder, writer=writer, batch_events=7)
    while shipper.ship_own():
        books = read()
        assert books.problems == []
        assert books.total("shipped") + books.total("waiting") == books.total("numbers") == 50
    assert totals(read()) == balanced(50, shipped=50)
    shipper.close()


def damage(path: Path, at: int) -> None:
    broken = bytearray(path.read_bytes())
    broken[at] ^= 0x40
    path.write_bytes(broken)


def test_damage_is_named_before_and_after_it_is_passed_over(writer: Writer, drain: Drain, read: Read) -> None:
    add(writer, *range(12))
    path = writer.segments()[0].path
    writer.close()
    damage(path, path.stat().st_size // 3)
    before = read()
    assert totals(before) == balanced(12, waiting=11, missing=1, damaged=1)
    (gap,) = before.writers[0].gaps
    assert gap.reason == DAMAGED
    assert gap.sessions == (f"s{gap.first - 1}", f"s{gap.first + 1}")
    drain()
    after = read()
    assert totals(after) == balanced(12, shipped=11, missing=1, damaged=1)
    assert after.writers[0].gaps == [gap]
    assert (after.problems, after.counts) == ([], {"damaged": 1})


def test_damage_at_the_end_of_a_segment_is_named_by_what_follows(writer: Writer, drain: Drain, read: Read) -> None:
    add(writer, *range(30))
    first = writer.segments()[0].path
    writer.close()
    os.truncate(first, first.stat().st_size - 3)
    before = read()
    drain()
    after = read()
    assert totals(before) == balanced(30, waiting=29, missing=1, damaged=1)
    assert totals(after) == balanced(30, shipped=29, missing=1, damaged=1)
    assert before.writers[0].gaps == after.writers[0].gaps


def test_a_segment_that_somebody_deleted_is_missing_for_no_known_reason(writer: Writer, drain: Drain, read: Read) -> None:
    add(writer, *range(40))
    segments = [segment.path for segment in writer.segments()]
    writer.close()
    segments[1].unlink()
    before = read()
    drain()
    after = read()
    assert before.total("unaccounted") == after.total("unaccounted") == after.total("missing") > 0
    assert before.writers[0].gaps == after.writers[0].gaps
    (gap,) = after.writers[0].gaps
    assert gap.sessions == (f"s{gap.first - 1}", f"s{gap.last + 1}")
    (problem,) = after.problems
    assert writer.writer_id in problem


def test_what_the_journal_refused_and_told_of_is_accounted_for(settings: Settings, database: Path) -> None:
    recorder = Recorder(Settings(**{**vars(settings), "journal_max_bytes": 20_000, "ship_interval_s": 600.0}))
    for _ in range(60):
        recorder.record(MessageAdded(session_id="s", role="user", content="x" * 1000))
    refused = recorder.counts()["journal_full"]
    assert refused > 0
    assert recorder.close(10).is_complete
    with EmbeddedDatabase(database) as opened:
        books = read_books(JournalFolder(settings.state_folder, f"file:{database}"), opened)
    assert (books.total("missing"), books.total("refused"), books.total("unaccounted")) == (refused, refused, 0)
    assert books.problems == []


def test_what_a_running_process_has_not_told_yet_is_no_reason_to_worry(writer: Writer, read: Read) -> None:
    add(writer, 0)
    for _ in range(3):
        next(writer._numbers)  # as where the journal refuses, and the count is yet to be told
    add(writer, 4)
    books = read()
    assert (books.total("unaccounted"), books.problems) == (3, [])
    assert any("3 numbers of running processes" in said for said in books.unseen)
    writer.close()
    assert len(read().problems) == 1


def test_a_number_that_comes_late_is_missing_only_until_then(
    writer: Writer, drain: Drain, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler that logs in the middle of an append gets the next number, and is there first."""
    add(writer, 0)
    make_room, handled = writer._make_room, []

    def interrupted(needed_bytes: int) -> object:
        if not handled:
            handled.append(True)
            add(writer, 2)
        return make_room(needed_bytes)

    monkeypatch.setattr(writer, "_make_room", interrupted)
    writer._room_bytes = 0
    add(writer, 1, 3)
    path = writer.segments()[0].path
    assert totals(read()) == balanced(4, waiting=4)
    writer.close()
    assert path.exists()
    drain()
    assert totals(read()) == balanced(4, shipped=4)


def test_a_file_that_is_cut_while_it_is_written_to_costs_only_what_was_cut_off(
    writer: Writer, folder: JournalFolder, database: Path, read: Read
) -> None:
    shipper = Shipper(EmbeddedDatabase(database), folder, writer=writer)
    add(writer, *range(10))
    assert shipper.ship_own()
    path = writer.segments()[0].path
    os.truncate(path, path.stat().st_size // 2)
    add(writer, 10, 11)
    while shipper.ship_own():
        pass
    assert totals(read()) == balanced(12, shipped=12)
    os.truncate(path, 0)
    add(writer, 12)
    while shipper.ship_own():
        pass
    books = read()
    assert totals(books) == balanced(13, shipped=13)
    assert books.counts["damaged"] == 2
    shipper.close()


@pytest.mark.parametrize("kept", [0, 4, 9], ids="{} of ten stay".format)
@pytest.mark.parametrize("is_other_shipper", [False, True], ids=["the same shipper", "another shipper"])
def test_what_comes_in_the_place_of_what_was_cut_off_is_not_taken_for_it(
    writer: Writer, folder: JournalFolder, database: Path, drain: Drain, read: Read, kept: int, is_other_shipper: bool
) -> None:
    shipper = Shipper(EmbeddedDatabase(database), folder, writer=writer)
    add(writer, *range(10, 20))
    assert shipper.ship_own()
    path = writer.segments()[0].path
    size = path.stat().st_size
    os.truncate(path, size // 10 * kept)
    add(writer, *range(20, 30 - kept))  # of the same size, to end where what was shipped ends
    assert path.stat().st_size == size
    add(writer, 30)
    if is_other_shipper:
        writer.close()
        drain()
    else:
        while shipper.ship_own():
            pass
    books = read()
    assert totals(books) == balanced(21 - kept, shipped=21 - kept)
    assert books.counts["damaged"] == 1
    shipper.close()


def test_a_database_that_was_replaced_lacks_what_the_old_one_has(
    writer: Writer, folder: JournalFolder, database: Path, read: Read
) -> None:
    shipper = Shipper(EmbeddedDatabase(database), folder, writer=writer)
    add(writer, *range(40))
    while shipper.ship_own():
        pass
    shipper.close()
    for path in database.parent.glob("agents.db*"):
        path.unlink()
    other = Writer(folder, max_bytes=10**9, segment_bytes=2000)
    add(other, 100)
    shipper = Shipper(EmbeddedDatabase(database), folder, writer=other)
    while shipper.ship_own():
        pass
    while shipper.adopt():
        while shipper.ship_adopted():
            pass
    books = read()
    first, second = books.writers
    (gap,) = first.gaps
    assert (gap.first, gap.numbers + first.shipped) == (0, 40)
    assert (second.numbers, second.missing) == (1, 0)
    (problem,) = books.problems
    assert "was another database here before?" in problem
    shipper.close()
    other.close()


def test_gaps_of_writers_that_are_summed_up_are_still_named(
    writer: Writer, drain: Drain, read: Read, opened: EmbeddedDatabase
) -> None:
    add(writer, *range(12))
    path = writer.segments()[0].path
    writer.close()
    damage(path, path.stat().st_size // 3)
    drain()
    finish_writer(opened, writer.writer_id, datetime(2200, 1, 1, tzinfo=timezone.utc))
    finish_writer(opened, writer.writer_id, datetime(2200, 1, 3, tzinfo=timezone.utc))
    books = read()
    assert [one.writer_id for one in books.writers] == ["finished"]
    assert totals(books) == balanced(12, shipped=11, missing=1, damaged=1)
    assert isinstance(books.writers[0].gaps[0], Gap)
    assert books.problems == []


def test_what_was_missed_before_gaps_were_noted_is_counted_all_the_same(
    writer: Writer, drain: Drain, read: Read, opened: EmbeddedDatabase
) -> None:
    add(writer, *range(12))
    path = writer.segments()[0].path
    writer.close()
    damage(path, path.stat().st_size // 3)
    drain()
    opened.execute("DELETE FROM journal_gaps")
    books = read()
    assert (books.total("missing"), books.total("unaccounted"), books.writers[0].unnamed) == (1, 1, 1)
    assert len(books.problems) == 1


def test_dead_letters_that_are_gone_without_a_word_are_missed(
    writer: Writer, drain: Drain, read: Read, opened: EmbeddedDatabase
) -> None:
    writer.append(b"\xc1 no event")
    writer.close()
    drain()
    assert (read().dead_letters, read().problems) == (1, [])
    opened.execute("DELETE FROM dead_letters")
    assert read().problems == ["1 dead letters should be in the database, and 0 are"]


def test_of_writers_elsewhere_the_end_cannot_be_seen_and_that_is_said(
    writer: Writer, folder: JournalFolder, database: Path, read: Read
) -> None:
    shipper = Shipper(EmbeddedDatabase(database), folder, writer=writer)
    add(writer, 1)
    shipper.ship_own()
    assert read().unseen == []
    for path in folder.path.glob("*.segment"):
        path.unlink()
    (unseen,) = read().unseen
    assert "1 of the writers" in unseen
    folder.path.mkdir(exist_ok=True)
    newer = folder.path / f"{'0' * 32}.00000001.v2.segment"
    newer.write_bytes(b"?")
    assert any("v2.segment" in said for said in read().unseen)
    shipper.close()
