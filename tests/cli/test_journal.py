from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.events import MessageAdded, NoteAdded, encode
from turso_hooks.journal import JournalFolder, Writer
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings
from turso_hooks.shipping.counts import Counts, encode_tally
from turso_hooks.store import prepare_schema

Run = Callable[..., subprocess.CompletedProcess[str]]
Rows = Callable[..., list[tuple[object, ...]]]


@pytest.fixture
def writer(settings: Settings, database: Path) -> Iterator[Writer]:
    made = Writer(JournalFolder(settings.state_folder, f"file:{database}"), max_bytes=10**9, segment_bytes=2000)
    yield made
    made.close()


@pytest.fixture
def refused(recorder: Recorder, database: Path) -> Path:
    """A database that took one message of three: another program's trigger did not like the others."""
    with EmbeddedDatabase(database) as opened:
        prepare_schema(opened)
        opened.execute(
            "CREATE TRIGGER picky BEFORE INSERT ON messages WHEN NEW.content <> 'good' "
            "BEGIN SELECT RAISE(ABORT, 'not good'); END"
        )
    for content in ("bad", "good", "worse"):
        recorder.record(MessageAdded(session_id="s", role="user", content=content))
    assert recorder.close(30).dead_letters == 2
    return database


def mend(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DROP TRIGGER picky")


def test_segments_are_listed_with_what_is_in_them(
    run: Run, writer: Writer, in_terminal: Callable[..., str], database: Path
) -> None:
    for n in range(30):
        writer.append(encode(MessageAdded(session_id="s", role="user", content="x" * 100, message_id=str(n))))
    url = f"file:{database}"
    found = json.loads(run("journal", "segments", "--json", "--db", url).stdout)
    assert sum(info["records"] for info in found) == 30
    assert {info["is_held"] for info in found} == {True}
    lines = [line.split("\t") for line in run("journal", "segments", "--db", url).stdout.splitlines()]
    assert [line[0] for line in lines] == [info["path"] for info in found]
    assert {line[4] for line in lines} == {"held"}
    writer.close()
    assert run("journal", "segments", "--db", url).stdout.count("\tfree") == len(found)
    assert "free" in in_terminal("journal", "segments", "--db", url)


def test_records_are_printed_as_json_lines_whatever_they_hold(run: Run, writer: Writer, database: Path) -> None:
    counts = Counts()
    counts.add("dropped", 3)
    writer.append(encode(NoteAdded(session_id="s\n", name="n", payload=[float("nan"), b"\x00", {"ü": None}])))
    writer.append(encode_tally(counts.total()))
    writer.append(b"\xc1")
    result = run("journal", "records", "--db", f"file:{database}", PYTHONIOENCODING="utf-8")
    assert (result.returncode, result.stderr) == (0, "")
    first, second, third = (json.loads(line) for line in result.stdout.splitlines())
    assert first["event"]["type"] == "note_added"
    assert first["event"]["session_id"] == "s\n"
    assert first["event"]["payload"] == [
        {"$type": "float", "value": "nan"},
        {"$type": "bytes", "base64": "AA=="},
        {"ü": None},
    ]
    assert (second["counts"], second["number"]) == ({"dropped": 3}, 1)
    assert third["base64"] == "wQ=="
    assert "not readable" in third["unreadable"]


def test_damage_is_passed_over_and_said(run: Run, writer: Writer, database: Path) -> None:
    for _ in range(3):
        writer.append(encode(MessageAdded(session_id="s", role="user", content="x")))
    path = writer.segments()[0].path
    writer.close()
    broken = bytearray(path.read_bytes())
    broken[len(broken) // 2] ^= 0xFF
    path.write_bytes(broken)
    result = run("journal", "records", "--db", f"file:{database}")
    assert len(result.stdout.splitlines()) == 2
    assert "passed over: 1 damaged stretch\n" in result.stderr


def test_of_no_journal_nothing_is_listed_and_nothing_made(run: Run, database: Path, settings: Settings) -> None:
    for command in ("segments", "records"):
        result = run("journal", command, "--db", f"file:{database}")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert not settings.state_folder.exists()


def test_dead_letters_are_shown_with_the_reason_and_what_they_hold(run: Run, refused: Path) -> None:
    lines = run("journal", "dead-letters", "--db", f"file:{refused}").stdout.splitlines()
    assert [line.split("\t")[2:] for line in lines] == [["message_added", "not good"]] * 2
    found = [
        json.loads(line) for line in run("journal", "dead-letters", "--json", "--db", f"file:{refused}").stdout.splitlines()
    ]
    assert [letter["event"]["content"] for letter in found] == ["bad", "worse"]
    one = run("journal", "dead-letters", found[1]["id"], "none", "--db", f"file:{refused}")
    assert one.returncode == 1
    assert len(one.stdout.splitlines()) == 1
    assert "there is no dead letter none" in one.stderr


def test_dead_letters_put_back_become_rows_once_what_was_in_the_way_is_mended(run: Run, refused: Path, rows: Rows) -> None:
    url = f"file:{refused}"
    again = run("journal", "dead-letters", "--retry", "--db", url)
    assert again.returncode == 1
    assert again.stdout.count("stays: not good") == 2
    mend(refused)
    result = run("journal", "dead-letters", "--retry", "--db", url)
    assert (result.returncode, result.stdout) == (0, "2 dead letters put back, 0 thrown away\n")
    assert rows("SELECT content FROM messages ORDER BY content") == [("bad",), ("good",), ("worse",)]
    assert "0 dead letters put back" in run("journal", "dead-letters", "--retry", "--db", url).stdout
    assert "there are no dead letters" in run("journal", "dead-letters", "--db", url).stderr
    assert "2 dead_letter, 2 dead_letter_retried" in run("status", "--db", url).stdout


def test_dead_letters_are_thrown_away_only_by_name_or_all_of_them_by_saying_so(run: Run, refused: Path, rows: Rows) -> None:
    url = f"file:{refused}"
    (first, _) = (line.split("\t")[0] for line in run("journal", "dead-letters", "--db", url).stdout.splitlines())
    assert run("journal", "dead-letters", "--discard", "--db", url).returncode == 2
    assert rows("SELECT count(*) FROM dead_letters") == [(2,)]
    result = run("journal", "dead-letters", "--discard", first, "none", "--json", "--db", url)
    assert result.returncode == 1
    assert json.loads(result.stdout)["discarded"] == [first]
    assert json.loads(result.stdout)["not_there"] == ["none"]
    assert run("journal", "dead-letters", "--discard", "--all", "--db", url).returncode == 0
    assert rows("SELECT count(*) FROM dead_letters") == [(0,)]
    assert rows("SELECT count FROM journal_counts WHERE reason = 'dead_letter_discarded'") == [(2,)]
