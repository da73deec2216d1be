"""Fresh virtual environments, as a user has them: only what pip installed, an empty home, one variable set."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class FreshEnvironment:
    """A virtual environment with turso-hooks installed, and a folder in which its programs run."""

    def __init__(self, folder: Path, distribution: Path = ROOT) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        (folder / "home").mkdir()
        self.pip("install", str(distribution))

    def pip(self, command: str, *arguments: str) -> None:
        pip = str(self.folder / "venv" / "bin" / "pip")
        subprocess.run([pip, command, "--quiet", "--disable-pip-version-check", *arguments], check=True)

    def run(
        self, program: str, *arguments: str, database: str, below: str = ".", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run an installed program with nothing but a database set, a file in the folder or in one below."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("TURSO_", "PYTHON", "XDG_"))}
        environment = {**clean, "HOME": str(self.folder / "home"), "TURSO_DATABASE_URL": f"file:{database}"}
        command = [str(self.folder / "venv" / "bin" / program), *arguments]
        folder = self.folder / below
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=check)


@pytest.fixture(scope="module")
def fresh_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., FreshEnvironment]:
    return lambda distribution=ROOT: FreshEnvironment(tmp_path_factory.mktemp("fresh"), distribution)
