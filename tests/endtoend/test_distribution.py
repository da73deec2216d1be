"""What is released: an sdist from which everything can be tested, and from it a wheel that works where nothing else is."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from configparser import ConfigParser
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from fnmatch import fnmatch
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

import turso_hooks

pytestmark = pytest.mark.slow  # it is built first
ROOT = Path(__file__).resolve().parents[2]
EXTRAS = {"claude-agent-sdk", "docs", "opencode", "prices", "test"}
NAME = f"turso_hooks-{turso_hooks.__version__}"
LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Built:
    """The two files, and what was said while they were made."""

    sdist: Path
    wheel: Path
    said: str

    def metadata(self) -> Message:
        return message_from_string(self.read(f"{NAME}.dist-info/METADATA"))

    def read(self, name: str) -> str:
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.read(name).decode("utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """An sdist of the checkout, and a wheel that was made from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(build, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Built(folder / f"{NAME}.tar.gz", folder / f"{NAME}-py3-none-any.whl", done.stdout + done.stderr)


def test_both_are_built_without_a_warning_and_an_index_takes_them(built: Built) -> None:
    assert "warn" not in built.said.lower()
    check = [sys.executable, "-m", "twine", "check", "--strict", str(built.sdist), str(built.wheel)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_the_sdist_holds_every_file_of_the_repository(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()} - {"PKG-INFO"}
    assert kept() <= names
    assert names <= kept("--others", "--exclude-standard") | kept()


def kept(*which: str) -> set[str]:
    """The files of the repository, or those that it has not and would not ignore; in a copy without one both at once."""
    listed = subprocess.run(["git", "ls-files", "-z", *which], cwd=ROOT, capture_output=True, text=True, check=False)
    if (ROOT / ".git").exists() and listed.returncode == 0:
        return {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return {
        path.as_posix()
        for path in paths
        if path.as_posix() != "PKG-INFO"  # an sdist has one
        and path.parts[0] != ".git"
        and not any(fnmatch(part, pattern) for part in (*path.parts, path.as_posix()) for pattern in ignored)
    }


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = {name for name in archive.namelist() if not name.startswith(f"{NAME}.dist-info/")}
    assert {name for name in kept() if name.startswith("turso_hooks/")} <= names
    assert names <= kept() | kept("--others", "--exclude-standard")
    assert {name.split("/")[0] for name in names} == {"turso_hooks"}
    assert {Path(name).suffix for name in names} == {".py", ".typed", ".template"}
    assert "turso_hooks/py.typed" in names


def test_the_metadata_names_every_extra_command_and_plugin(built: Built) -> None:
    metadata = built.metadata()
    assert metadata["Name"] == "turso-hooks"
    assert metadata["Version"] == turso_hooks.__version__
    assert metadata["License-Expression"] == "MIT"
    assert set(metadata.get_all("Provides-Extra", [])) == EXTRAS
    classifiers = metadata.get_all("Classifier", [])
    for version in versions_tried():
        assert f"Programming Language :: Python :: {version}" in classifiers
    points = ConfigParser()
    points.read_string(built.read(f"{NAME}.dist-info/entry_points.txt"))
    assert {group: dict(points[group]) for group in points.sections()} == {
        "console_scripts": {"turso-hooks": "turso_hooks.cli.entry:main"},
        "pytest11": {"turso_hooks": "turso_hooks.pytest_plugin"},
        "turso_hooks": {"turso": "turso_hooks.plugin:recorder"},
    }


def versions_tried() -> list[str]:
    """The versions of Python that the workflow of the tests runs them with."""
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    versions = re.findall(r'"(3\.\d+)"', re.findall(r"^ +python: \[(.*)\]$", workflow, re.MULTILINE)[0])
    assert len(versions) == 5
    return versions


def test_what_an_index_shows_is_the_readme_with_no_link_that_leads_nowhere_there(built: Built) -> None:
    shown = str(built.metadata().get_payload())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = LINK.findall(readme)
    assert [link for link in links if link.startswith("https://")] == LINK.findall(shown)
    for text, link in re.findall(r"\[([^\]]+)\]\(([^)\s]+)\)", readme):
        assert text in shown, link
    assert shown.count("```") == readme.count("```")
    assert re.findall(r"```.*?```", shown, re.DOTALL) == re.findall(r"```.*?```", readme, re.DOTALL)


def test_what_the_package_imports_is_what_it_says_it_needs(built: Built) -> None:
    needs = {named(line) for line in built.metadata().get_all("Requires-Dist", []) if "'test'" not in line}
    needs |= {"pytest"}  # `pytest_plugin` is loaded by pytest alone
    providers = modules_of_distributions()
    for path in sorted((ROOT / "turso_hooks").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for module in imported(tree) - set(sys.stdlib_module_names) - {"turso_hooks"}:
            assert providers.get(module, set()) & needs, f"{path.name} imports {module}"


def modules_of_distributions() -> dict[str, set[str]]:
    """Which distributions bring a module; Python 3.10 looks only into files that hatchling does not write."""
    providers: dict[str, set[str]] = {}
    for distribution in distributions():
        name = named(distribution.name)
        for module in {file.parts[0].removesuffix(".py") for file in distribution.files or ()}:
            providers.setdefault(module, set()).add(name)
    return providers


def named(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def imported(tree: ast.AST) -> set[str]:
    """The first word of each module that is imported somewhere."""
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


def test_the_tests_run_from_the_sdist(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}  # not as a worker of this run

    def said(*arguments: str) -> str:
        done = subprocess.run([*run, *arguments], cwd=tmp_path / NAME, env=alone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "tests collected" in said("--collect-only")
    assert "passed" in said("tests/architecture", "tests/documentation/test_reference.py", "tests/endtoend", "tests/events")


@pytest.fixture(scope="module")
def place(fresh_environment: Callable[..., Any], built: Built) -> Any:
    """An environment with the wheel and what it needs, no extra among it, and an empty folder in it."""
    place = fresh_environment(built.wheel)
    (place.folder / "project").mkdir()
    return place


def test_the_wheel_installs_and_runs_in_a_clean_environment(place: Any) -> None:
    def run(program: str, *arguments: str) -> str:
        done = place.run(program, *arguments, database="agents.db", below="project")
        assert done.stderr == ""
        return str(done.stdout)

    assert run("turso-hooks", "--version") == f"turso-hooks {turso_hooks.__version__}\n"
    assert run("python", "-W", "error", "-c", "import turso_hooks; print(turso_hooks.__version__)").split() == [
        turso_hooks.__version__
    ]
    where = run("python", "-c", "import turso_hooks; print(turso_hooks.__file__)")
    assert where.startswith(str(place.folder / "venv")), "it is the installed one that is tried"
    run("turso-hooks", "init", "--runner", "python", "--db", "file:agents.db", "--workflow")
    assert "all of it is in the database" in run("python", "-W", "error", "agent.py")
    assert "What time is it?" in run("turso-hooks", "show")
    assert "What time is it?" in run("turso-hooks", "export", "html")
    assert "project/agents.db\n  last reached " in run("turso-hooks", "status")
    assert run("turso-hooks", "doctor").count("ok") > 5
    place.pip("check")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("turso-hooks", "watch", "opencode"), "opencode"),
        (("turso-hooks", "import", "opencode", "--url", "http://127.0.0.1:9"), "opencode"),
        (("python", "-c", "import turso_hooks.adapters.opencode"), "opencode"),
        (("python", "-c", "import turso_hooks.adapters.claude_agent_sdk"), "claude-agent-sdk"),
    ],
)
def test_what_needs_an_extra_says_which_in_one_sentence(place: Any, arguments: tuple[str, ...], extra: str) -> None:
    done = place.run(*arguments, database="agents.db", check=False)
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert last.endswith(f"pip install 'turso-hooks[{extra}]'")
    if arguments[0] == "turso-hooks":
        assert done.stderr == f"{last}\n"


def test_statistics_go_without_prices_and_say_which_extra_has_them(place: Any) -> None:
    run = "with log.session() as s, log.model_call(s) as call: call.usage = turso_hooks.Usage(input=5, output=3)"
    code = f"import turso_hooks; log = turso_hooks.ConversationLogger(model='gpt-5.1', provider='openai')\n{run}"
    place.run("python", "-c", code, database="priced.db")
    stats = place.run("turso-hooks", "stats", database="priced.db")
    assert stats.stderr == "what 1 model call cost is not known; to estimate it: pip install 'turso-hooks[prices]'\n"
