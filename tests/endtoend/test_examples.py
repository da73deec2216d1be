from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNNER = ROOT / "examples" / "minimal_runner.py"


def run(**environment: str) -> str:
    result = subprocess.run(
        [sys.executable, str(RUNNER)], capture_output=True, text=True, check=True, timeout=60, env={**os.environ, **environment}
    )
    assert result.stderr == ""
    return result.stdout.strip()


def test_the_minimal_runner_is_minimal_and_knows_only_the_hooks() -> None:
    text = RUNNER.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert "sqlite" not in text
    assert "os.environ" not in text


def test_the_minimal_runners_conversation_is_kept_with_nothing_but_a_url(
    database: Path, rows: Callable[..., list[tuple[object, ...]]]
) -> None:
    session_id = run(TURSO_DATABASE_URL=f"file:{database}")
    assert rows("SELECT id, status FROM sessions") == [(session_id, "completed")]
    assert rows("SELECT role, content FROM messages ORDER BY sequence") == [
        ("user", "What is two and three?"),
        ("assistant", "I will add them."),
        ("tool", "5"),
        ("assistant", "It is 5."),
    ]
    assert rows("SELECT tool_name, status, input, output FROM tool_executions") == [("add", "completed", '{"a":2,"b":3}', "5")]
    assert rows("SELECT sum(input_tokens) FROM model_calls") == [(54,)]


def test_an_agent_that_was_killed_goes_on_where_it_stopped(
    database: Path, rows: Callable[..., list[tuple[object, ...]]]
) -> None:
    environment = {**os.environ, "TURSO_DATABASE_URL": f"file:{database}"}

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)

    killed = python(str(RUNNER.with_name("resume.py")), "--killed-after", "2")
    assert killed.returncode == -signal.SIGKILL
    session_id = killed.stdout.strip()
    assert python("-m", "turso_hooks.cli.main", "drain").returncode == 0
    assert rows("SELECT status, count(*) FROM tool_executions GROUP BY 1") == [("completed", 2), ("running", 1)]
    resumed = python(str(RUNNER.with_name("resume.py")), session_id)
    poem = "A word is dead / When it is said, / Some say. / I say it just / Begins to live / That day."
    assert (resumed.stdout, resumed.stderr) == (f"{poem}\n", "")
    assert rows("SELECT id, status FROM sessions") == [(session_id, "completed")]
    assert rows("SELECT count(*) FROM tool_executions WHERE status = 'completed'") == [(6,)]


def test_the_minimal_runner_runs_without_a_database_too(tmp_path: Path) -> None:
    assert run()
    assert not (tmp_path / "state").exists()
