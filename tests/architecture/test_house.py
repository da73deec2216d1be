from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import turso_hooks

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(cwd)}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("what", [["check"], ["format", "--check"]])
def test_ruff_finds_nothing(what: list[str]) -> None:
    result = run(str(BIN / "ruff"), *what, ".")
    assert result.returncode == 0, result.stdout


def test_the_types_hold(tmp_path: Path) -> None:
    result = run(sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path))
    assert result.returncode == 0, result.stdout


def test_each_module_imports_only_from_below() -> None:
    result = run(str(BIN / "lint-imports"), "--no-cache")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("helpers.py", ""),
        ("journal/leak.py", "import turso_hooks.events"),
        ("events/leak.py", "import turso_hooks.store"),
        ("query/leak.py", "import turso_hooks"),
    ],
)
def test_a_stray_module_or_a_forbidden_import_breaks_the_contracts(tmp_path: Path, file: str, code: str) -> None:
    shutil.copytree(ROOT / "turso_hooks", tmp_path / "turso_hooks")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "turso_hooks" / file).write_text(code + "\n", encoding="utf-8")
    assert run(str(BIN / "lint-imports"), "--no-cache", cwd=tmp_path).returncode != 0


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, turso_hooks, turso_hooks.plugin; print(*sys.modules)"
    loaded = set(run(sys.executable, "-c", code).stdout.split())
    assert loaded.isdisjoint({"aiohttp", "libsql_client", "rich", "click", "asyncio", "pydantic"})


def test_every_public_name_is_declared_for_type_checkers_and_can_be_had() -> None:
    tree = ast.parse((ROOT / "turso_hooks" / "__init__.py").read_text(encoding="utf-8"))
    declared = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("turso_hooks.")
        for alias in node.names
    }
    assert declared == set(turso_hooks.__all__)
    assert all(getattr(turso_hooks, name) is not None for name in turso_hooks.__all__)
    assert set(dir(turso_hooks)) >= declared
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = turso_hooks.nothing


def test_the_version_is_said_in_one_voice() -> None:
    assert f'version = "{turso_hooks.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
