from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.events import MessageAdded, encode
from turso_hooks.store import (
    Batch,
    DeadLetter,
    Numbering,
    Position,
    Standing,
    discard_dead_letter,
    finish_writer,
    prepare_schema,
    read_dead_letter,
    read_dead_letters,
    read_ledger,
    retry_dead_letter,
    write_batch,
)

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
Rows = Callable[..., list[tuple[object, ...]]]


@pytest.fixture
def opened(database: Path) -> Iterator[EmbeddedDatabase]:
    with EmbeddedDatabase(database) as opened:
        yield opened


def set_aside(database: EmbeddedDatabase, *payloads: bytes) -> None:
    prepare_schema(database)
    letters = [DeadLetter(n, Position(1, n * 100), payload, "refused") for n, payload in enumerate(payloads)]
    counts = Counter(dead_letter=len(letters))
    begin, end = Standing(None, Numbering()), Standing(Position(1, 9999), Numbering(len(letters)))
    write_batch(database, Batch("w", begin, end, [], len(letters), letters, counts), NOW)


def message(content: str) -> bytes:
    return encode(MessageAdded(session_id="s", role="user", content=content, message_id=content))


def test_of_a_database_that_nothing_was_shipped_to_there_is_no_ledger(opened: EmbeddedDatabase) -> None:
    assert read_ledger(opened) is None


def test_the_ledger_tells_of_each_writer(opened: EmbeddedDatabase) -> None:
    set_aside(opened, b"x", b"y")
    ledger = read_ledger(opened)
    assert ledger is not None
    assert (ledger.writers["w"].records, ledger.writers["w"].end_offset) == (2, 9999)
    assert ledger.counts == {"w": {"dead_letter": 2}}
    assert ledger.dead_letters == {"w": {"refused": 2}}


def test_dead_letters_are_read_in_order_however_many_there_are(opened: EmbeddedDatabase) -> None:
    set_aside(opened, *(b"%d" % n for n in range(250)))
    found = list(read_dead_letters(opened))
    assert len({letter.id for letter in found}) == 250
    assert [letter.id for letter in found] == sorted(letter.id for letter in found)


def test_a_letter_put_back_is_the_row_it_should_have_been_and_counted_once(opened: EmbeddedDatabase, rows: Rows) -> None:
    set_aside(opened, message("hello"))
    (letter,) = read_dead_letters(opened)
    assert retry_dead_letter(opened, letter) is None
    with pytest.raises(KeyError):
        retry_dead_letter(opened, letter)
    assert rows("SELECT content FROM messages") == [("hello",)]
    assert rows("SELECT id, start_known FROM sessions") == [("s", 0)]
    assert rows("SELECT reason, count FROM journal_counts ORDER BY 1") == [("dead_letter", 1), ("dead_letter_retried", 1)]
    assert read_dead_letter(opened, letter.id) is None


def test_a_letter_that_is_refused_again_stays_with_the_new_reason(opened: EmbeddedDatabase, rows: Rows) -> None:
    set_aside(opened, message("no"), b"\xc1")
    opened.execute("CREATE TRIGGER picky BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'constraint failed: picky'); END")
    reasons = [retry_dead_letter(opened, letter) for letter in list(read_dead_letters(opened))]
    assert reasons[0] == "constraint failed: picky"
    assert "not readable" in str(reasons[1])
    assert rows("SELECT reason FROM dead_letters ORDER BY id") == [(reason,) for reason in reasons]
    assert rows("SELECT count(*) FROM sessions") == [(0,)]
    assert rows("SELECT reason, count FROM journal_counts") == [("dead_letter", 2)]


def test_a_letter_thrown_away_is_counted_once_also_when_its_writer_was_summed_up(opened: EmbeddedDatabase, rows: Rows) -> None:
    set_aside(opened, b"x", b"y")
    finish_writer(opened, "w", NOW)
    finish_writer(opened, "none", NOW + timedelta(days=2))
    (letter, _) = read_dead_letters(opened)
    for _ in range(2):
        discard_dead_letter(opened, letter.id)
    assert rows("SELECT * FROM journal_counts ORDER BY reason") == [
        ("finished", "dead_letter", 2),
        ("finished", "dead_letter_discarded", 1),
    ]
    assert rows("SELECT count(*) FROM dead_letters") == [(1,)]


def test_a_letter_thrown_away_by_somebody_else_is_not_put_back(opened: EmbeddedDatabase, rows: Rows) -> None:
    set_aside(opened, message("secret"))
    (letter,) = read_dead_letters(opened)
    discard_dead_letter(opened, letter.id)
    with pytest.raises(KeyError):
        retry_dead_letter(opened, letter)
    assert rows("SELECT count(*) FROM messages UNION ALL SELECT count(*) FROM sessions") == [(0,), (0,)]
    assert rows("SELECT reason FROM journal_counts ORDER BY 1") == [("dead_letter",), ("dead_letter_discarded",)]
