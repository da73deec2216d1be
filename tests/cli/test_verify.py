from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from turso_hooks.events import MessageAdded, encode
from turso_hooks.journal import JournalFolder, Writer

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def journal(tmp_path: Path, database: Path) -> Writer:
    """Thirty messages in three segments, of which the writer is gone."""
    writer = Writer(JournalFolder(tmp_path / "state", f"file:{database}"), max_bytes=10**9, segment_bytes=4096)
    for n in range(90):
        writer.append(encode(MessageAdded(session_id=f"s{n // 10}", role="user", content=f"{n}\x1b[31m")))
    return writer


def segments(writer: Writer) -> list[Path]:
    paths = [segment.path for segment in writer.segments()]
    writer.close()
    return paths


def test_books_that_balance(run: Run, journal: Writer, database: Path) -> None:
    segments(journal)
    waiting = run("verify", "--db", f"file:{database}")
    assert (waiting.returncode, waiting.stderr) == (0, "")
    assert "90 records" in waiting.stdout
    assert waiting.stdout.endswith("\nthe books balance\n")
    run("drain", "--db", f"file:{database}")
    found = json.loads(run("verify", "--json", TURSO_DATABASE_URL=f"file:{database}").stdout)
    assert (found["balanced"], found["numbers"], found["shipped"], found["waiting"]) == (True, 90, 90, 0)
    assert (found["gaps"], found["problems"], found["unseen"]) == ([], [], [])


def test_books_that_do_not_name_what_is_missing(run: Run, journal: Writer, database: Path) -> None:
    segments(journal)[1].unlink()
    for drained in (False, True):
        if drained:
            run("drain", "--db", f"file:{database}")
        result = run("verify", "--json", "--db", f"file:{database}")
        found = json.loads(result.stdout)
        (gap,) = found["gaps"]
        missing = gap["last"] - gap["first"] + 1
        assert (result.returncode, found["balanced"]) == (1, False)
        assert found["missing"] == found["unaccounted"] == missing
        assert gap["sessions"] == list(dict.fromkeys([f"s{(gap['first'] - 1) // 10}", f"s{(gap['last'] + 1) // 10}"]))
        shown = run("verify", "--db", f"file:{database}")
        assert shown.returncode == 1
        assert f"{gap['first']}-{gap['last']}" in shown.stdout
        assert f"{missing} numbers are missing for no known reason" in shown.stdout
        assert shown.stdout.endswith("\nthe books do not balance\n")


def test_without_a_database_or_with_one_that_cannot_be_read_it_says_so(run: Run, database: Path) -> None:
    result = run("verify")
    assert (result.returncode, result.stdout) == (2, "")
    assert "TURSO_DATABASE_URL" in result.stderr
    database.write_bytes(b"no database" * 1000)
    result = run("verify", "--db", f"file:{database}")
    assert (result.returncode, result.stdout) == (1, "")
    assert "not a database" in result.stderr


def test_of_a_database_and_a_journal_that_are_not_there_nothing_is_said_to_be_missing(run: Run, database: Path) -> None:
    result = run("verify", "--db", f"file:{database}")
    assert (result.returncode, result.stderr) == (0, "")
    assert "the database: its file is not there" in result.stdout
    assert not database.exists()
