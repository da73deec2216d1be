"""What the agent's thread notices of a server that is down, silent, refusing, and back, beside a journal without any server."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from serving.servers import LibsqlServer, Nginx
from turso_hooks import MessageAdded
from turso_hooks.manager import build_plugin_manager
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings

pytestmark = pytest.mark.benchmark(group="network")

CALLS = 2500
"""In each of the four states of the server."""

PAUSE_S = 0.0005
TEXT = "x" * 897


class Faults:
    """The states a server goes through, one after the other."""

    def __init__(self, server: LibsqlServer, front: Nginx) -> None:
        self._server, self._front = server, front

    def down(self) -> None:
        self._front.stop()

    def silent(self) -> None:
        assert self._server.process is not None
        os.kill(self._server.process.pid, signal.SIGSTOP)
        self._front.start()

    def refusing(self) -> None:
        assert self._server.process is not None
        os.kill(self._server.process.pid, signal.SIGCONT)
        self._front.configure(answer=503)

    def up(self) -> None:
        self._front.configure()

    def in_turn(self) -> list[Callable[[], None]]:
        return [self.down, self.silent, self.refusing, self.up]


def test_an_agent_whose_server_fails_in_every_way(
    measure: Callable[..., Any],
    in_turns: Callable[..., Any],
    logging_to: Callable[..., Any],
    libsql_server: LibsqlServer,
    nginx: Callable[[str], Nginx],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    front = nginx(libsql_server.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(front.ca_file))
    monkeypatch.setattr("turso_hooks.shipping.worker._PATIENCE_S", 0.5)  # so that each state lasts long enough for a warning
    recorder = Recorder(
        Settings(database_url=front.url, auth_token="t", state_folder=tmp_path / "state-server", request_timeout_s=1)
    )
    hook = build_plugin_manager(recorder).hook
    _, alone = logging_to("alone", ship_interval_s=1e6)
    faults = Faults(libsql_server, front)
    numbers = count()

    def to_server() -> Callable[[], object]:
        return partial(hook.message_added, event=message(next(numbers)))

    def to_nowhere() -> Callable[[], object]:
        return partial(alone.hook.message_added, event=message(0))

    def one_round() -> dict[str, dict[str, float]]:
        states = []
        for fault in faults.in_turn():
            fault()
            states.append(in_turns({"server": to_server, "no server": to_nowhere}, CALLS, PAUSE_S))
        worst = {figure: max(states, key=partial(ratio, figure=figure)) for figure in ("p50", "p99")}
        return {name: {figure: state[name][figure] for figure, state in worst.items()} for name in ("server", "no server")}

    try:
        with caplog.at_level(logging.INFO, "turso_hooks"):
            found = measure(one_round)
            assert recorder.flush(60).is_complete
    finally:
        recorder.close(5)
    found.compare(
        "hook call while the server is down, silent, refusing or back, in the worst of these: p50",
        "server",
        "no server",
        "p50",
        "us",
        most=2,
    )
    found.compare("the same: p99", "server", "no server", "p99", "us", most=2)
    logged = next(numbers)
    rows = libsql_server.ask("SELECT count(*), count(DISTINCT content), count(DISTINCT sequence) FROM messages")
    assert rows == [(logged, logged, logged)]
    lines = [record for record in caplog.records if record.name == "turso_hooks"]
    warnings = [record.getMessage() for record in lines if record.levelno >= logging.WARNING]
    assert len(warnings) == len(set(warnings))
    found.note("lines in the log about all of that", len(lines), most=12)


def message(number: int) -> MessageAdded:
    return MessageAdded(session_id="session-1", role="user", content=f"{number} {TEXT}")


def ratio(state: dict[str, dict[str, float]], figure: str) -> float:
    return state["server"][figure] / state["no server"][figure]
