"""`init` writes what a project needs, keeps what is there, and what it writes works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.workflows import linted
from turso_hooks.settings import setting_fields

Run = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[2]


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_three_commands_show_an_agents_conversation(run: Run, tmp_path: Path) -> None:
    assert run("init").returncode == 0
    environment = {**os.environ, "TURSO_DATABASE_URL": "file:agents.db"}
    agent = subprocess.run(
        [sys.executable, "agent.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "all of it is in the database" in agent.stdout
    for url, said in [("", "nothing is kept: no database is named"), ("libsq://x", "nothing is kept: the database URL")]:
        environment["TURSO_DATABASE_URL"] = url
        other = subprocess.run(
            [sys.executable, "agent.py"], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert said in other.stdout
    shown = run("show", "--db", "file:agents.db")
    assert "What time is it?" in shown.stdout
    assert "✓ clock" in shown.stdout
    assert run("conformance", "--", sys.executable, "agent.py").returncode == 0


def test_every_setting_is_in_the_example_and_what_must_not_be_committed_is_ignored(run: Run, tmp_path: Path) -> None:
    written = run("init", "--db", "file:logs/agents.db").stdout
    text = (tmp_path / ".env.example").read_text(encoding="utf-8")
    for entry in setting_fields():
        assert f"{entry.metadata['variable']}=" in text
        assert entry.metadata["meaning"] in text
    assert "\nTURSO_DATABASE_URL=file:logs/agents.db\n" in text
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == ".env\n/logs/agents.db*\n"
    assert files_in(tmp_path) == {".env.example", ".gitignore", "agent.py"}
    assert "export TURSO_DATABASE_URL=file:logs/agents.db" in written


def test_what_is_there_stays_and_called_again_nothing_changes(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.log", encoding="utf-8")
    (tmp_path / "agent.py").write_text("print('mine')\n", encoding="utf-8")
    first = run("init", "--claude-code")
    assert "agent.py: is there and differs, and was left as it is" in first.stdout
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == "*.log\n.env\n/agents.db*\n"
    before = {name: (tmp_path / name).read_bytes() for name in files_in(tmp_path)}
    again = run("init", "--claude-code")
    assert ".gitignore: is there\n" in again.stdout
    assert {name: (tmp_path / name).read_bytes() for name in files_in(tmp_path)} == before
    assert "agent.py: changed" in run("init", "--overwrite").stdout
    assert "my-agent" in (tmp_path / "agent.py").read_text(encoding="utf-8")


def test_a_dry_run_shows_a_diff_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("print('mine')\n", encoding="utf-8")
    shown = run("init", "--workflow", "--claude-code", "--dry-run").stdout
    assert "--- /dev/null\n+++ .github/workflows/agent.yml\n" in shown
    assert "--- agent.py\n+++ agent.py\n" in shown
    assert "-print('mine')\n" in shown
    assert files_in(tmp_path) == {"agent.py"}


@pytest.mark.parametrize("runner", ["python", "claude-agent-sdk", "claude-code", "opencode"])
def test_the_workflow_is_one_and_each_runners_files_are_written(run: Run, tmp_path: Path, runner: str) -> None:
    assert run("init", "--runner", runner, "--workflow", "a project").returncode == 0
    folder = tmp_path / "a project"
    own = {"python": "agent.py", "claude-agent-sdk": "agent.py", "opencode": "opencode_watch.py"}
    expected = {own.get(runner, ".claude/settings.json"), ".env.example", ".gitignore", ".github/workflows/agent.yml"}
    assert files_in(folder) == expected
    for name in expected & {"agent.py", "opencode_watch.py"}:
        compile((folder / name).read_text(encoding="utf-8"), name, "exec")
    workflow = folder / ".github" / "workflows" / "agent.yml"
    assert "@" not in workflow.read_text(encoding="utf-8").replace("actions/checkout@v4", "").replace(
        "-artifact@v4", ""
    ).replace("setup-python@v5", "")
    assert linted(workflow) == []


def test_the_linter_finds_what_is_wrong_in_a_workflow(run: Run, tmp_path: Path) -> None:
    assert run("init", "--workflow").returncode == 0
    workflow = tmp_path / ".github" / "workflows" / "agent.yml"
    text = workflow.read_text(encoding="utf-8")
    workflow.write_text(text.replace("steps.ship.outcome", "steps.shipped.outcome"), encoding="utf-8")
    assert any("shipped" in problem["message"] for problem in linted(workflow))


def test_the_watcher_is_the_one_of_the_examples(run: Run, tmp_path: Path) -> None:
    run("init", "--runner", "opencode")
    assert (tmp_path / "opencode_watch.py").read_text(encoding="utf-8") == (ROOT / "examples" / "opencode_watch.py").read_text(
        encoding="utf-8"
    )


def test_in_a_terminal_it_asks(in_terminal: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agent.py").write_text("print('mine')\n", encoding="utf-8")
    shown = in_terminal("init", typed="python\nfile:log.db\ny\ny\n")
    assert "What runs the agents?" in shown
    assert "replace it?" in shown
    assert files_in(tmp_path) == {".env.example", ".gitignore", "agent.py", ".github/workflows/agent.yml"}
    assert "my-agent" in (tmp_path / "agent.py").read_text(encoding="utf-8")
    assert "file:log.db" in (tmp_path / ".env.example").read_text(encoding="utf-8")


def test_what_cannot_be_is_said_before_anything_is_written(run: Run, tmp_path: Path) -> None:
    secret = run("init", "--db", "libsql://x.turso.io?authToken=abc")
    assert secret.returncode != 0
    assert "abc" not in secret.stderr
    assert run("init", "--db", "ftp://x").returncode != 0
    assert run("init", "--runner", "cobol").returncode == 2
    (tmp_path / ".gitignore").write_bytes(b"\xff\xfe")
    broken = run("init")
    assert "no UTF-8 text" in broken.stderr
    assert files_in(tmp_path) == {".gitignore"}


def test_odd_names_are_written_so_that_they_mean_what_they_say(run: Run, tmp_path: Path) -> None:
    for url, ignored in [
        ("file:my log.db", "/my log.db*"),
        ("file:my%20log%231.db", "/my log\\#1.db*"),
        ("file:a[1].db", "/a\\[1\\].db*"),
    ]:
        folder = f"it's {len(url)}"
        said = run("init", folder, "--db", url).stdout
        assert ignored in (tmp_path / folder / ".gitignore").read_text(encoding="utf-8").splitlines()
        typed = "\n".join(line.strip() for line in said.partition("Next:")[2].splitlines() if "agent.py" not in line)
        shell = f'set -e; {typed.replace("turso-hooks show", "")}\nset -a; . ./.env.example; pwd; echo "$TURSO_DATABASE_URL"'
        sourced = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert sourced.stdout.splitlines() == [str(tmp_path / folder), url]


def test_the_log_goes_where_the_environment_says_already(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURSO_DATABASE_URL", "libsql://agents.example.org")
    assert "export TURSO_DATABASE_URL=libsql://agents.example.org TURSO_AUTH_TOKEN=" in run("init").stdout
    assert "\nTURSO_DATABASE_URL=libsql://agents.example.org\n" in (tmp_path / ".env.example").read_text(encoding="utf-8")
