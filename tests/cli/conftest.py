"""The command as people run it: a real process, with or without a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
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
    """Runs the command in a terminal of its own, where something is `typed`; what it showed there."""

    def in_terminal(*arguments: str, columns: int = 80, typed: str = "", **environment: str) -> str:
        child, terminal = pty.fork()
        if child == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            command = [sys.executable, "-m", "turso_hooks.cli.main", *arguments]
            given = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}}
            os.execve(sys.executable, command, {**given, "TERM": "xterm-256color", **environment})
        os.write(terminal, typed.encode())
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
