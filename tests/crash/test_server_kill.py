"""A server that dies and comes back, and a network that cuts: everything is there once."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.proxy import Proxy
from serving.servers import LibsqlServer, TursoServer
from turso_hooks import MessageAdded
from turso_hooks.manager import build_plugin_manager
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings
from turso_hooks.store.migrations import LATEST

Server = LibsqlServer | TursoServer


class Load(threading.Thread):
    """Logs at a steady rate until it is told to stop."""

    def __init__(self, recorder: Recorder, rate: int) -> None:
        super().__init__(daemon=True)
        self._hook = build_plugin_manager(recorder).hook
        self._pause_s = 1 / rate
        self._ending = threading.Event()
        self.logged = 0

    def run(self) -> None:
        due = time.monotonic()
        while not self._ending.wait(max(due - time.monotonic(), 0)):
            self._hook.message_added(
                event=MessageAdded(session_id=f"s{self.logged % 7}", role="user", content=str(self.logged))
            )
            self.logged += 1
            due += self._pause_s

    def stop(self) -> int:
        self._ending.set()
        self.join()
        return self.logged


@pytest.fixture
def recorder_for(tmp_path: Path) -> Callable[..., Recorder]:
    def make(url: str, **options: object) -> Recorder:
        return Recorder(Settings(database_url=url, state_folder=tmp_path / "state", **options))  # type: ignore[arg-type]

    return make


def everything_once(server: Server, logged: int) -> None:
    counted = server.ask(
        "SELECT count(*), count(DISTINCT content), count(DISTINCT session_id || ':' || sequence) FROM messages"
    )
    assert counted == [(logged, logged, logged)]
    assert server.ask("SELECT sum(records), sum(next_number) FROM journal_writers") == [(logged, logged)]
    assert server.ask("SELECT count(*) FROM dead_letters") == [(0,)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["turso_server", "libsql_server"])
def test_a_server_killed_ten_times_under_a_steady_load_misses_nothing_and_has_nothing_twice(
    name: str, recorder_for: Callable[..., Recorder], request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(name)
    recorder = recorder_for(server.url)
    load = Load(recorder, rate=500)
    load.start()
    for _ in range(10):
        time.sleep(5)  # the load is the event that is waited for
        server.kill()
        time.sleep(1)
        server.start()
    logged = load.stop()
    assert logged > 0.95 * 500 * 60
    assert recorder.close(60).is_complete
    everything_once(server, logged)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["turso_server", "libsql_server"])
def test_a_network_that_cuts_every_third_connection_before_the_answer_doubles_nothing(
    name: str, recorder_for: Callable[..., Recorder], request: pytest.FixtureRequest, proxy: Callable[[int], Proxy]
) -> None:
    server: Server = request.getfixturevalue(name)
    network = proxy(server.port)
    network.cut_every = 3
    recorder = recorder_for(network.url, ship_interval_s=0.01, batch_events=10)
    load = Load(recorder, rate=300)
    load.start()
    network.wait_until(lambda: network.cuts >= 8)
    logged = load.stop()
    assert recorder.close(30).is_complete
    everything_once(server, logged)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["turso_server", "libsql_server"])
def test_ten_thousand_events_over_a_slow_link_take_few_requests(
    name: str, recorder_for: Callable[..., Recorder], request: pytest.FixtureRequest, proxy: Callable[[int], Proxy]
) -> None:
    server: Server = request.getfixturevalue(name)
    network = proxy(server.port)
    network.delay_s = 0.05
    recorder = recorder_for(network.url, ship_interval_s=600)  # nothing is shipped before all of them wait
    hook = build_plugin_manager(recorder).hook
    for n in range(10_000):
        hook.message_added(event=MessageAdded(session_id=f"s{n % 50}", role="user", content=f"{n} " + "x" * 300))
    assert network.requests == 0
    assert recorder.flush(60).is_complete
    assert network.requests <= 25, "the schema's requests among them"
    recorder.close(10)
    everything_once(server, 10_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["turso_server", "libsql_server"])
def test_of_many_processes_that_migrate_a_server_at_once_each_version_is_applied_by_one(
    name: str, request: pytest.FixtureRequest, child: Callable[..., subprocess.Popen[str]]
) -> None:
    server: Server = request.getfixturevalue(name)
    code = """
        import sys
        from turso_hooks.errors import DatabaseUnavailable
        from turso_hooks.settings import load_settings
        from turso_hooks.store import open_store, prepare_schema

        applied = []
        with open_store(load_settings()) as database:
            database.execute("SELECT 1")
            print("ready", flush=True)
            sys.stdin.readline()
            while True:
                try:
                    applied += prepare_schema(database)
                    break
                except DatabaseUnavailable:  # as the shipping thread does: again
                    pass
        print(*applied)
    """
    processes = [child(code, TURSO_DATABASE_URL=server.url) for _ in range(12)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = [process.communicate("\n", timeout=60) for process in processes]
    assert [error for _, error in said if error] == []
    applied = sorted(int(version) for output, _ in said for version in output.split())
    versions = [version for (version,) in server.ask("SELECT version FROM schema_version ORDER BY version")]
    assert applied.count(1) >= 1  # version 1 may be repeated, and changes nothing then
    assert [version for version in applied if version > 1] == versions[1:] == list(range(2, LATEST + 1))
