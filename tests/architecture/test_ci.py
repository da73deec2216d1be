"""The scripts in .ci do what they say, as far as that can be seen without running all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CI = ROOT / ".ci"


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", *command], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("script", sorted(path.name for path in CI.iterdir()))
def test_the_scripts_are_bash(script: str) -> None:
    assert run("-n", str(CI / script)).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--quick"], ".ci/run: unknown option --quick"),
        (["versions", "-n", "2"], ".ci/versions: unknown option -n"),
        (["versions", "3.1"], ".ci/versions: there is no Python 3.1 here"),
        (["versions", "/bin/false"], ".ci/versions: /bin/false is not there or older than 3.10"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_is_said_before_anything_is_copied(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = run(str(CI / arguments[0]), *arguments[1:], TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_each_version_is_tried_in_a_copy_of_its_own_and_a_table_says_how_it_went(tmp_path: Path) -> None:
    went = run(str(CI / "versions"), sys.executable, "--", "-n0", "tests/journal/test_framing.py", TMPDIR=str(tmp_path))
    assert went.returncode == 0, went.stderr
    last = went.stdout.splitlines()[-1]
    assert last.startswith(".".join(str(part) for part in sys.version_info[:3]))
    assert " passed in " in last
    assert list(tmp_path.glob("tmp.*")) == []
    failed = run(str(CI / "versions"), sys.executable, "--", "-n0", "tests/no_such_test.py", TMPDIR=str(tmp_path))
    assert failed.returncode == 1
    assert failed.stdout.splitlines()[-1].split()[1] == "failed"
