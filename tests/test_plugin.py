from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pluggy
import pytest

from turso_hooks import close, flush, hookspecs
from turso_hooks.cli.draining import drain
from turso_hooks.events import EVENT_TYPES, Event, MessageAdded, SessionStarted, hook_name
from turso_hooks.plugin import Recorder
from turso_hooks.plugin import recorder as environment_recorder
from turso_hooks.settings import Settings

Rows = Callable[..., list[tuple[object, ...]]]


def message(content: object = "x", **fields: Any) -> MessageAdded:
    return MessageAdded(session_id="s", role="user", content=content, **fields)  # type: ignore[arg-type]


def contents(rows: Rows) -> list[object]:
    return [row[0] for row in rows("SELECT content FROM messages ORDER BY sequence")]


def test_the_recorder_implements_every_event_hook() -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(environment_recorder)
    manager.check_pending()
    assert all(getattr(manager.hook, hook_name(kind)).get_hookimpls() for kind in EVENT_TYPES)


def test_with_a_bare_plugin_manager_an_event_is_kept_all_the_same(recorder: Recorder, rows: Rows) -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(recorder)
    manager.hook.message_added(event=message("bare"))
    assert recorder.flush(30).is_complete
    assert contents(rows) == ["bare"]


def test_without_a_database_nothing_happens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inert = Recorder()
    inert.record(message())
    result = inert.flush(1)
    assert (result.is_complete, result.waiting, result.counts) == (True, 0, {})
    assert not (tmp_path / "state").exists()
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"TURSO_DATABASE_URL": "agents.db"}, "did you mean file:agents.db"),
        ({"TURSO_DATABASE_URL": "libsql://x.turso.io?tls=maybe"}, "tls=0 or tls=1"),
        ({"TURSO_DATABASE_URL": "file:a.db", "TURSO_HOOKS_BATCH_EVENTS": "many"}, "TURSO_HOOKS_BATCH_EVENTS must be"),
    ],
)
def test_a_wrong_setting_is_said_once_and_then_nothing_happens(
    environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    inert = Recorder()
    for _ in range(3):
        inert.record(message())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert said in caplog.text
    assert inert.flush(1).is_complete


def test_what_a_journal_refused_from_the_first_event_on_is_told_once_it_takes_something(settings: Settings, rows: Rows) -> None:
    settings.state_folder.write_text("no folder")
    recorder = Recorder(settings)
    for _ in range(5):
        recorder.record(message())
    settings.state_folder.unlink()
    assert recorder.close(30).is_complete
    assert dict(rows("SELECT reason, count FROM journal_counts")) == {"journal_unwritable": 5}
    assert rows("SELECT records, next_number FROM journal_writers") == [(1, 6)]


def test_what_a_journal_never_took_is_said_at_the_end(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.state_folder.write_text("no folder")
    recorder = Recorder(settings)
    for _ in range(5):
        recorder.record(message())
    recorder.close(1)
    assert "takes no counts: 5 journal_unwritable" in caplog.text


def test_where_no_thread_can_be_started_it_is_said_and_tried_again(
    recorder: Recorder, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:  # as where a limit on processes is reached
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    recorder.record(message("before"))
    result = recorder.flush(0.1)
    assert (result.is_complete, result.waiting) == (False, 1)
    assert "can't start new thread" in str(result.problem)
    assert caplog.text.count("no shipping thread can be started") == 1
    monkeypatch.setattr(threading.Thread, "start", start)
    recorder.record(message("after"))
    assert recorder.flush(30).is_complete
    assert sorted(contents(rows)) == ["after", "before"]


def test_a_log_handler_that_raises_does_not_reach_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Raising(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise RuntimeError(record)

    handler = Raising()
    logging.getLogger("turso_hooks").addHandler(handler)
    monkeypatch.setenv("TURSO_DATABASE_URL", "nonsense")
    try:
        Recorder().record(message())
    finally:
        logging.getLogger("turso_hooks").removeHandler(handler)


@pytest.mark.parametrize("thing", [None, "text", 7, object(), {"type": "message_added"}])
def test_what_is_no_event_does_not_raise_and_is_seen(thing: Any, recorder: Recorder, rows: Rows) -> None:
    recorder.record(thing)
    recorder.record(message())
    result = recorder.flush(30)
    assert contents(rows) == ["x"]
    assert result.dead_letters + sum(result.counts.values()) >= 1


def test_what_had_to_be_rewritten_or_cut_is_counted_here_and_in_the_database(settings: Settings, rows: Rows) -> None:
    recorder = Recorder(Settings(**{**vars(settings), "max_event_bytes": 4096}))
    recorder.record(message(metadata=object()))
    recorder.record(message("é" * 10_000))
    result = recorder.close(30)
    assert result.counts == {"rewritten": 1, "cut": 1}
    assert rows("SELECT reason, count FROM journal_counts ORDER BY 1") == [("cut", 1), ("rewritten", 1)]
    assert str(contents(rows)[1]).endswith("of 20000 bytes]")


def test_a_full_journal_refuses_counts_and_never_raises(settings: Settings, database: Path, rows: Rows) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN EXCLUSIVE")
        recorder = Recorder(Settings(**{**vars(settings), "journal_max_bytes": 10_000}))
        for _ in range(100):
            recorder.record(message("x" * 1000))
        refused = recorder.counts()["journal_full"]
        assert 85 < refused < 100
        result = recorder.flush(0.1)
        assert not result.is_complete
        assert result.waiting == 100 - refused + 1  # the counts wait too
        other.execute("COMMIT")
    assert recorder.close(20).is_complete
    assert rows("SELECT count(*) FROM messages") == [(100 - refused,)]
    assert rows("SELECT next_number - records FROM journal_writers") == [(refused,)]
    assert rows("SELECT reason, count FROM journal_counts") == [("journal_full", refused)]


def test_a_locked_database_holds_up_no_hook_and_loses_nothing(recorder: Recorder, database: Path, rows: Rows) -> None:
    recorder.record(message("before"))
    assert recorder.flush(30).is_complete
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for n in range(1000):
            recorder.record(message(str(n)))
        result = recorder.flush(1.5)
        assert (result.is_complete, result.waiting) == (False, 1000)
        assert "locked" in (result.problem or "")
    assert recorder.flush(30).is_complete
    assert contents(rows) == ["before", *map(str, range(1000))]


def test_events_of_threads_tasks_and_signal_handlers_are_all_there(recorder: Recorder, rows: Rows) -> None:
    async def task(who: str) -> None:
        for n in range(100):
            recorder.record(message(f"{who}{n}"))
            await asyncio.sleep(0)

    async def run() -> None:
        await asyncio.gather(task("a"), task("b"))

    before = signal.signal(signal.SIGUSR1, lambda *_: recorder.record(message("signal")))
    threads = [threading.Thread(target=asyncio.run, args=(run(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        os.kill(os.getpid(), signal.SIGUSR1)
        recorder.record(message("main"))
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGUSR1, before)
    assert recorder.flush(30).is_complete
    found = contents(rows)
    assert len(found) == 3 * 200 + 50 + found.count("signal")
    assert found.count("signal") >= 1


def test_a_finalizer_may_log(recorder: Recorder, rows: Rows) -> None:
    class Agent:
        def __del__(self) -> None:
            recorder.record(message("finalizer"))

    for _ in range(10):
        Agent()
    assert recorder.flush(30).is_complete
    assert contents(rows) == ["finalizer"] * 10


def test_after_close_an_event_starts_everything_anew(recorder: Recorder, rows: Rows) -> None:
    for n in range(3):
        recorder.record(message(str(n)))
        assert recorder.close(30).is_complete
    assert contents(rows) == ["0", "1", "2"]
    assert rows("SELECT count(*), count(finished_at) FROM journal_writers") == [(3, 3)]


def test_a_flush_after_a_close_that_had_to_give_up_says_what_was_left(recorder: Recorder, database: Path, rows: Rows) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN EXCLUSIVE")
        recorder.record(message())
        assert not recorder.close(0.1).is_complete
        assert (recorder.flush(0.1).is_complete, recorder.flush(0.1).waiting) == (False, 1)


def test_a_child_forked_while_the_parent_ships_can_ship(recorder: Recorder, rows: Rows) -> None:
    done = threading.Event()

    def log() -> None:
        while not done.wait(0.0005):
            for _ in range(20):
                recorder.record(message("x" * 500))

    thread = threading.Thread(target=log)
    thread.start()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            signal.alarm(25)
            recorder.record(message("child"))
            os._exit(0 if recorder.flush(20).is_complete else 1)
        assert os.waitpid(child, 0)[1] == 0
    done.set()
    thread.join()
    assert recorder.flush(30).is_complete
    assert rows("SELECT count(*) FROM messages WHERE content = 'child'") == [(20,)]


def test_what_is_closed_leaves_no_file_behind(recorder: Recorder, tmp_path: Path) -> None:
    for n in range(50):
        recorder.record(message(str(n)))
        assert recorder.close(30).is_complete
        assert list(tmp_path.rglob("*.segment")) == []


def test_logging_while_another_thread_closes_loses_nothing(recorder: Recorder, rows: Rows) -> None:
    done = threading.Event()

    def log() -> None:
        for n in range(3000):
            recorder.record(message(str(n)))
        done.set()

    thread = threading.Thread(target=log)
    thread.start()
    while not done.is_set():
        recorder.close(5)
    thread.join()
    assert recorder.close(30).is_complete
    assert sorted(contents(rows), key=lambda text: int(str(text))) == [str(n) for n in range(3000)]


def test_the_functions_of_the_package_flush_and_close_every_recorder(recorder: Recorder, rows: Rows) -> None:
    recorder.record(message())
    assert flush(30).is_complete
    recorder.record(SessionStarted(session_id="s"))
    assert close(30).is_complete
    assert contents(rows) == ["x"]


def test_a_forked_child_logs_on_its_own(recorder: Recorder, rows: Rows) -> None:
    recorder.record(message("parent before"))
    assert recorder.flush(30).is_complete
    child = os.fork()
    if child == 0:
        recorder.record(message("child"))
        os._exit(0 if recorder.flush(30).is_complete else 1)
    assert os.waitpid(child, 0)[1] == 0
    recorder.record(message("parent after"))
    assert recorder.flush(30).is_complete
    assert sorted(map(str, contents(rows))) == ["child", "parent after", "parent before"]


def test_a_child_that_exits_at_once_leaves_its_events_for_others(settings: Settings, rows: Rows) -> None:
    recorder = Recorder(settings)
    recorder.record(message("parent"))
    child = os.fork()
    if child == 0:
        recorder.record(message("child"))
        os._exit(0)
    os.waitpid(child, 0)
    recorder.close(30)
    drain(settings)
    assert sorted(map(str, contents(rows))) == ["child", "parent"]


def test_events_are_redacted_before_anything_is_written(recorder: Recorder, tmp_path: Path, rows: Rows) -> None:
    def redact(event: Event) -> Event | None:
        return msgspec.structs.replace(event, content="[hidden]") if isinstance(event, MessageAdded) else event

    recorder.redact = redact
    recorder.record(message("secret"))
    journal = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*.segment"))
    assert b"secret" not in journal
    assert recorder.close(30).is_complete
    assert contents(rows) == ["[hidden]"]


@pytest.mark.parametrize(
    ("url", "problem"), [(None, "no database is named; set TURSO_DATABASE_URL"), ("libsq://x", "unknown scheme 'libsq'")]
)
def test_who_flushes_is_told_that_nothing_is_kept(url: str | None, problem: str, tmp_path: Path) -> None:
    recorder = Recorder(Settings(database_url=url, state_folder=tmp_path / "state"))
    assert recorder.flush(1).problem is None  # nothing was to be kept yet
    recorder.record(SessionStarted(session_id="s"))
    for result in (recorder.flush(1), recorder.close(1)):
        assert result.is_complete
        assert result.problem is not None
        assert result.problem.startswith("nothing is kept: ")
        assert problem in result.problem


def test_where_one_recorder_keeps_what_is_said_it_is_no_news_that_another_does_not(recorder: Recorder) -> None:
    inert = Recorder(Settings(database_url=None))
    for one in (inert, recorder):
        one.record(SessionStarted(session_id="s"))
    assert inert.flush(1).problem is not None
    assert flush(30).problem is None
