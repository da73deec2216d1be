"""One trial of one peer, seen from outside: a child in a folder of its own, what it found, what is in its database then.

A child's environment is made from nothing, with a home of its own; telemetry is off. What hangs is killed after a while.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.child import FOUND
from benchmarks.peers.report import distribution
from benchmarks.peers.roster import CHECKOUT, Peer
from benchmarks.peers.work import DATABASE, LINES
from serving.servers import LibsqlServer, Missing

QUIET = {"DO_NOT_TRACK": "1", "PYTHONDONTWRITEBYTECODE": "1"}

HEALTHY_WITHIN_S = 300.0
"""The most that a child may take while nothing is wrong; a tool that takes longer is said to have failed."""

LOG = "child.log"


class Failed(Exception):
    """A peer did not do its work though nothing was wrong."""


@dataclass(frozen=True)
class Sizes:
    """How much is done, and how long anything is waited for."""

    turns: int = 100
    conversations: int = 150
    seconds: float = 3.0
    """Flat out, conversations go on until either is reached: so many that what a tool does in the background is at work too."""

    pause_s: float = 0.005
    lock_s: float = 8.0
    patience_s: float = 20.0


class Trial:
    """A folder for one child."""

    def __init__(self, peer: Peer, python: Path, folder: Path, sizes: Sizes, url: str | None = None) -> None:
        self.peer, self.python, self.folder, self.sizes, self.url = peer, python, folder, sizes, url
        self.database = folder / DATABASE

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "PYTHONPATH": str(CHECKOUT / "tests"),
            "TURSO_DATABASE_URL": self.url or f"file:{self.database}",
            **QUIET,
            **self.peer.environment,
        }

    @contextmanager
    def child(self, **plan: Any) -> Iterator[subprocess.Popen[str]]:
        """The child at work; it is killed if it is still there in the end."""
        whole = {
            "tool": self.peer.tool,
            "folder": str(self.folder),
            "url": self.url,
            "turns": self.sizes.turns,
            "events": None,
            "conversations": 1,
            "seconds": 0,
            "pause_s": 0,
            "waits": False,
            "is_sick": False,
            "is_killed": False,
            **plan,
        }
        command = [str(self.python), "-m", "benchmarks.peers.child", json.dumps(whole)]
        with (
            (self.folder / LOG).open("wb") as log,
            subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def found(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / FOUND).read_text(encoding="utf-8"))
        return found

    def failure(self, what: str) -> Failed:
        log = (self.folder / LOG).read_text(encoding="utf-8", errors="replace").strip()
        return Failed(f"{what}: {log[-300:]}")

    def recover(self) -> None:
        """Bring in what dead processes left, where the tool has a command for it."""
        if self.peer.recover:
            command = [str(self.python), "-m", *self.peer.recover]
            with (self.folder / LOG).open("ab") as log:
                done = subprocess.run(
                    command,
                    env=self.environment(),
                    cwd=self.folder,
                    stdout=log,
                    stderr=log,
                    check=False,
                    timeout=HEALTHY_WITHIN_S,
                )
            if done.returncode:
                raise self.failure(f"{' '.join(self.peer.recover)} failed")

    def remains(self) -> Iterator[Path]:
        """The files that the child left."""
        return (path for path in self.folder.rglob("*") if path.is_file() and path.name != LOG)

    def count(self) -> int:
        """The events that are kept. Opened to write, as anybody would: what was killed may have left a journal to roll back."""
        if self.peer.counting is None:
            return sum(1 for _ in (self.folder / LINES).open("rb"))
        with closing(sqlite3.connect(self.database)) as connection:
            try:
                return int(connection.execute(self.peer.counting).fetchone()[0])
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return 0  # killed before there was one
                raise


def measured(trial: Trial, *, is_paced: bool) -> dict[str, Any]:
    """What calls cost, and when all of them are in the database."""
    sizes = trial.sizes
    much = {"pause_s": sizes.pause_s} if is_paced else {"conversations": sizes.conversations, "seconds": sizes.seconds}
    with trial.child(**much) as process:
        _wait(trial, process)
    found = trial.found()
    kept, calls = trial.count(), len(found["took_ns"])
    return {
        **distribution(found["took_ns"]),
        "calls": calls,
        "raised": sum(found["errors"].values()),
        "kept": kept / calls,
        "events_per_s": kept / found["durable_s"],
        "about": {name: found[name] for name in ("python", "sqlite", "installed")},
    }


def killed(trial: Trial, *, is_paced: bool) -> float:
    """The share of events that is there after a kill -9, at once after a call returned in the middle of the last turn."""
    pause_s = trial.sizes.pause_s if is_paced else 0
    with trial.child(pause_s=pause_s, events=3 * trial.sizes.turns, is_killed=True) as process:
        if _wait(trial, process) != -signal.SIGKILL:
            raise trial.failure("ended before it was killed")
        assert process.stdout is not None
        calls = int(process.stdout.readline())
    trial.recover()
    return trial.count() / calls


def locked(trial: Trial) -> dict[str, Any]:
    """A conversation while another process, this one, holds the database for some seconds."""
    with trial.child(waits=True, is_sick=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise trial.failure("did not begin")
        before = trial.count()
        with _locking(trial.database, trial.sizes.lock_s):
            print(file=process.stdin, flush=True)
            outcome = _outcome(trial, process, trial.sizes.lock_s + trial.sizes.patience_s)
    trial.recover()
    return outcome | {"kept": _share(trial.count() - before, outcome)}


def cut_off(trial: Trial, port: int, backend: AbstractContextManager[object]) -> dict[str, Any]:
    """A conversation for a backend on a port that refuses or never answers, which `backend` makes it do."""
    with backend, trial.child(is_sick=True) as process:
        outcome = _outcome(trial, process, trial.sizes.patience_s)
    return outcome | {"kept": _arrived(trial, port, outcome)}


def _arrived(trial: Trial, port: int, outcome: dict[str, Any]) -> float | None:
    """The share that reaches a real server, once one is on the port; None if there is none to be had.

    Of a tool without a command for it nothing can arrive any more: its process is over, and left nothing in its home.
    """
    if not trial.peer.recover:
        return None if any(b"session-000000" in path.read_bytes() for path in trial.remains()) else 0.0
    server = LibsqlServer(trial.folder / "server")
    server.port = port
    try:
        server.start()
        trial.recover()
        assert trial.peer.counting is not None
        return _share(int(str(server.ask(trial.peer.counting)[0][0])), outcome)
    except Missing:
        return None
    finally:
        server.kill()


def _share(kept: int, outcome: dict[str, Any]) -> float:
    return kept / outcome["calls"] if outcome["calls"] else 0.0


def _wait(trial: Trial, process: subprocess.Popen[str]) -> int:
    try:
        code = process.wait(HEALTHY_WITHIN_S)
    except subprocess.TimeoutExpired:
        raise trial.failure("took too long") from None
    if code > 0:
        raise trial.failure(f"exit code {code}")
    return code


def _outcome(trial: Trial, process: subprocess.Popen[str], patience_s: float) -> dict[str, Any]:
    """What the caller saw: its calls, the exit, and whether either was still going on when patience ended."""
    begin = time.monotonic()
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience_s)
    ended_at, is_over = time.monotonic(), process.poll() is not None
    if not (trial.folder / FOUND).exists():
        if is_over:
            raise trial.failure("ended before its calls did")
        return {"hangs": "calls", "after_s": ended_at - begin, "calls": 0}
    found = trial.found()
    return {
        "hangs": None if is_over else "exit",
        "after_s": ended_at - begin,
        "calls": len(found["took_ns"]),
        "longest_ms": max(found["took_ns"]) / 1e6,
        "raised": sum(found["errors"].values()),
        "errors": found["errors"],
        "exit_s": ended_at - found["called_at"],
    }


@contextmanager
def _locking(path: Path, lock_s: float) -> Iterator[None]:
    """Hold a database exclusively for so long; it is free again in the end."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(lock_s, connection.execute, ("ROLLBACK",))
        release.start()
        try:
            yield
        finally:
            release.join()


@contextmanager
def silence(port: int) -> Iterator[None]:
    """Connections to the port are made, by the system's queue, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", port), backlog=128):
        yield
