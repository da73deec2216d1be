"""The inbox of Claude Code's hooks: the hook as the process that Claude Code starts, and its files as many use them at once."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import turso_hooks
from turso_hooks.adapters.claude_code import inbox as module
from turso_hooks.adapters.claude_code.inbox import Inbox, state_folder, waiting_bytes
from turso_hooks.settings import load_settings

ROOT = Path(turso_hooks.__file__).parents[1]
COMMAND = [str(Path(sys.executable).with_name("turso-hooks")), "hook", "claude-code"]
URL = "file:/db/agents.db"
TOLD = b'{"session_id": "s1", "hook_event_name": "PreToolUse", "tool_use_id": "t1"}'
BARE = [sys.executable, "-I", "-S", "-c"]

Hook = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(str(tmp_path / "state"), URL)


@pytest.fixture
def hook(tmp_path: Path) -> Hook:
    """Runs the hook as Claude Code does, in an environment with little else than what is given."""

    def hook(said: bytes = TOLD, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
        given = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], **environment}
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", *COMMAND] if shell else COMMAND
        return subprocess.run(command, cwd=tmp_path, input=said, capture_output=True, check=False, timeout=30, env=given)

    return hook


def logging_into(folder: Path) -> dict[str, str]:
    return {"TURSO_DATABASE_URL": URL, "TURSO_HOOKS_STATE_FOLDER": str(folder)}


def silent(result: subprocess.CompletedProcess[bytes]) -> bool:
    return (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def lines_of(path: str) -> list[bytes]:
    with Path(path).open("rb") as file:
        return [line for line in file if line.strip()]


def taken(inbox: Inbox) -> list[Any]:
    """What was said in all that waits, each line decoded."""
    return [json.loads(line)["said"] for path in inbox.take() for line in lines_of(path)]


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@contextmanager
def bare_process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """An interpreter that has nothing but the module and `Inbox`; a line of it is an event to wait for."""
    begin = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from turso_hooks.adapters.claude_code import inbox as module\n"
    begin += "from turso_hooks.adapters.claude_code.inbox import Inbox\n"
    command = [*BARE, begin + code, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


# The hook


def test_without_a_variable_the_hook_is_silent_and_writes_nothing(hook: Hook, tmp_path: Path) -> None:
    assert silent(hook())
    assert everything_below(tmp_path) == set()


@pytest.mark.parametrize("url", [None, ""])
def test_without_a_database_nothing_is_written(hook: Hook, tmp_path: Path, url: str | None) -> None:
    environment = {"TURSO_HOOKS_STATE_FOLDER": str(tmp_path / "state")} | ({} if url is None else {"TURSO_DATABASE_URL": url})
    assert silent(hook(b'{"hook_event_name": "Stop", "session_id": "s1"}', **environment))
    assert everything_below(tmp_path) == set()


def test_what_a_hook_is_told_waits_with_its_time(hook: Hook, tmp_path: Path, inbox: Inbox) -> None:
    before = time.time_ns()
    assert silent(hook(**logging_into(tmp_path / "state")))
    ((line,),) = (lines_of(path) for path in inbox.take())
    kept = json.loads(line)
    assert before <= kept["at"] <= time.time_ns()
    assert kept["said"] == json.loads(TOLD)


def test_json_of_several_lines_is_one_line(hook: Hook, tmp_path: Path, inbox: Inbox) -> None:
    said = {"session_id": "s1", "prompt": "two\nlines\r\nand \u2028 more", "list": [1, {"two": None}]}
    assert silent(hook(json.dumps(said, indent=2).replace("\n", "\r\n").encode(), **logging_into(tmp_path / "state")))
    assert taken(inbox) == [said]


@pytest.mark.parametrize("said", [b"", b" \n\t\r\n"])
def test_nothing_on_standard_input_is_nothing(hook: Hook, tmp_path: Path, said: bytes) -> None:
    assert silent(hook(said, **logging_into(tmp_path / "state")))
    assert everything_below(tmp_path) == set()


@pytest.mark.parametrize("said", [b"\xff\x00\x80garbage", b"{", b"[]", b"null", b"x" * 4096, b"\x1b[31m"])
def test_garbage_on_standard_input_is_kept_for_who_counts_it(hook: Hook, tmp_path: Path, inbox: Inbox, said: bytes) -> None:
    assert silent(hook(said, **logging_into(tmp_path / "state")))
    ((line,),) = (lines_of(path) for path in inbox.take())
    assert said in line


def test_five_megabytes_are_kept_whole(hook: Hook, tmp_path: Path, inbox: Inbox) -> None:
    said = {"session_id": "s1", "hook_event_name": "PostToolUse", "tool_response": "é" * 2_500_000}
    assert silent(hook(json.dumps(said, ensure_ascii=False).encode(), **logging_into(tmp_path / "state")))
    assert taken(inbox) == [said]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(hook: Hook, tmp_path: Path, inbox: Inbox, closed: str) -> None:
    assert silent(hook(shell=closed, **logging_into(tmp_path / "state")))
    assert taken(inbox) == ([] if "<" in closed else [json.loads(TOLD)])


def test_nobody_who_reads_its_output_is_no_fault(hook: Hook, tmp_path: Path, inbox: Inbox) -> None:
    assert silent(hook(shell="| true", **logging_into(tmp_path / "state")))
    assert taken(inbox) == [json.loads(TOLD)]


@pytest.mark.parametrize("place", ["state", "state/claude-code"])
def test_a_file_in_the_place_of_the_folder_is_no_fault(hook: Hook, tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("mine")
    before = everything_below(tmp_path)
    assert silent(hook(b'{"hook_event_name": "Stop", "session_id": "s1"}', **logging_into(tmp_path / "state")))
    assert (tmp_path / place).read_text() == "mine"
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("folder", ["/proc/nothing", "/dev/null/state", "x" * 300, "a\x01b"])
def test_no_folder_at_all_is_no_fault(hook: Hook, folder: str) -> None:
    assert silent(hook(**logging_into(Path(folder))))


def test_a_working_folder_that_is_gone_is_no_fault(hook: Hook, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    shell = ["sh", "-c", f'mkdir "{gone}" && cd "{gone}" && rmdir "{gone}" && exec "$@"', "sh", *COMMAND]
    environment = {"PATH": os.environ["PATH"], "TURSO_DATABASE_URL": "file:agents.db", "TURSO_HOOKS_STATE_FOLDER": "state"}
    assert silent(subprocess.run(shell, input=TOLD, capture_output=True, check=False, timeout=30, env=environment))


# Appending and taking


def test_files_are_for_their_owner_only(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 50)
    before = os.umask(0)
    try:
        inbox.append(b"{}", 1)
        inbox.append(TOLD, 1)
        lock = inbox.lock()
        assert lock is not None
        path = next(inbox.take())
        inbox.append(b"{}", 2)
        os.close(lock)
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(inbox.folder).stat().st_mode) == 0o700
    files = sorted(Path(inbox.folder).iterdir())
    assert {file.suffix for file in files} == {".jsonl", ".taken", ".lock", ".refused"}
    assert Path(path) in files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_what_many_processes_put_in_at_once_is_taken_once_each_and_whole(inbox: Inbox, tmp_path: Path) -> None:
    code = """
folder, url, writer = sys.argv[1:]
inbox = Inbox(folder, url)
print("ready", flush=True)
sys.stdin.readline()
for number in range(200):
    length = 10 if number % 3 else 20000 + number * 97
    inbox.append(b'{"writer":%b,"number":%d,"filling":"%b"}' % (writer.encode(), number, b"x" * length), number)
print("done", flush=True)
"""
    taker = """
import os, select
inbox = Inbox(*sys.argv[1:3])
assert inbox.lock() is not None
print("ready", flush=True)
sys.stdin.readline()
kept, is_last = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_APPEND), False
while not is_last:
    is_last = select.select([0], [], [], 0) != ([], [], [])
    for path in inbox.take():
        with open(path, "rb") as file:
            os.write(kept, file.read())
        print(path, flush=True)
"""
    out = tmp_path / "out"
    with bare_process(taker, tmp_path / "state", URL, out) as taking:
        writers = [bare_process(code, tmp_path / "state", URL, writer) for writer in range(8)]
        processes = [writer.__enter__() for writer in writers]
        try:
            for process in [*processes, taking]:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            for process in [taking, *processes]:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            for process in processes:
                said, problem = process.communicate(timeout=30)
                assert (said, problem) == ("done\n", "")
        finally:
            for writer in writers:
                writer.__exit__(None, None, None)
        files, problem = taking.communicate(timeout=30)  # which ends its input: it takes a last time
    assert problem == ""
    assert len(set(files.splitlines())) > 1
    found = [json.loads(line) for line in lines_of(str(out))]
    counted = Counter((each["said"]["writer"], each["said"]["number"]) for each in found)
    assert counted == {(writer, number): 1 for writer in range(8) for number in range(200)}
    for each in found:
        number = each["said"]["number"]
        assert len(each["said"]["filling"]) == (10 if number % 3 else 20000 + number * 97)
    assert everything_below(tmp_path / "state" / "claude-code") == {f"{inbox.name}.lock"}
    assert inbox.take_refused() == 0


def test_who_had_the_file_open_when_it_was_taken_appends_to_the_next(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox.append(b'"early"', 1)
    before: list[Any] = []
    flock = fcntl.flock

    def taken_meanwhile(fd: int, operation: int) -> None:
        if operation == fcntl.LOCK_SH and not before:
            before.extend(taken(inbox))
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", taken_meanwhile)
    inbox.append(b'"late"', 2)
    assert (before, taken(inbox)) == (["early"], ["late"])


def test_who_takes_waits_for_who_is_appending(inbox: Inbox) -> None:
    inbox.append(b"1", 1)
    with Path(inbox.path).open("ab", buffering=0) as file, ThreadPoolExecutor() as pool:
        fcntl.flock(file, fcntl.LOCK_SH)
        said = pool.submit(taken, inbox)
        with pytest.raises(TookTooLong):
            said.result(0.2)
        file.write(b'\n{"at":2,"said":2}\n')
        fcntl.flock(file, fcntl.LOCK_UN)
        assert said.result(10) == [1, 2]


def test_the_order_of_lines_is_kept_and_what_is_taken_is_gone(inbox: Inbox) -> None:
    for number in range(3):
        inbox.append(b"%d" % number, number)
    assert taken(inbox) == [0, 1, 2]
    assert taken(inbox) == []


def test_nothing_is_there_to_take_where_nothing_was_put(inbox: Inbox, tmp_path: Path) -> None:
    assert (taken(inbox), inbox.take_refused(), waiting_bytes(str(tmp_path / "state"), URL)) == ([], 0, 0)
    assert everything_below(tmp_path) == set()


def test_a_file_is_deleted_only_when_the_next_is_asked_for(inbox: Inbox) -> None:
    inbox.append(b"1", 1)
    files = inbox.take()
    path = next(files)
    assert Path(path).exists()
    inbox.append(b"2", 2)  # which goes into the next one
    assert next(files, None) is None
    assert not Path(path).exists()
    assert taken(inbox) == [2]


@pytest.mark.parametrize("torn", [b'\n{"at":1,"sa', b"\n", b"\x00\xff", b'\n{"at":1,"said":{"a":"'])
def test_a_torn_line_costs_only_itself(inbox: Inbox, torn: bytes) -> None:
    inbox.append(b'"before"', 1)
    with Path(inbox.path).open("ab") as file:
        file.write(torn)
    inbox.append(b'"after"', 2)
    (path,) = Path(inbox.folder).glob("*.jsonl")
    lines = lines_of(str(path))
    assert [json.loads(line)["said"] for line in (lines[0], lines[-1])] == ["before", "after"]
    assert len(lines) == (3 if torn.strip() else 2)


def test_a_disk_that_takes_a_part_costs_what_it_did_not_take(inbox: Inbox, tmp_path: Path) -> None:
    code = """
import resource
inbox = Inbox(*sys.argv[1:])
inbox.append(b'"small"', 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
inbox.append(b'"%b"' % (b"x" * 200), 2)
try:
    inbox.append(b'"nothing"', 3)
except OSError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    inbox.append(b'"after"', 4)
    print("done")
"""
    with bare_process(code, tmp_path / "state", URL) as process:
        assert process.communicate(timeout=30) == ("done\n", "")
    ((first, torn, last),) = (lines_of(path) for path in inbox.take())
    assert [json.loads(line)["said"] for line in (first, last)] == ["small", "after"]
    assert torn.startswith(b'{"at":2,"said":"xxx')
    assert inbox.take_refused() == 1


def test_what_a_killed_taker_had_is_taken_again_and_before_what_came_later(inbox: Inbox, tmp_path: Path) -> None:
    inbox.append(b"1", 1)
    code = """
import time
inbox = Inbox(*sys.argv[1:])
assert inbox.lock() is not None
print(next(inbox.take()), flush=True)
time.sleep(60)
"""
    with bare_process(code, tmp_path / "state", URL) as process:
        assert process.stdout is not None
        path = process.stdout.readline().strip()
        assert path.endswith(".taken")
        assert inbox.lock() is None
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=30) == -signal.SIGKILL
    lock = inbox.lock()
    assert lock is not None
    os.close(lock)
    assert waiting_bytes(str(tmp_path / "state"), URL) == len('\n{"at":1,"said":1}\n')
    inbox.append(b"2", 2)
    files = []
    said = []
    for each in inbox.take():
        files.append(each)
        said += [json.loads(line)["said"] for line in lines_of(each)]
    assert (files[0], said) == (path, [1, 2])
    assert taken(inbox) == []


def test_one_more_than_there_is_room_for_is_refused_and_counted(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    inbox.append(b'"kept"', 1)
    for _ in range(3):
        inbox.append(b'"%b"' % (b"x" * 100), 2)
    inbox.append(b'"kept too"', 3)
    assert inbox.take_refused() == 3
    assert inbox.take_refused() == 0
    assert taken(inbox) == ["kept", "kept too"]
    inbox.append(b'"and room again"', 4)
    assert taken(inbox) == ["and room again"]


# The lock


def test_only_one_has_the_lock(inbox: Inbox, tmp_path: Path) -> None:
    assert not inbox.is_drained()
    lock = inbox.lock()
    assert lock is not None
    assert inbox.lock() is None
    assert inbox.is_drained()
    assert Inbox(str(tmp_path / "state"), URL).is_drained()
    other = Inbox(str(tmp_path / "state"), "file:/db/other.db").lock()
    assert other is not None
    os.close(other)
    os.close(lock)
    assert not inbox.is_drained()
    assert not inbox.is_drained()


def test_a_hook_does_not_wait_for_who_has_the_lock(hook: Hook, inbox: Inbox, tmp_path: Path) -> None:
    lock = inbox.lock()
    assert lock is not None
    assert silent(hook(b'{"hook_event_name": "Stop"}', **logging_into(tmp_path / "state")))
    assert taken(inbox) == [{"hook_event_name": "Stop"}]
    os.close(lock)


def test_the_lock_goes_with_its_process(inbox: Inbox, tmp_path: Path) -> None:
    code = 'Inbox(*sys.argv[1:]).lock(); print("has it", flush=True); sys.stdin.read()'
    with bare_process(code, tmp_path / "state", URL) as has:
        assert has.stdout is not None
        assert has.stdout.readline() == "has it\n"
        assert inbox.is_drained()
    assert not inbox.is_drained()


# Where it is


def test_each_database_has_an_inbox_of_its_own(tmp_path: Path) -> None:
    urls = ["file:/a.db", "file:/b.db", "libsql://a.turso.io", "libsql://a.turso.io?authToken=x", "file:é.db", "file:\udcff.db"]
    for number, url in enumerate(urls):
        Inbox(str(tmp_path), url).append(b"%d" % number, 1)
    assert waiting_bytes(str(tmp_path), None) == len(urls) * len('\n{"at":1,"said":0}\n')
    for number, url in enumerate(urls):
        assert waiting_bytes(str(tmp_path), url) == len('\n{"at":1,"said":0}\n')
        assert taken(Inbox(str(tmp_path), url)) == [number]


def test_a_url_is_not_written_down(tmp_path: Path) -> None:
    inbox = Inbox(str(tmp_path), "libsql://a.turso.io?authToken=secret")
    inbox.append(TOLD, 1)
    assert inbox.lock() is not None
    assert not [path for path in tmp_path.rglob("*") if "secret" in path.name]
    assert not [path for path in tmp_path.rglob("*.jsonl") if b"secret" in path.read_bytes()]


@pytest.mark.parametrize(
    ("url", "is_of_the_folder"),
    [
        ("file:agents.db", True),
        ("FILE:agents.db", True),
        ("file:../agents.db", True),
        ("file:/agents.db", False),
        ("file:///agents.db", False),
        ("libsql://a.turso.io", False),
    ],
)
def test_the_working_folder_matters_to_a_file_that_is_relative_to_it(
    url: str, is_of_the_folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for folder in ("one", "two", "one"):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        names.append(Inbox("/state", url).name)
    assert names[0] == names[2]
    assert (names[0] != names[1]) is is_of_the_folder


SAME = {
    "none": {},
    "an empty one": {"TURSO_HOOKS_STATE_FOLDER": ""},
    "absolute": {"TURSO_HOOKS_STATE_FOLDER": "/var/state"},
    "absolute with odd slashes": {"TURSO_HOOKS_STATE_FOLDER": "/var//state/./x/"},
    "relative": {"TURSO_HOOKS_STATE_FOLDER": "some/state"},
    "relative with a dot": {"TURSO_HOOKS_STATE_FOLDER": "./state"},
    "a blank": {"TURSO_HOOKS_STATE_FOLDER": " "},
    "no ASCII": {"TURSO_HOOKS_STATE_FOLDER": "/var/été 日本"},
    "of home": {"TURSO_HOOKS_STATE_FOLDER": "~/state"},
    "home": {"TURSO_HOOKS_STATE_FOLDER": "~"},
    "of another's home": {"TURSO_HOOKS_STATE_FOLDER": "~root/state"},
    "a tilde within": {"TURSO_HOOKS_STATE_FOLDER": "some/~/state"},
    "of a relative home": {"TURSO_HOOKS_STATE_FOLDER": "~/state", "HOME": "ada"},
    "a relative home": {"HOME": "ada"},
    "of XDG": {"XDG_STATE_HOME": "/xdg/state"},
    "of XDG and its own": {"XDG_STATE_HOME": "/xdg/state", "TURSO_HOOKS_STATE_FOLDER": "/var/state"},
    "of XDG, empty": {"XDG_STATE_HOME": ""},
    "of XDG, blank": {"XDG_STATE_HOME": "  "},
    "home with a slash": {"HOME": "/home/ada/"},
    "of XDG, relative": {"XDG_STATE_HOME": "xdg/state"},
    "of XDG, with a tilde": {"XDG_STATE_HOME": "~/xdg"},
    "of XDG, with a slash": {"XDG_STATE_HOME": "/xdg/state/"},
    "of XDG, with a blank": {"XDG_STATE_HOME": " /xdg/state"},
    "up": {"TURSO_HOOKS_STATE_FOLDER": "../state"},
    "up from a link": {"TURSO_HOOKS_STATE_FOLDER": "/link/../state"},
    "no home": {"HOME": ""},
}


@pytest.mark.skipif(sys.platform == "darwin", reason="the folders are those of Linux")
@pytest.mark.parametrize(
    "variables",
    [
        *(pytest.param(each, id=name) for name, each in SAME.items()),
    ],
)
def test_the_state_folder_is_that_of_the_settings(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TURSO_HOOKS_STATE_FOLDER")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert state_folder() == str(load_settings().state_folder)


# What it costs


def test_the_module_loads_nothing_that_costs_time() -> None:
    with bare_process("print(*sys.modules)") as process:
        said, problem = process.communicate(timeout=30)
    loaded = set(said.split())
    assert problem == ""
    assert "turso_hooks.adapters.claude_code.inbox" in loaded
    assert loaded.isdisjoint({"typing", "pathlib", "re", "json", "click", "msgspec", "inspect", "subprocess", "dataclasses"})
    assert {name for name in loaded if name.startswith("turso_hooks")} == {
        "turso_hooks",
        "turso_hooks.adapters",
        "turso_hooks.adapters.claude_code",
        "turso_hooks.adapters.claude_code.inbox",
        "turso_hooks.state_folder",
    }
