"""A virtual environment a tool, kept outside the checkout from one run to the next."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from benchmarks.peers.roster import CHECKOUT


class NotInstalled(Exception):
    """A tool cannot be had here; the message says what pip said."""


def python_with(requirements: Sequence[str], folder: Path) -> Path:
    """The interpreter of an environment with just these. A complete one is used again; the checkout is always reinstalled."""
    name = blake2b("\n".join((sys.version, *requirements)).encode(), digest_size=8).hexdigest()
    venv = folder / name
    python, complete = venv / "bin" / "python", venv / "complete"
    if not complete.exists():
        shutil.rmtree(venv, ignore_errors=True)
        _run([sys.executable, "-m", "venv", *([] if requirements else ["--without-pip"]), str(venv)])
    if requirements and (not complete.exists() or str(CHECKOUT) in requirements):
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
    complete.write_text("\n".join(requirements), encoding="utf-8")
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled(f"{' '.join(command[1:])}: {done.stderr.strip()[-500:]}")
