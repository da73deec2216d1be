"""Real processes, killed by real signals at any moment: what a returned hook call has said is there, once."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

Rows = Callable[..., list[tuple[object, ...]]]
Child = Callable[..., subprocess.Popen[str]]

FOUR_THREADS = """
    import sys, threading
    from turso_hooks import MessageAdded, get_plugin_manager

    hook = get_plugin_manager().hook

    def log(who):
        for n in range(2500):
            hook.message_added(event=MessageAdded(session_id=f"s{who}", role="user", content=f"{who}:{n}", message_id=str(n)))

    threads = [threading.Thread(target=log, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("all returned", flush=True)
    sys.stdin.read()
    """

ONE_BY_ONE = """
    import os, sys
    from turso_hooks import MessageAdded, ToolCallStarted, ToolCallFinished, get_plugin_manager

    hook = get_plugin_manager().hook
    returned = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for n in range(1_000_000):
        if n % 3:
            hook.message_added(event=MessageAdded(session_id="s", role="user", content=str(n) * (n % 50), message_id=str(n)))
        else:
            hook.tool_call_started(event=ToolCallStarted(session_id="s", tool_call_id=str(n), tool_name="t"))
            hook.tool_call_finished(event=ToolCallFinished(session_id="s", tool_call_id=str(n), output=n))
        os.write(returned, f"{n}\\n".encode())
    """


def turso_hooks(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "turso_hooks.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def drained(database: Path) -> dict[str, object]:
    result = turso_hooks("drain", "--json", "--db", f"file:{database}")
    assert result.returncode == 0, result.stderr
    found: dict[str, object] = json.loads(result.stdout)
    assert found["waiting_bytes"] == 0
    return found


def test_10_000_events_of_4_threads_survive_a_kill_right_after_the_last_call(child: Child, database: Path, rows: Rows) -> None:
    process = child(FOUR_THREADS, TURSO_HOOKS_SHIP_INTERVAL_S="0.05")
    assert process.stdout is not None
    assert process.stdout.readline() == "all returned\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    drained(database)
    assert rows("SELECT count(*), count(DISTINCT id), count(DISTINCT content) FROM messages") == [(10_000, 10_000, 10_000)]
    assert rows("SELECT sum(records), sum(next_number) FROM journal_writers") == [(10_000, 10_000)]
    assert rows("SELECT count(*) FROM dead_letters") == [(0,)]


def kill_at_a_random_moment(child: Child, database: Path, rows: Rows, returned: Path, delay_s: float) -> int:
    """Start, kill after a while, drain, and check; the number of events that had been said to be kept."""
    process = child(ONE_BY_ONE, str(returned), TURSO_HOOKS_SHIP_INTERVAL_S="0.02")
    while not returned.exists() and process.poll() is None:
        time.sleep(0.005)  # the child's start has no event to wait for that would not delay the kill
    time.sleep(delay_s)  # the random moment is the test
    process.send_signal(signal.SIGKILL)
    process.communicate()
    said = [int(line) for line in returned.read_bytes().split(b"\n")[:-1]]
    drained(database)
    messages = {row[0]: row[1] for row in rows("SELECT id, content FROM messages")}
    tools = {row[0]: row[1] for row in rows("SELECT id, output FROM tool_executions WHERE status = 'completed'")}
    for n in said:
        if n % 3:
            assert messages[f"s:message:{n}"] == str(n) * (n % 50)
        else:
            assert tools[f"s:tool_call:{n}"] == str(n)
    assert len(messages) + len(tools) in {len(said), len(said) + 1}
    assert rows("SELECT sum(next_number - records) FROM journal_writers") in ([(0,)], [(None,)])
    return len(said)


@pytest.mark.parametrize("round_", range(5))
def test_a_kill_at_a_random_moment_costs_no_event_whose_call_returned(
    round_: int, child: Child, database: Path, rows: Rows, tmp_path: Path
) -> None:
    delay_s = random.uniform(0, 0.3)
    print("delay", delay_s)
    kill_at_a_random_moment(child, database, rows, tmp_path / "returned", delay_s)


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(50))
def test_50_kills_at_random_moments_cost_no_event_whose_call_returned(
    round_: int, child: Child, database: Path, rows: Rows, tmp_path: Path
) -> None:
    delay_s = random.uniform(0, 0.8)
    print("delay", delay_s)
    kill_at_a_random_moment(child, database, rows, tmp_path / "returned", delay_s)


@pytest.mark.slow
def test_8_processes_write_one_file_while_a_ninth_reads_and_nobody_sees_it_locked(
    child: Child, database: Path, rows: Rows
) -> None:
    code = """
        import logging, sys, turso_hooks
        logging.basicConfig(level=logging.DEBUG)
        hook = turso_hooks.get_plugin_manager().hook
        for n in range(2000):
            hook.message_added(event=turso_hooks.MessageAdded(session_id=sys.argv[1], role="user", content=str(n)))
        result = turso_hooks.close(60)
        print(result.is_complete, result.problem)
        """
    children = [child(code, f"s{who}") for who in range(8)]
    done, seen, problems = threading.Event(), [0], []

    def read() -> None:
        while not done.wait(0.01):
            try:
                with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as reader:
                    seen.append(reader.execute("SELECT count(*) FROM messages").fetchone()[0])
            except sqlite3.OperationalError as error:
                if not any(words in str(error) for words in ("no such table", "unable to open")):  # not made yet
                    problems.append(str(error))

    ninth = threading.Thread(target=read)
    ninth.start()
    outputs = [one.communicate(timeout=120) for one in children]
    done.set()
    ninth.join()
    assert [out for out, _ in outputs] == ["True None\n"] * 8
    assert [err for _, err in outputs if "locked" in err] == []
    assert problems == []
    assert seen == sorted(seen)
    assert rows("SELECT session_id, count(*), count(DISTINCT content) FROM messages GROUP BY 1") == [
        (f"s{who}", 2000, 2000) for who in range(8)
    ]


def test_a_shipper_killed_at_work_leaves_nothing_undone_or_twice(child: Child, database: Path, rows: Rows) -> None:
    process = child(FOUR_THREADS, TURSO_HOOKS_SHIP_INTERVAL_S="60", TURSO_HOOKS_BATCH_EVENTS="50")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for _ in range(6):
        shipper = subprocess.Popen(
            [sys.executable, "-m", "turso_hooks.cli.main", "drain", "--db", f"file:{database}"],
            env={**os.environ, "TURSO_HOOKS_BATCH_EVENTS": "50"},
            stdout=subprocess.DEVNULL,
        )
        time.sleep(random.uniform(0.05, 0.4))  # the random moment is the test
        shipper.send_signal(signal.SIGKILL)
        shipper.wait()
    drained(database)
    assert rows("SELECT count(*), count(DISTINCT content) FROM messages") == [(10_000, 10_000)]
    assert rows("SELECT sum(records), sum(next_number) FROM journal_writers") == [(10_000, 10_000)]


def test_an_exit_with_a_locked_database_is_not_held_up_and_loses_nothing(child: Child, database: Path, rows: Rows) -> None:
    code = """
        import time, turso_hooks
        hook = turso_hooks.get_plugin_manager().hook
        for n in range(100):
            hook.message_added(event=turso_hooks.MessageAdded(session_id="s", role="user", content=str(n)))
        print(time.time())
        """
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN EXCLUSIVE")
        process = child(code, TURSO_HOOKS_EXIT_TIMEOUT_S="0.5")
        out, _ = process.communicate(timeout=30)
        held_up_s = time.time() - float(out)
    assert process.returncode == 0
    assert held_up_s < 10  # far above the 0.5 s, far below a lock that lasts
    drained(database)
    assert rows("SELECT count(*) FROM messages") == [(100,)]


def test_the_next_process_ships_what_was_left_behind_however_short_it_lives(child: Child, database: Path, rows: Rows) -> None:
    code = """
        import sys, turso_hooks
        hook = turso_hooks.get_plugin_manager().hook
        hook.message_added(event=turso_hooks.MessageAdded(session_id="s", role="user", content=sys.argv[1]))
        """
    for n in range(3):
        process = child(code, str(n), TURSO_HOOKS_EXIT_TIMEOUT_S="0")
        assert (process.communicate(timeout=30)[1], process.returncode) == ("", 0)
    process = child(code, "last")
    assert (process.communicate(timeout=30)[1], process.returncode) == ("", 0)
    assert sorted(rows("SELECT content FROM messages")) == [("0",), ("1",), ("2",), ("last",)]


def test_the_keyboard_ends_the_waiting_at_exit_and_what_was_left_is_said(child: Child, nowhere: socket.socket) -> None:
    code = """
        import atexit, turso_hooks
        hook = turso_hooks.get_plugin_manager().hook
        hook.message_added(event=turso_hooks.MessageAdded(session_id="s", role="user", content="x"))
        atexit.register(lambda: print("exit", flush=True))
        """
    url = f"http://127.0.0.1:{nowhere.getsockname()[1]}"
    process = child(code, TURSO_DATABASE_URL=url, TURSO_HOOKS_EXIT_TIMEOUT_S="60")
    assert process.stdout is not None
    assert process.stdout.readline() == "exit\n"
    link, _ = nowhere.accept()  # it is asking
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    link.close()
    assert err == f"1 records wait in the journal for {url}: no answer of {url} so far\n"


@pytest.fixture
def nowhere() -> Iterator[socket.socket]:
    """A server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


def test_what_is_logged_at_exit_is_kept(child: Child, database: Path, rows: Rows) -> None:
    code = """
        import atexit
        def goodbye():
            hook.message_added(event=turso_hooks.MessageAdded(session_id="s", role="user", content="goodbye"))
        atexit.register(goodbye)
        import turso_hooks
        hook = turso_hooks.get_plugin_manager().hook
        hook.message_added(event=turso_hooks.MessageAdded(session_id="s", role="user", content="hello"))
        """
    process = child(code)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    drained(database)
    assert sorted(rows("SELECT content FROM messages")) == [("goodbye",), ("hello",)]


def test_a_child_of_multiprocessing_leaves_its_events_for_the_next(child: Child, database: Path, rows: Rows) -> None:
    code = """
        import multiprocessing, sys
        import turso_hooks

        def work(n):
            turso_hooks.get_plugin_manager().hook.message_added(
                event=turso_hooks.MessageAdded(session_id="s", role="user", content=str(n))
            )

        if __name__ == "__main__":
            work(-1)
            context = multiprocessing.get_context(sys.argv[1])
            with context.Pool(3) as pool:
                pool.map(work, range(30))
                pool.close()
                pool.join()
        """
    for method in ("fork", "spawn"):
        process = child(code, method, PYTHONWARNINGS="ignore::DeprecationWarning")
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
    drained(database)
    assert rows("SELECT count(*) FROM messages") == [(62,)]
