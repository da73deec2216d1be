"""CONTRIBUTING, RELEASING and SECURITY name what is there, and the commands they show are ones that work."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("CONTRIBUTING.md", ".github/RELEASING.md", "SECURITY.md")}
COMMANDS = sorted(
    {
        line
        for page in PAGES.values()
        for block in re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
    }
)
PYTEST = ".venv/bin/python -m pytest "
PINNED = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
TEST_CODE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
TREES = ("turso_hooks/", "tests/", "docs/", "examples/", ".ci/", ".github/")


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_is_named_is_there(page: str) -> None:
    words = re.findall(r"[\w./*-]+", re.sub(r"https?://\S+", "", PAGES[page]))
    paths = [word.rstrip(".") for word in words if word.startswith(TREES)]
    for link in re.findall(r"\]\(([^):]+)\)", PAGES[page]):
        assert (ROOT / page).parent.joinpath(link).exists(), link
    paths += re.findall(r"`([\w-]+\.(?:md|toml|yml))`", PAGES[page])
    assert paths or page == "SECURITY.md"  # which names tests
    for path in paths:
        assert (ROOT / path).exists() or (ROOT / ".github" / "workflows" / path).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_is_there(page: str) -> None:
    names = set(re.findall(r"`(test_\w+)`", PAGES[page])) - {"test_a_torn_tail_costs_only_itself"}
    assert names
    for name in names:
        assert f"def {name}(" in TEST_CODE, name


def test_the_example_of_a_name_is_a_name_too() -> None:
    assert "def test_a_torn_tail_costs_only_itself" in TEST_CODE


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_starts_what_a_checkout_has(command: str) -> None:
    words = [word for word in shlex.split(command) if word != "CI=true"]
    if words[0].startswith(".venv/bin/"):
        program = words[0].removeprefix(".venv/bin/")
        module = words[2] if words[1:2] == ["-m"] else program
        known = {"pip", "pre-commit", "turso-hooks"}
        assert module in known or re.search(rf'^    "{module}==', PINNED, re.MULTILINE), module
    elif words[0].startswith(".ci/"):
        script = (ROOT / words[0]).read_text(encoding="utf-8")
        assert all(word in script for word in words[1:2] if word.startswith("-"))
    else:
        assert words[0] in {"npm", "python3"}
    for path in words[1:]:
        assert not path.startswith(TREES) or (ROOT / path).exists(), path


def test_what_style_asks_for_is_what_the_tests_ask_for() -> None:
    held = (ROOT / "tests" / "architecture" / "test_house.py").read_text(encoding="utf-8")
    for command, there in (("ruff format .", '["format", "--check"]'), ("ruff check .", '["check"]'), ("mypy", '"mypy"')):
        assert f".venv/bin/{command}" in COMMANDS
        assert there in held


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith(PYTEST)])
def test_every_command_of_pytest_finds_tests(command: str) -> None:
    arguments = shlex.split(command.removeprefix(PYTEST))
    collect = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments, "-n", "0", "--collect-only", "-q"]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}  # not as a worker of this run
    done = subprocess.run(collect, cwd=ROOT, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--chaos", "--soak"])
def test_the_long_forms_are_options(option: str) -> None:
    assert f"`{option} long`" in PAGES["CONTRIBUTING.md"]
    collect = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", option, "long", "--collect-only", "-q", "tests/events"]
    assert subprocess.run(collect, cwd=ROOT, capture_output=True, check=False).returncode == 0
