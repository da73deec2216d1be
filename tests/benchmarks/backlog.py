"""A process that leaves a backlog behind (`leave`), or one that drains it while its agent logs on (`drain`).

    python backlog.py leave|drain FOLDER EVENTS

Prints what it measured as JSON.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from turso_hooks import MessageAdded
from turso_hooks.manager import build_plugin_manager
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings

TEXT = "x" * 897
PAUSE_S = 0.001
LOOK_EVERY = 500


def recorder_in(folder: Path, ship_interval_s: float) -> Recorder:
    url, state = f"file:{folder / 'backlog.db'}", folder / "state"
    return Recorder(Settings(database_url=url, state_folder=state, journal_max_bytes=2**33, ship_interval_s=ship_interval_s))


def leave(folder: Path, events: int) -> dict[str, float]:
    hook = build_plugin_manager(recorder_in(folder, 1e6)).hook
    begin = time.perf_counter()
    for n in range(events):
        hook.message_added(event=MessageAdded(session_id=f"session-{n // 300:06}", role="user", content=TEXT))
    return {"rate": events / (time.perf_counter() - begin)}


def drain(folder: Path, events: int) -> dict[str, float]:
    recorder = recorder_in(folder, Settings().ship_interval_s)
    hook = build_plugin_manager(recorder).hook
    memory_before_mb = memory_mb()
    samples: list[int] = []
    clock = time.perf_counter_ns
    begin = time.perf_counter()
    while len(samples) % LOOK_EVERY or not samples or len(list(folder.glob("state/journals/*/*.segment"))) > 1:
        time.sleep(PAUSE_S)
        called = clock()
        hook.message_added(event=MessageAdded(session_id="agent", role="user", content=TEXT))
        samples.append(clock() - called)
    rate = events / (time.perf_counter() - begin)
    peak_mb = memory_mb()
    assert recorder.close(30).is_complete
    with closing(sqlite3.connect(folder / "backlog.db")) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (events + len(samples),)
    samples.sort()
    return {
        "rate": rate,
        "memory_before_mb": memory_before_mb,
        "memory_mb": peak_mb,
        "p99.9": samples[len(samples) * 999 // 1000] / 1000,
        "longest": samples[-1] / 1000,
    }


def memory_mb() -> float:
    """The most that this process has held so far (VmHWM; what getrusage says may be that of the parent)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    what, folder, events = sys.argv[1:]
    print(json.dumps({"leave": leave, "drain": drain}[what](Path(folder), int(events))))
    sys.stdout.flush()
    os._exit(0)  # as if killed: what it left waits for the next process
