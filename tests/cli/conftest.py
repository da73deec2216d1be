"""The command as people run it: a real process, with or without a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "turso-hooks"), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment}
        )

    return run


@pytest.fixture
def in_terminal() -> Callable[..., str]:
    """Runs the command in a terminal of its own; what it showed there."""

    def in_terminal(*arguments: str) -> str:
        child, terminal = pty.fork()
        if child == 0:
            os.execv(sys.executable, [sys.executable, "-m", "turso_hooks.cli.main", *arguments])
        output = b""
        while select.select([terminal], [], [], 30)[0]:
            try:
                output += os.read(terminal, 65536)
            except OSError:  # the terminal of a process that is gone
                break
        os.waitpid(child, 0)
        os.close(terminal)
        return output.decode()

    return in_terminal
