"""The commands for Claude Code as people and Claude Code run them: real processes with a home of their own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from turso_hooks.adapters.claude_code.following import FileRead
from turso_hooks.adapters.claude_code.inbox import Inbox
from turso_hooks.cli.claude_code import HookTaker
from turso_hooks.cli.claude_code.reading import progress_in
from turso_hooks.settings import Settings
from turso_hooks.store import rows as stored
from turso_hooks.transcripts.claude_code_hooks import REGISTERED

COMMAND = str(Path(sys.executable).with_name("turso-hooks"))
HOOK = f"{COMMAND} hook claude-code"
MODEL = "claude-sonnet-4-5"
TABLES = ("sessions", "messages", "tool_executions", "model_calls", "notes")
Rows = Callable[..., list[tuple[object, ...]]]


class Machine:
    """A home, a project, a database: and the commands, in an environment that has nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.project = folder / "project"
        self.state = folder / "state"
        self.database = folder / "agents.db"
        for each in (self.home, self.project):
            each.mkdir()
        self.environment = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "TURSO_HOOKS_STATE_FOLDER": str(self.state),
            "TURSO_DATABASE_URL": f"file:{self.database}",
        }

    @property
    def settings_file(self) -> Path:
        return self.home / ".claude" / "settings.json"

    @property
    def projects(self) -> Path:
        return self.home / ".claude" / "projects"

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """In a process group of its own, which Ctrl-C can be for."""
        return subprocess.Popen(
            [COMMAND, *arguments],
            cwd=self.project,
            env={**self.environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, said: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, **environment) as process:
            try:
                output, problem = process.communicate(said, timeout=60)
            finally:
                process.kill()
        return subprocess.CompletedProcess(arguments, process.returncode, output, problem)

    def tell(self, name: str, **said: Any) -> None:
        """Run a hook as Claude Code does."""
        place = {"session_id": "s1", "cwd": str(self.project), "permission_mode": "default"}
        result = self.run("hook", "claude-code", said=json.dumps({**place, "hook_event_name": name, **said}))
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

    def counted(self) -> dict[str, int]:
        """How many rows there are by table; nothing as long as there is no database."""
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as asked:
            return {table: asked.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
        return {}

    def drains(self) -> list[int]:
        """The process ids of detached drains of this machine."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError):
                    is_drain = b"\0drain\0" in (entry / "cmdline").read_bytes()
                    if is_drain and f"STATE_FOLDER={self.state}\0".encode() in (entry / "environ").read_bytes():
                        found.append(int(entry.name))
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    for process_id in made.drains():
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)


def until(holds: Callable[[], Any], seconds: float = 20) -> None:
    """Wait for what other processes do, of which they say nothing."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


# Transcripts as Claude Code writes them; all of it is invented


def line(kind: str, session: str, number: int, **said: Any) -> str:
    second = f"{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}"
    envelope = {
        "parentUuid": f"u-{session}-{number - 1}" if number else None,
        "isSidechain": False,
        "type": kind,
        "uuid": f"u-{session}-{number}",
        "timestamp": f"2026-01-02T{second}.000Z",
        "userType": "external",
        "entrypoint": "cli",
        "cwd": "/home/ada/shop",
        "sessionId": session,
        "version": "2.1.331",
        "gitBranch": "main",
    }
    return json.dumps({**envelope, **said}) + "\n"


def answer(session: str, number: int, message_id: str, *blocks: Any, stop: str = "end_turn") -> str:
    usage = {"input_tokens": 42, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 100, "output_tokens": 12}
    message = {"id": message_id, "type": "message", "role": "assistant", "model": MODEL, "content": list(blocks)}
    said = {**message, "stop_reason": stop, "stop_sequence": None, "usage": usage}
    return line("assistant", session, number, message=said, requestId=f"req-{message_id}")


def turn(session: str, number: int, words: str = "fine") -> list[str]:
    """A prompt, a tool call, its result, and an answer: 3 messages of people and models, 1 of a tool, 2 model calls."""
    name, at = f"{session}-{number}", 10 * number
    call = {"type": "tool_use", "id": f"toolu-{name}", "name": "Bash", "input": {"command": "make test"}}
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": words, "is_error": False}
    return [
        json.dumps({"type": "queue-operation", "operation": "enqueue", "sessionId": session, "content": "x"}) + "\n",
        line("user", session, at, promptId=f"p-{name}", message={"role": "user", "content": "Which tests fail?"}),
        line("attachment", session, at + 1, attachment={"type": "total_tokens_reminder", "text": "many left"}),
        answer(session, at + 2, f"msg-{name}-a", {"type": "text", "text": "Let me see."}, call, stop="tool_use"),
        line("user", session, at + 3, promptId=f"p-{name}", message={"role": "user", "content": [result]}),
        answer(session, at + 4, f"msg-{name}-b", {"type": "text", "text": words}),
        json.dumps({"type": "last-prompt", "lastPrompt": "x", "sessionId": session}) + "\n",
    ]


ROWS_OF_A_TURN = {"sessions": 1, "messages": 4, "tool_executions": 1, "model_calls": 2, "notes": 0}


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(lines)
    return path


@pytest.fixture
def transcripts(machine: Machine) -> Path:
    """Two sessions in two projects, one of them with a sub-agent."""
    first = write(machine.projects / "-home-ada-shop" / "s1.jsonl", *turn("s1", 0), *turn("s1", 1))
    write(machine.projects / "-home-ada-blog" / "s2.jsonl", *turn("s2", 0))
    agent = write(first.with_suffix("") / "subagents" / "agent-a1.jsonl", *turn("s1", 5))
    meta = {"agentType": "Explore", "description": "look around", "toolUseId": "toolu-s1-1", "finished": True}
    agent.with_suffix(".meta.json").write_text(json.dumps(meta))
    return machine.projects


ROWS_OF_ALL = {"sessions": 3, "messages": 16, "tool_executions": 4, "model_calls": 8, "notes": 0}


def imported(machine: Machine, *arguments: str, **environment: str) -> dict[str, Any]:
    result = machine.run("import", "claude-code", "--json", *arguments, **environment)
    assert (result.returncode, result.stderr) == (0, "")
    said: dict[str, Any] = json.loads(result.stdout)
    return said


# import


def test_an_import_of_all_projects_is_there_and_the_second_reads_nothing(machine: Machine, transcripts: Path) -> None:
    result = machine.run("import", "claude-code")
    assert (result.returncode, result.stderr) == (0, "")
    assert (
        result.stdout
        == f"16 messages and 4 tool calls from 28 lines of 3 files are in file:{machine.database}; 0 files had not changed\n"
    )
    assert machine.counted() == ROWS_OF_ALL
    again = machine.run("import", "claude-code")
    assert (
        again.stdout
        == f"0 messages and 0 tool calls from 0 lines of 0 files are in file:{machine.database}; 3 files had not changed\n"
    )
    assert machine.counted() == ROWS_OF_ALL


def test_a_sub_agent_is_a_child_of_the_call_that_started_it(machine: Machine, transcripts: Path, rows: Rows) -> None:
    imported(machine)
    asked = "SELECT parent_session_id, agent_type, status FROM sessions WHERE id = 's1/agent-a1'"
    assert rows(asked) == [("s1", "Explore", "completed")]
    (child,) = json.loads(machine.run("show", "s1", "--json").stdout)["children"]
    assert child["session"]["parent_tool_call_id"] == "toolu-s1-1"
    assert child["session"]["title"] == "look around"


def test_json_says_what_was_read_and_what_was_not(machine: Machine, transcripts: Path) -> None:
    said = imported(machine)
    assert list(said) == [
        "database",
        "files",
        "unchanged",
        "lines",
        "messages",
        "tool_calls",
        "not_understood",
        "skipped",
        "unreadable",
        "counts",
    ]
    assert said["database"] == f"file:{machine.database}"
    assert [said[key] for key in ("files", "unchanged", "lines", "messages")] == [3, 0, 28, 16]
    assert sum(said["skipped"].values()) == 12
    assert (said["skipped"]["queue-operation"], said["skipped"]["last-prompt"]) == (4, 4)
    assert (said["not_understood"], said["unreadable"], said["counts"]) == ({}, {}, {})
    again = imported(machine)
    assert [again[key] for key in ("files", "unchanged", "lines")] == [0, 3, 0]


def test_json_says_how_many_tool_calls_were_read(machine: Machine, transcripts: Path) -> None:
    assert imported(machine)["tool_calls"] == 4
    write(transcripts / "-home-ada-blog" / "s2.jsonl", *turn("s2", 1)[:4])  # it runs
    assert imported(machine)["tool_calls"] == 1
    assert machine.counted()["tool_executions"] == 5


def test_a_file_that_has_grown_is_read_from_where_it_was(machine: Machine, transcripts: Path) -> None:
    imported(machine)
    write(transcripts / "-home-ada-blog" / "s2.jsonl", *turn("s2", 1))
    said = imported(machine)
    assert [said[key] for key in ("files", "unchanged", "lines")] == [1, 2, 7]
    assert machine.counted() == {**ROWS_OF_ALL, "messages": 20, "tool_executions": 5, "model_calls": 10}


def test_a_database_that_was_deleted_gets_everything_again(machine: Machine, transcripts: Path) -> None:
    imported(machine)
    born = machine.database.stat().st_mtime
    for path in machine.folder.glob("agents.db*"):
        path.unlink()
    until(lambda: int(time.time()) > int(born))  # see the next test
    assert imported(machine)["files"] == 3
    assert machine.counted() == ROWS_OF_ALL


def test_a_database_that_was_deleted_at_once_is_another_one(settings: Settings, database: Path) -> None:
    for _ in range(5):
        progress = progress_in(settings)
        assert progress.files == {}
        progress.files["s1.jsonl"] = FileRead()
        progress.save()
        for path in database.parent.glob("agents.db*"):
            path.unlink()


def test_each_database_gets_everything(machine: Machine, transcripts: Path) -> None:
    imported(machine)
    assert imported(machine, "--db", "file:other.db")["files"] == 3
    assert (machine.project / "other.db").exists()


def test_paths_may_be_files_or_folders_and_the_rest_is_left_alone(machine: Machine, transcripts: Path) -> None:
    assert imported(machine, str(transcripts / "-home-ada-blog" / "s2.jsonl"))["files"] == 1
    assert machine.counted() == ROWS_OF_A_TURN
    said = imported(machine, str(transcripts / "-home-ada-shop"), str(transcripts / "-home-ada-blog"), str(transcripts))
    assert said["lines"] == 21
    assert machine.counted() == ROWS_OF_ALL


def test_the_projects_are_below_the_configured_folder(machine: Machine, transcripts: Path) -> None:
    configured = machine.folder / "config"
    write(configured / "projects" / "p" / "s9.jsonl", *turn("s9", 0))
    assert imported(machine, CLAUDE_CONFIG_DIR=str(configured))["files"] == 1
    assert machine.counted() == ROWS_OF_A_TURN


def test_a_home_without_transcripts_is_told_in_a_sentence(machine: Machine) -> None:
    for command in ("import", "watch"):
        result = machine.run(command, "claude-code")
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == (
            f"turso-hooks: there are no transcripts of Claude Code in {machine.projects}: name a folder or file that has some\n"
        )
    assert not machine.database.exists()


def test_a_path_that_is_not_there_is_wrong_usage(machine: Machine) -> None:
    result = machine.run("import", "claude-code", "nowhere")
    assert (result.returncode, result.stdout) == (2, "")
    assert "'nowhere' does not exist" in result.stderr


def test_without_a_database_it_is_wrong_usage(machine: Machine, transcripts: Path) -> None:
    for command in ("import", "watch"):
        result = machine.run(command, "claude-code", TURSO_DATABASE_URL="")
        assert (result.returncode, result.stdout) == (2, "")
        assert "no database is named" in result.stderr


def test_lines_that_are_not_understood_are_counted_on_standard_error_and_fail_nothing(
    machine: Machine, transcripts: Path, rows: Rows
) -> None:
    odd = [line("hologram", "s2", 40, shape="round"), "rubbish\n", "[7]\n", line("holo\x1b[31mgram", "s2", 41)]
    write(transcripts / "-home-ada-blog" / "s2.jsonl", *odd, *turn("s2", 9))
    result = machine.run("import", "claude-code")
    assert (result.returncode, "\x1b" in result.stderr) == (0, False)
    assert result.stderr.splitlines() == [
        "not understood: 1 x line of type holo\\x1b[31mgram",
        "not understood: 1 x line of type hologram",
        "not understood: 1 x line that is no object",
        "not understood: 1 x line that is not JSON",
    ]
    assert machine.counted() == {**ROWS_OF_ALL, "messages": 20, "tool_executions": 5, "model_calls": 10, "notes": 2}
    assert rows("SELECT name FROM notes ORDER BY name LIMIT 1 OFFSET 1") == [("unknown:hologram",)]


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_imported(machine: Machine, transcripts: Path) -> None:
    (transcripts / "-home-ada-blog" / "gone.jsonl").symlink_to("nowhere")
    result = machine.run("import", "claude-code")
    assert result.returncode == 1
    assert result.stderr == f"cannot read {transcripts}/-home-ada-blog/gone.jsonl: No such file or directory\n"
    assert machine.counted() == ROWS_OF_ALL


# Several processes


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is more than four batches, so that several processes read it."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(36):
        session = f"s{number}"
        write(folder / f"{session}.jsonl", *(said for n in range(40) for said in turn(session, n, "x" * 5500)))
    return folder


ROWS_OF_MANY = {"sessions": 36, "messages": 36 * 160, "tool_executions": 36 * 40, "model_calls": 36 * 80, "notes": 0}


def rows_of(database: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as asked:
        columns = {table.name: ", ".join(table.columns) for table in stored.TABLES}
        return {table: asked.execute(f"SELECT {columns[table]} FROM {table} ORDER BY id").fetchall() for table in TABLES}


@pytest.mark.slow
def test_several_processes_read_much_and_make_the_same_rows_as_one(machine: Machine, many: Path, rows: Rows) -> None:
    said = imported(machine, str(many))
    assert [said[key] for key in ("files", "unchanged", "lines", "messages")] == [36, 0, 36 * 40 * 7, 36 * 160]
    assert machine.counted() == ROWS_OF_MANY
    assert len(rows("SELECT * FROM journal_writers")) > 1 or os.cpu_count() == 1
    assert imported(machine, str(many))["unchanged"] == 36
    alone = machine.folder / "alone.db"
    sessions = sorted(map(str, many.iterdir()))
    for begin in range(0, 36, 12):  # so few that one process reads them
        assert imported(machine, "--db", f"file:{alone}", *sessions[begin : begin + 12])["files"] == 12
    assert rows_of(machine.database) == rows_of(alone)
    checked = machine.run("verify", "--json")
    assert checked.returncode == 0, checked.stdout


def readers(process_id: int) -> list[tuple[bool, bool]]:
    """Of each process that was started to read: has it loaded a part of what it needs, and is Ctrl-C not for it."""
    found = []
    with suppress(OSError):
        tasks = Path(f"/proc/{process_id}/task").iterdir()
        for child in (Path("/proc", child) for task in tasks for child in (task / "children").read_text().split()):
            if b"spawn_main" in (child / "cmdline").read_bytes():
                ignored = int((child / "status").read_text().split("SigIgn:")[1].split()[0], 16)
                found.append(("msgspec" in (child / "maps").read_text(), bool(ignored & 1 << (signal.SIGINT - 1))))
    return found


def has_beginner(process_id: int) -> bool:
    return any(has_loaded and not ignores for has_loaded, ignores in readers(process_id))


def has_begun(process_id: int) -> bool:
    return all(ignores for _, ignores in readers(process_id))


@pytest.mark.slow
def test_an_import_that_is_stopped_says_so_and_the_next_completes_it(machine: Machine, many: Path) -> None:
    with machine.start("import", "claude-code", str(many)) as process:
        until(lambda: (machine.counted().get("messages") and has_begun(process.pid)) or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT)
        output, problem = process.communicate(timeout=60)
    assert (process.returncode, output, problem.strip()) == (1, "", "turso-hooks: stopped")
    assert imported(machine, str(many))["files"] > 0
    assert machine.counted() == ROWS_OF_MANY


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor is one process")
def test_an_import_that_is_stopped_while_its_processes_begin_says_so(machine: Machine, many: Path) -> None:
    with machine.start("import", "claude-code", str(many)) as process:
        until(lambda: has_beginner(process.pid) or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT)
        output, problem = process.communicate(timeout=60)
    assert (process.returncode, output, problem.strip()) == (1, "", "turso-hooks: stopped")


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor is one process")
def test_an_import_whose_database_takes_nothing_can_be_stopped(machine: Machine, many: Path) -> None:
    assert machine.run("migrate").returncode == 0
    with (
        closing(sqlite3.connect(machine.database, isolation_level=None)) as other,
        machine.start("import", "claude-code", str(many)) as process,
    ):
        until(lambda: (readers(process.pid) and has_begun(process.pid)) or process.poll() is not None)
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        output, problem = process.communicate(timeout=60)
        assert time.monotonic() - began < 30
    stopped, *others = problem.strip().splitlines()
    assert (process.returncode, output, stopped) == (1, "", "turso-hooks: stopped")
    assert [line for line in others if "records wait in the journal" not in line] == []
    assert imported(machine, str(many))["files"] > 0
    assert machine.counted()["sessions"] > 0


# watch


def test_a_watch_names_once_what_it_cannot_read(machine: Machine, transcripts: Path) -> None:
    (transcripts / "-home-ada-blog" / "gone.jsonl").symlink_to("nowhere")
    with machine.start("watch", "claude-code", "--every", "0.05") as process:
        try:
            assert process.stderr is not None
            said = [process.stderr.readline() for _ in range(3)]
            assert said[2].startswith("cannot read ")
            assert "gone.jsonl: No such file or directory" in said[2]
            write(transcripts / "-home-ada-new" / "s3.jsonl", *turn("s3", 0))
            assert process.stderr.readline() == "7 lines more\n"
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)


def test_a_watch_goes_on_when_nobody_reads_what_it_says(machine: Machine, transcripts: Path) -> None:
    with machine.start("watch", "claude-code", "--every", "0.05") as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("following ")
            process.stderr.close()
            write(transcripts / "-home-ada-new" / "s3.jsonl", *turn("s3", 0))
            until(lambda: machine.counted().get("sessions") == 4)
            write(transcripts / "-home-ada-new" / "s4.jsonl", *turn("s4", 0))
            until(lambda: machine.counted().get("sessions") == 5)
            os.killpg(process.pid, signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["by Ctrl-C", "by a supervisor"])
def test_a_watch_follows_what_grows_until_it_is_stopped(machine: Machine, transcripts: Path, how: signal.Signals) -> None:
    with machine.start("watch", "claude-code", "--every", "0.05") as process:
        try:
            assert process.stderr is not None
            following = process.stderr.readline()
            assert following == f"following {transcripts} into file:{machine.database}\n"
            assert process.stderr.readline() == "28 lines more\n"
            assert machine.counted() == ROWS_OF_ALL
            whole = "".join(turn("s2", 1))
            write(transcripts / "-home-ada-blog" / "s2.jsonl", whole[:-20])
            assert process.stderr.readline() == "6 lines more\n"
            write(transcripts / "-home-ada-blog" / "s2.jsonl", whole[-20:])
            assert process.stderr.readline() == "1 line more\n"
            write(transcripts / "-home-ada-new" / "s3.jsonl", *turn("s3", 0))
            assert process.stderr.readline() == "7 lines more\n"
            assert machine.counted() == {"sessions": 4, "messages": 24, "tool_executions": 6, "model_calls": 12, "notes": 0}
            os.killpg(process.pid, how)
            output, problem = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, output, problem.strip()) == (0, "", "stopped")
    assert imported(machine)["unchanged"] >= 3  # of the last it may not have written down that it was read
    assert machine.counted()["messages"] == 24


# install


def hooks_of(path: Path) -> dict[str, list[str]]:
    """The commands by event."""
    hooks = json.loads(path.read_text(encoding="utf-8")).get("hooks", {})
    return {event: [hook["command"] for entry in entries for hook in entry["hooks"]] for event, entries in hooks.items()}


ALL_OF_OURS = {event: [HOOK] for event in REGISTERED}


@pytest.mark.parametrize("where", ["--user", "--project", None])
def test_hooks_are_put_in_where_there_was_nothing_and_taken_out_again(machine: Machine, where: str | None) -> None:
    path = (machine.project if where == "--project" else machine.home) / ".claude" / "settings.json"
    options = [where] if where else []
    result = machine.run("install", "claude-code", *options)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{path}: put in the hooks of {', '.join(REGISTERED)}\n"
    assert hooks_of(path) == ALL_OF_OURS
    before = path.read_bytes()
    assert [each for each in machine.folder.rglob("*") if each.is_file()] == [path]
    again = machine.run("install", "claude-code", *options)
    assert (again.returncode, again.stdout) == (0, f"{path}: nothing to change\n")
    assert path.read_bytes() == before
    out = machine.run("install", "claude-code", "--uninstall", *options)
    assert (out.returncode, out.stderr) == (0, "")
    assert out.stdout == f"{path}: took out the hooks of {', '.join(REGISTERED)}\n"
    assert json.loads(path.read_text()) == {}
    assert machine.run("install", "claude-code", "--uninstall", *options).stdout == f"{path}: nothing to change\n"


def test_the_command_that_is_put_in_is_one_that_runs(machine: Machine) -> None:
    machine.run("install", "claude-code")
    command = json.loads(machine.settings_file.read_text())["hooks"]["PreToolUse"][0]["hooks"][0]["command"]
    said = json.dumps({"session_id": "s1", "hook_event_name": "PreToolUse", "tool_use_id": "t1"})
    result = subprocess.run(
        ["sh", "-c", command], input=said, env=machine.environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert machine.run("drain").returncode == 0
    assert machine.counted()["tool_executions"] == 1


def test_who_has_set_no_database_is_told_to(machine: Machine) -> None:
    result = machine.run("install", "claude-code", TURSO_DATABASE_URL="")
    assert (result.returncode, result.stderr.count("\n")) == (0, 1)
    assert result.stderr.startswith("TURSO_DATABASE_URL is not set here")
    assert machine.run("install", "claude-code", "--uninstall", TURSO_DATABASE_URL="").stderr == ""


def test_a_dry_run_shows_the_change_and_makes_none(machine: Machine) -> None:
    result = machine.run("install", "claude-code", "--dry-run")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count(f'+            "command": "{HOOK}"') == len(REGISTERED)
    assert not (machine.home / ".claude").exists()
    write(machine.settings_file, '{"model": "opus"}')
    shown = machine.run("install", "claude-code", "--dry-run").stdout
    assert '-{"model": "opus"}' in shown
    assert machine.settings_file.read_text() == '{"model": "opus"}'
    machine.run("install", "claude-code")
    before = machine.settings_file.read_bytes()
    shown = machine.run("install", "claude-code", "--uninstall", "--dry-run").stdout
    assert shown.count(f'-            "command": "{HOOK}"') == len(REGISTERED)
    assert machine.settings_file.read_bytes() == before


def test_other_settings_stay_and_an_older_path_of_ours_does_not(machine: Machine) -> None:
    theirs = {"hooks": [{"type": "command", "command": "~/bin/bèep"}], "matcher": "Bash"}
    old = {"hooks": [{"type": "command", "command": "/old/turso-hooks hook claude-code"}]}
    before = {"model": "opus", "hooks": {"Notification": [theirs], "Stop": [old, theirs]}, "env": {"A": "é"}}
    write(machine.settings_file, json.dumps(before, ensure_ascii=False))
    assert machine.run("install", "claude-code").returncode == 0
    after = json.loads(machine.settings_file.read_text(encoding="utf-8"))
    assert (list(after), after["model"], after["env"]) == (["model", "hooks", "env"], "opus", {"A": "é"})
    assert hooks_of(machine.settings_file) == {**ALL_OF_OURS, "Notification": ["~/bin/bèep"], "Stop": ["~/bin/bèep", HOOK]}
    assert "é" in machine.settings_file.read_text(encoding="utf-8")
    machine.run("install", "claude-code", "--uninstall")
    left = {**before, "hooks": {"Notification": [theirs], "Stop": [theirs]}}
    assert json.loads(machine.settings_file.read_text(encoding="utf-8")) == left


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_a_link_and_what_it_points_to_is_changed(machine: Machine, is_there: bool) -> None:
    real = machine.folder / "dotfiles" / "claude.json"
    machine.settings_file.parent.mkdir()
    machine.settings_file.symlink_to("../../dotfiles/claude.json")
    if is_there:
        write(real, '{"model": "opus"}')
    assert machine.run("install", "claude-code").returncode == 0
    assert machine.settings_file.is_symlink()
    assert not real.is_symlink()
    assert hooks_of(real) == ALL_OF_OURS
    assert list(real.parent.iterdir()) == [real]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640])
def test_permissions_stay(machine: Machine, mode: int) -> None:
    write(machine.settings_file, "{}").chmod(mode)
    assert machine.run("install", "claude-code").returncode == 0
    assert stat.S_IMODE(machine.settings_file.stat().st_mode) == mode
    assert list(machine.settings_file.parent.iterdir()) == [machine.settings_file]


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_file_is_settings_without_any(machine: Machine, text: str) -> None:
    write(machine.settings_file, text)
    assert machine.run("install", "claude-code").returncode == 0
    assert hooks_of(machine.settings_file) == ALL_OF_OURS


NO_UTF8, DEEP, SURROGATE = b'{"a": "\xff"}', b"[" * 100_000, b'{"a": "\\ud800"}'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"model": "opus",}', id="no JSON"),
        pytest.param(b"// mine\n{}", id="a comment"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"hooks": []}', id="hooks that are a list"),
        pytest.param(b'{"hooks": {"Stop": {}}}', id="hooks of another form"),
        pytest.param(NO_UTF8, id="no UTF-8"),
        pytest.param(DEEP, id="deep"),
    ],
)
def test_a_file_that_cannot_be_used_is_left_alone_and_told_of_in_a_sentence(machine: Machine, text: bytes) -> None:
    machine.settings_file.parent.mkdir()
    machine.settings_file.write_bytes(text)
    for options in ((), ("--uninstall",), ("--dry-run",)):
        result = machine.run("install", "claude-code", *options)
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert result.stderr.startswith(f"turso-hooks: cannot use {machine.settings_file}: ")
        assert "mend" in result.stderr
    assert machine.settings_file.read_bytes() == text
    assert list(machine.settings_file.parent.iterdir()) == [machine.settings_file]


def test_half_a_character_in_the_settings_is_no_fault(machine: Machine) -> None:
    machine.settings_file.parent.mkdir()
    machine.settings_file.write_bytes(SURROGATE)
    result = machine.run("install", "claude-code")
    assert (list(machine.settings_file.parent.iterdir()), "Traceback" in result.stderr) == ([machine.settings_file], False)
    assert json.loads(machine.settings_file.read_bytes())["a"] == "\ud800"


@pytest.mark.parametrize("place", [".claude", ".claude/settings.json/x"])
def test_what_is_in_the_way_is_named(machine: Machine, place: str) -> None:
    write(machine.home / place, "mine")
    result = machine.run("install", "claude-code")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"turso-hooks: cannot use {machine.settings_file}: ")
    assert (machine.home / place).read_text() == "mine"


# Hooks and drains

TOOL = {"tool_name": "Bash", "tool_input": {"command": "make test"}, "tool_use_id": "toolu-s1-0"}


def tell_a_turn(machine: Machine) -> None:
    machine.tell("SessionStart", source="startup", model=MODEL)
    machine.tell("UserPromptSubmit", prompt_id="p-s1-0", prompt="Which tests fail?")
    machine.tell("PreToolUse", **TOOL)
    machine.tell("PostToolUse", **TOOL, tool_response={"stdout": "fine"}, duration_ms=5)


@pytest.mark.slow
def test_a_turn_that_is_over_is_in_the_database_without_anybody_doing_anything(machine: Machine, rows: Rows) -> None:
    transcript = write(machine.projects / "-home-ada-shop" / "s1.jsonl", *turn("s1", 0))
    tell_a_turn(machine)
    assert (machine.drains(), machine.counted()) == ([], {})
    machine.tell("Stop", transcript_path=str(transcript))
    until(lambda: machine.counted() == ROWS_OF_A_TURN)
    assert rows("SELECT id, agent_type, model, status FROM sessions") == [("s1", "claude-code", MODEL, "running")]
    (drain,) = machine.drains()

    # A second turn, while it runs: the same drain takes it, and no other is started.
    write(transcript, *turn("s1", 1))
    machine.tell("Stop", transcript_path=str(transcript))
    assert machine.drains() == [drain]
    until(lambda: machine.counted().get("messages") == 8)
    assert machine.drains() == [drain]

    # It has an end, and leaves nothing that waits.
    until(lambda: not machine.drains())
    assert not list((machine.state / "claude-code").glob("*.jsonl"))
    assert not list((machine.state / "claude-code").glob("*.taken"))
    assert machine.run("verify", "--json").returncode == 0


def test_what_waits_is_taken_by_hand_too(machine: Machine, rows: Rows) -> None:
    tell_a_turn(machine)
    assert "what hooks were told" in machine.run("status").stdout
    result = machine.run("drain")
    assert (result.returncode, result.stderr, machine.drains()) == (0, "", [])
    assert rows("SELECT tool_name, status FROM tool_executions") == [("Bash", "completed")]
    assert rows("SELECT content FROM messages WHERE role = 'user'") == [("Which tests fail?",)]
    assert "what hooks were told" not in machine.run("status").stdout
    before = machine.counted()
    assert machine.run("drain").returncode == 0
    assert machine.counted() == before


def test_a_drain_says_how_much_it_took_from_hooks(machine: Machine) -> None:
    tell_a_turn(machine)
    assert not machine.run("drain").stdout.startswith("0 events shipped")


def test_what_waits_goes_on_waiting_while_there_is_no_database(machine: Machine) -> None:
    machine.database.mkdir()
    tell_a_turn(machine)
    result = machine.run("drain")
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    machine.database.rmdir()
    assert machine.run("drain").returncode == 0
    assert machine.counted()["tool_executions"] == 1


def test_a_drain_that_was_killed_has_lost_nothing(machine: Machine) -> None:
    transcript = write(machine.projects / "-home-ada-shop" / "s1.jsonl", *turn("s1", 0))
    tell_a_turn(machine)
    machine.tell("Stop", transcript_path=str(transcript))
    until(machine.drains)
    for process_id in machine.drains():
        os.kill(process_id, signal.SIGKILL)
    until(lambda: not machine.drains())
    assert machine.run("drain").returncode == 0
    assert machine.counted() == ROWS_OF_A_TURN


def test_hooks_of_many_tools_at_once_are_all_there(machine: Machine) -> None:
    processes = [machine.start("hook", "claude-code") for _ in range(12)]
    for number, process in enumerate(processes):
        said = {"session_id": "s1", "hook_event_name": "PreToolUse", "tool_use_id": f"t{number}", "tool_input": "x" * 100_000}
        with process:
            assert process.communicate(json.dumps(said), timeout=30) == ("", "")
    machine.run("drain")
    assert machine.counted()["tool_executions"] == 12


def test_a_drain_that_begins_while_a_hook_looks_takes_what_waits(settings: Settings) -> None:
    inbox = Inbox(str(settings.state_folder), settings.database_url or "")
    inbox.append(b'{"session_id": "s1", "hook_event_name": "PreToolUse", "tool_use_id": "t1"}', time.time_ns())
    looking = inbox.lock()  # as `is_drained` does, for microseconds
    assert looking is not None
    threading.Timer(0.05, os.close, [looking]).start()
    with HookTaker(settings) as taker:
        assert taker.take() == 1
