"""`import opencode` and `watch opencode`, where they have nothing, something wrong or something old to read."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from serving.servers import free_port

Run = Callable[..., subprocess.CompletedProcess[str]]

TABLES = """
CREATE TABLE session (id text PRIMARY KEY, parent_id text, title text, directory text, version text, agent text, model text,
    time_created integer, time_updated integer);
CREATE TABLE message (id text PRIMARY KEY, session_id text, time_created integer, time_updated integer, data text);
CREATE TABLE part (id text PRIMARY KEY, message_id text, session_id text, time_created integer, time_updated integer,
    data text);
"""


class File:
    """A file as OpenCode writes it; that the real one is read is shown by tests/adapters/opencode."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(TABLES)

    def add(self, session_id: str, at_ms: int, text: str) -> None:
        info = {"role": "user", "time": {"created": at_ms}}
        with closing(sqlite3.connect(self.path)) as connection:
            session = (session_id, None, "A title", "/home/ada", "1.18.33", "build", None, at_ms, at_ms)
            connection.execute("INSERT OR IGNORE INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", session)
            message = (f"msg_{at_ms}", session_id, at_ms, at_ms, json.dumps(info))
            connection.execute("INSERT INTO message VALUES (?, ?, ?, ?, ?)", message)
            part = (f"prt_{at_ms}", f"msg_{at_ms}", session_id, at_ms, at_ms, json.dumps({"type": "text", "text": text}))
            connection.execute("INSERT INTO part VALUES (?, ?, ?, ?, ?, ?)", part)
            connection.commit()


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "share" / "opencode" / "opencode.db")


@pytest.fixture
def imported(run: Run, database: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def imported(*arguments: str) -> dict[str, Any]:
        given = {"TURSO_DATABASE_URL": f"file:{database}", "XDG_DATA_HOME": str(tmp_path / "share")}
        result = run("import", "opencode", "--json", *arguments, **given)
        assert (result.returncode, result.stderr) == (0, "")
        said: dict[str, Any] = json.loads(result.stdout)
        return said

    return imported


def counted(said: dict[str, Any]) -> tuple[int, int, int]:
    return said["sessions"], said["unchanged"], said["messages"]


DAY_MS = 86_400_000
T0 = 1_700_000_000_000


def test_the_file_of_this_user_is_imported_and_the_next_time_only_what_has_changed(
    imported: Callable[..., dict[str, Any]], file: File, rows: Callable[..., list[tuple[Any, ...]]]
) -> None:
    for day in range(3):
        file.add(f"ses_{day}", T0 + day * DAY_MS, f"question {day}")
    assert counted(imported()) == (3, 0, 3)
    assert counted(imported()) == (1, 2, 1)  # the last may not have been whole
    file.add("ses_0", T0 + 9 * DAY_MS, "one more")
    assert counted(imported()) == (2, 1, 3)
    assert len(rows("SELECT * FROM messages")) == 4


def test_another_database_gets_everything(imported: Callable[..., dict[str, Any]], file: File, database: Path) -> None:
    for day in range(2):
        file.add(f"ses_{day}", T0 + day * DAY_MS, "hello")
    assert imported()["sessions"] == 2
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()
    assert imported()["sessions"] == 2


def test_a_file_that_is_none_and_no_file_are_said_in_a_sentence(run: Run, database: Path, tmp_path: Path) -> None:
    given = {"TURSO_DATABASE_URL": f"file:{database}", "XDG_DATA_HOME": str(tmp_path / "nowhere")}
    none = run("import", "opencode", **given)
    assert none.returncode == 1
    assert "there are no sessions of OpenCode in" in none.stderr
    (tmp_path / "notes.txt").write_text("no database, but a text that is long enough to be read as one" * 99)
    text = run("import", "opencode", str(tmp_path / "notes.txt"), **given)
    assert text.returncode == 1
    assert "file is not a database; is that a file of OpenCode 1.18's?" in text.stderr
    empty = tmp_path / "empty.db"
    empty.touch()
    nothing = run("import", "opencode", str(empty), **given)
    assert "no such table: session" in nothing.stderr
    both = run("import", "opencode", str(empty), "--url", "http://127.0.0.1:1", **given)
    assert (both.returncode, "not both" in both.stderr) == (2, True)


def test_a_server_that_is_not_there_is_said_at_once(run: Run, database: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = run("import", "opencode", "--url", url, TURSO_DATABASE_URL=f"file:{database}")
    assert result.returncode == 1
    assert result.stderr.startswith(f"turso-hooks: cannot read {url}: ")


def test_a_watch_waits_for_a_server_that_is_not_there_and_says_so_once(database: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).with_name("turso-hooks")), "watch", "opencode", "--url", url]
    environment = {**os.environ, "TURSO_DATABASE_URL": f"file:{database}"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"following {url} into file:{database}\n"
        assert process.stderr.readline().endswith("; trying again\n")
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=30)
    assert (process.returncode, rest) == (0, "stopped\n")


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1", "http://[::1"])
def test_an_address_that_is_none_is_said_in_a_sentence(run: Run, database: Path, url: str) -> None:
    for command in ("import", "watch"):
        result = run(command, "opencode", "--url", url, TURSO_DATABASE_URL=f"file:{database}")
        assert result.returncode in {1, 2}
        assert "Traceback" not in result.stderr
        assert f"cannot read {url}" in result.stderr


def test_without_the_extra_a_file_is_read_and_a_server_is_not(file: File, database: Path) -> None:
    file.add("ses_1", T0, "hello")
    program = """
        import sys
        sys.modules["httpx2"] = None
        from turso_hooks.cli.main import main
        main(sys.argv[1:])
    """
    given = {**os.environ, "TURSO_DATABASE_URL": f"file:{database}"}
    command = [sys.executable, "-c", textwrap.dedent(program), "import", "opencode"]
    read = subprocess.run([*command, str(file.path)], env=given, capture_output=True, text=True, check=False)
    assert read.stdout.startswith("1 session, 1 message and 0 tool calls are in")
    server = subprocess.run([*command, "--url", "http://127.0.0.1:1"], env=given, capture_output=True, text=True, check=False)
    assert (server.returncode, server.stderr.count("\n")) == (2, 1)
    assert "pip install 'turso-hooks[opencode]'" in server.stderr


def test_a_password_in_an_address_is_shown_nowhere_and_kept_nowhere(run: Run, database: Path) -> None:
    url = f"http://ada:made-up@127.0.0.1:{free_port()}"
    for command in (["import", "opencode"], ["import", "opencode", "--json"]):
        result = run(*command, "--url", url, TURSO_DATABASE_URL=f"file:{database}")
        assert result.returncode == 1
        assert "127.0.0.1" in result.stderr
        assert "made-up" not in result.stderr + result.stdout
