"""The soak's processes: started, ended, and asked what they logged and what they said about it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STEPS_A_SECOND = 80
"""Of each process; a step is three events, or six of them."""

SEGMENT_BYTES = 2**18
"""Small enough for every process to begin another segment every few seconds."""

BEGIN_WITHIN_S = 20.0
CLOSE_WITHIN_S = 60.0

ENVIRONMENT = {
    "TURSO_HOOKS_SEGMENT_BYTES": str(SEGMENT_BYTES),
    "TURSO_HOOKS_REQUEST_TIMEOUT_S": "3",  # so that what fell silent is given up, many times
    "PYTHONWARNINGS": "default",  # what was not closed is told in the log, whose lines are counted
}


@dataclass
class Run:
    """One process from start to end."""

    kind: str
    place: int
    """The number of the server it logs to."""
    url: str
    name: str
    process: subprocess.Popen[str]
    said_path: Path
    log_path: Path
    is_killed: bool = False

    def wait_for_begin(self) -> None:
        deadline = time.monotonic() + BEGIN_WITHIN_S
        while not self.said_path.exists():
            assert self.process.poll() is None, self.log_lines()
            assert time.monotonic() < deadline
            time.sleep(0.01)  # another process: there is no event to wait for

    def end(self, how: signal.Signals) -> Any:
        """End the process; returns what it says about its last flush, None of one that is killed."""
        self.is_killed = how is signal.SIGKILL
        self.process.send_signal(how)
        out, _ = self.process.communicate(timeout=2 * CLOSE_WITHIN_S)
        return None if self.is_killed else json.loads(out)

    def steps(self) -> int:
        """How many steps were said to be done, which are all up to the last one."""
        numbers = sorted(map(int, self.said_path.read_text(encoding="ascii").split()))
        assert numbers == list(range(len(numbers)))
        return len(numbers)

    def log_lines(self) -> list[str]:
        return self.log_path.read_text(encoding="utf-8").splitlines()


@dataclass
class Crew:
    """All processes there have been."""

    folder: Path
    runs: list[Run] = field(default_factory=list)

    def start(self, kind: str, place: int, url: str, close_within_s: float = CLOSE_WITHIN_S) -> Run:
        """A process that logs by now, and can be ended."""
        name = f"{kind}-{len(self.runs)}"
        said, log_path = self.folder / f"{name}.said", self.folder / f"{name}.log"
        arguments = [kind, name, str(STEPS_A_SECOND), str(close_within_s), str(said)]
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("agent.py")), *arguments],
                env={**os.environ, **ENVIRONMENT, "TURSO_DATABASE_URL": url},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        run = Run(kind, place, url, name, process, said, log_path)
        self.runs.append(run)
        run.wait_for_begin()
        return run

    def end_short_lived(self, how: signal.Signals) -> Run:
        """End the process that does not last; whatever it leaves in the journal, others ship."""
        latest = next(run for run in reversed(self.runs) if run.kind == "restarted")
        latest.end(how)
        return latest

    def restart(self, how: signal.Signals) -> None:
        """End that process, and start the next."""
        latest = self.end_short_lived(how)
        self.start(latest.kind, latest.place, latest.url, close_within_s=1)

    def kill_all(self) -> None:
        for run in self.runs:
            run.process.kill()
            run.process.communicate()
