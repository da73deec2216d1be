"""`conformance` names what a runner forgets, whether it runs it or reads what it logged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from turso_hooks.plugin import Recorder
from turso_hooks.testing import RULES, make_conversation

Run = Callable[..., subprocess.CompletedProcess[str]]

GOOD = "from turso_hooks.testing import make_conversation\nfrom turso_hooks import get_plugin_manager\nprint('working')\n"
GOOD += "for event in make_conversation({which}):\n    get_plugin_manager().emit(event)\n"


@pytest.fixture
def agent(tmp_path: Path) -> Callable[[str], list[str]]:
    def write(code: str) -> list[str]:
        path = tmp_path / "an agent.py"
        path.write_text(code, encoding="utf-8")
        return ["--", sys.executable, str(path)]

    return write


def test_a_runner_that_emits_what_it_should_passes_and_is_run_as_it_would_be(
    run: Run, agent: Callable[[str], list[str]]
) -> None:
    done = run("conformance", *agent(GOOD.format(which="")))
    assert (done.returncode, done.stdout) == (0, "working\n")
    assert done.stderr == f"{len(make_conversation())} events of 1 session: all is as it should be\n"


def test_what_is_missing_is_named_also_of_the_processes_it_starts(run: Run, agent: Callable[[str], list[str]]) -> None:
    code = "import subprocess, sys\nfor n in '01':\n    subprocess.run([sys.executable, '-c', sys.argv[1], n], check=True)\n"
    child = "import sys\nfrom turso_hooks import *\nget_plugin_manager().emit(SessionStarted(session_id=sys.argv[1]))\n"
    found = run("conformance", "--json", *agent(code), child)
    told = json.loads(found.stdout)
    assert (found.returncode, told["events"], told["sessions"], told["exit_code"]) == (1, 2, 2, 0)
    assert [(problem["session_id"], problem["rule"]) for problem in told["problems"]] == [
        ("0", "session-ended"),
        ("1", "session-ended"),
    ]
    allowed = run("conformance", "--allow", "session-ended", *agent(code), child)
    assert allowed.returncode == 0


def test_a_command_that_fails_or_emits_nothing_or_is_not_there_is_told(run: Run, agent: Callable[[str], list[str]]) -> None:
    failed = run("conformance", *agent(GOOD.format(which="") + "raise SystemExit(3)\n"))
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (1, "the command failed: exit code 3")
    killed = run("conformance", *agent(GOOD.format(which="") + "import os\nos.kill(os.getpid(), 9)\n"))
    assert killed.stderr.splitlines()[-1] == "the command failed: exit code -9"
    silent = run("conformance", *agent("pass"))
    assert (silent.returncode, "nothing was emitted" in silent.stderr) == (1, True)
    absent = run("conformance", "--", "./no such program")
    assert (absent.returncode, absent.stderr) == (1, "Error: cannot run ./no such program: No such file or directory\n")


def test_what_is_no_event_is_named(run: Run, agent: Callable[[str], list[str]]) -> None:
    wrong = "from turso_hooks import *\nget_plugin_manager().hook.message_added(event='hello')\n"
    found = run("conformance", *agent(GOOD.format(which="") + wrong))
    assert found.returncode == 1
    assert "is no event (values-fit)" in found.stdout


def test_sessions_of_a_database_are_looked_at(run: Run, recorder: Recorder, database: Path) -> None:
    for event in [*make_conversation("whole"), *make_conversation("begun")[:-1]]:
        recorder.record(event)
    assert recorder.flush(10).is_complete
    assert run("conformance", "--session", "whole", "--db", f"file:{database}").returncode == 0
    both = run("conformance", "--session", "whole", "--session", "begun", "--db", f"file:{database}")
    assert (both.returncode, both.stdout) == (1, "session 'begun': session_ended is missing (session-ended)\n")
    assert "no session" in run("conformance", "--session", "other", "--db", f"file:{database}").stderr


def test_wrong_usage_says_what_to_do(run: Run) -> None:
    assert [run("conformance", *wrong).returncode for wrong in ([], ["--session", "a", "--", "true"])] == [2, 2]
    unknown = run("conformance", "--allow", "everything", "--", "true")
    assert (unknown.returncode, "no rule 'everything'" in unknown.stderr) == (2, True)
    rules = run("conformance", "--rules").stdout
    assert [line.split(":")[0] for line in rules.splitlines()] == list(RULES)
