"""What GitHub and pre-commit read is as they want it, and as this project wants it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.workflows import linted

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [GITHUB / "ISSUE_TEMPLATE" / name for name in ("bug.yml", "feature.yml")]
SCHEMAS = [
    ("vendor.github-workflows", WORKFLOWS),
    ("custom.github-workflows-require-timeout", WORKFLOWS),
    ("vendor.github-issue-forms", FORMS),
    ("vendor.github-issue-config", [GITHUB / "ISSUE_TEMPLATE" / "config.yml"]),
    ("vendor.dependabot", [GITHUB / "dependabot.yml"]),
]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> dict[str, dict[str, Any]]:
    return {f"{path.stem} {name}": job for path in WORKFLOWS for name, job in read(path)["jobs"].items()}


def follows(schema: str, *paths: Path) -> bool:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, paths)]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(("schema", "paths"), SCHEMAS)
def test_every_file_follows_its_schema(schema: str, paths: list[Path]) -> None:
    assert follows(schema, *paths)


def test_a_form_that_is_none_does_not_follow_it(tmp_path: Path) -> None:
    form = tmp_path / "form.yml"
    form.write_text(FORMS[0].read_text(encoding="utf-8").replace("type: textarea", "type: text"), encoding="utf-8")
    assert not follows("vendor.github-issue-forms", form)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.stem))
def test_the_linter_finds_nothing_in_a_workflow(path: Path) -> None:
    assert linted(path) == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.stem))
def test_a_workflow_may_only_read_and_does_not_run_twice_at_once(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "github.ref" in workflow["concurrency"]["group"]


def test_only_what_publishes_may_say_who_it_is_and_runs_nothing_of_ours() -> None:
    allowed = {name: job["permissions"] for name, job in jobs().items() if "permissions" in job}
    assert allowed == {"release publish": {"id-token": "write"}}
    publish = jobs()["release publish"]
    assert publish["needs"] == ["tests", "build"]
    assert [set(step) & {"run"} for step in publish["steps"]] == [set(), set()]


def test_actions_are_named_by_their_major_version_and_leave_no_token_behind() -> None:
    steps = [step for job in jobs().values() for step in job.get("steps", []) if "uses" in step]
    assert len(steps) > 5
    for step in steps:
        assert re.search(r"@(v\d+|release/v\d+)$", step["uses"]), step
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"] == {"persist-credentials": False}


def test_what_a_workflow_runs_of_ours_is_there() -> None:
    commands = "\n".join(step["run"] for job in jobs().values() for step in job.get("steps", []) if "run" in step)
    named = set(re.findall(r"(?<!\S)(?:\.ci|tests)/[\w./-]+", commands))
    assert named == {".ci/run", ".ci/versions", "tests/endtoend/test_distribution.py"}
    for path in named:
        assert (ROOT / path).is_file()
    for script in (".ci/run", ".ci/versions"):
        assert os.access(ROOT / script, os.X_OK)


def test_a_report_of_a_bug_needs_what_one_asks_for_first() -> None:
    fields = {field["id"]: field for field in read(FORMS[0])["body"] if "id" in field}
    for needed in ("what", "doctor", "status", "version", "python", "database"):
        assert fields[needed]["validations"] == {"required": True}
    for command in ("doctor", "status"):
        assert f"`turso-hooks {command}`" in fields[command]["attributes"]["description"]


def test_what_is_kept_up_to_date_is_there() -> None:
    manifests = {"github-actions": ".github/workflows", "pip": "pyproject.toml", "npm": "package.json"}
    updates = read(GITHUB / "dependabot.yml")["updates"]
    assert {update["package-ecosystem"] for update in updates} == set(manifests)
    for update in updates:
        assert (ROOT / update["directory"].lstrip("/") / manifests[update["package-ecosystem"]]).exists()


def test_pre_commit_has_the_versions_of_the_tests() -> None:
    pins = set(re.findall(r'^    "([\w-]+==[\w.]+)",$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE))
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    hooks = {hook["id"]: hook for hook in repository["hooks"]}
    for name in ("ruff-format", "ruff-check"):
        assert set(hooks[name]["additional_dependencies"]) <= pins
    assert hooks["mypy"]["entry"] == ".venv/bin/python -m mypy"  # which the extra brought
    others = {one for name, hook in hooks.items() for one in hook.get("additional_dependencies", []) if "ruff" not in name}
    assert len(others) == 1, "one version for all of them"
