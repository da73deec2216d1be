"""README and docs say what the code says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from turso_hooks.cli.main import commands
from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.events import EVENT_TYPES, hook_name
from turso_hooks.settings import default_of, load_settings, setting_fields
from turso_hooks.store import prepare_schema
from turso_hooks.testing import RULES

ROOT = Path(__file__).resolve().parents[2]
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON_BLOCKS = [
    (name, code)
    for name, text in {"README": README, **DOCS}.items()
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
]


@pytest.mark.parametrize("entry", setting_fields(), ids=lambda entry: str(entry.name))
def test_every_setting_is_documented_with_its_default_and_meaning(entry: object) -> None:
    metadata = entry.metadata  # type: ignore[attr-defined]
    assert f"`{metadata['variable']}`" in DOCS["settings"]
    assert metadata["meaning"] in DOCS["settings"]
    default = default_of(entry)  # type: ignore[arg-type]
    if isinstance(default, int) and not isinstance(default, bool):
        assert str(default) in DOCS["settings"].replace(",", "").replace("_", "")


def test_no_setting_is_documented_that_is_not_there() -> None:
    known = {entry.metadata["variable"] for entry in setting_fields()}
    text = " ".join([README, *DOCS.values()])
    assert set(re.findall(r"\bTURSO_HOOKS_[A-Z_]+[A-Z]\b|\bTURSO_[A-Z]+_[A-Z]+\b", text)) <= known


@pytest.mark.parametrize("entry", setting_fields(), ids=lambda entry: str(entry.name))
def test_every_setting_is_read_from_its_variable(entry: object) -> None:
    given = {"bytes": "123456", "seconds": "1.5", "events": "7", "days": "8", "1 or 0": "yes", "path": "/x", "URL": "file:x"}
    metadata = entry.metadata  # type: ignore[attr-defined]
    settings = load_settings({metadata["variable"]: given.get(metadata["unit"], "t")})
    name = entry.name  # type: ignore[attr-defined]
    expected = {"bytes": 123456, "seconds": 1.5, "events": 7, "days": 8, "1 or 0": True, "path": Path("/x")}
    assert getattr(settings, name) == expected.get(metadata["unit"], given.get(metadata["unit"], "t"))
    assert "TURSO_AUTH_TOKEN" not in repr(settings)


def test_every_table_and_column_is_documented(tmp_path: Path) -> None:
    database = EmbeddedDatabase(tmp_path / "a.db")
    prepare_schema(database)
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").rows:
        assert f"`{table}`" in DOCS["schema"]
        for (column,) in database.execute(f"SELECT name FROM pragma_table_info('{table}')").rows:
            assert f"`{column}`" in DOCS["schema"], f"{table}.{column}"
    database.close()


def test_every_event_and_field_is_documented() -> None:
    for kind in EVENT_TYPES:
        assert kind.__name__ in DOCS["hooks"]
        assert hook_name(kind) in DOCS["hooks"]
        for field in kind.__struct_fields__:
            assert f"`{field}`" in DOCS["hooks"], f"{kind.__name__}.{field}"


def test_every_command_and_option_is_documented() -> None:
    import click

    context = click.Context(commands)
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        assert command is not None
        group = list(command.commands.values()) if isinstance(command, click.Group) else [command]
        for one in group:
            assert f"turso-hooks {name}" + (f" {one.name}" if one is not command else "") in DOCS["commands"]
            for option in [option for parameter in one.params for option in parameter.opts if option.startswith("--")]:
                assert option in DOCS["commands"], f"{name} {option}"


@pytest.mark.parametrize(("name", "code"), PYTHON_BLOCKS)
def test_every_python_block_runs(name: str, code: str, database: Path, tmp_path: Path) -> None:
    from turso_hooks.events import SessionStarted
    from turso_hooks.plugin import Recorder
    from turso_hooks.settings import Settings

    maker = Recorder(Settings(database_url=f"file:{tmp_path}/agents.db", state_folder=tmp_path / "other"))
    maker.record(SessionStarted(session_id="greeting-1"))
    maker.close(30)
    environment = {**os.environ, "TURSO_DATABASE_URL": f"file:{tmp_path}/agents.db"}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_every_test_that_a_guarantee_names_is_there() -> None:
    text = DOCS["guarantees"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in code, name
    for path in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path


def test_links_lead_somewhere() -> None:
    for folder, text in [(ROOT, README), *((ROOT / "docs", text) for text in DOCS.values())]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (folder / link).exists(), link


def test_the_example_of_the_readme_is_shown_as_it_says(tmp_path: Path, rows: Callable[..., list[tuple[object, ...]]]) -> None:
    runner = next(code for name, code in PYTHON_BLOCKS if name == "README" and "greeting-1" in code)
    (tmp_path / "runner.py").write_text(runner, encoding="utf-8")
    environment = {**os.environ, "TURSO_DATABASE_URL": "file:agents.db"}
    subprocess.run([sys.executable, "runner.py"], cwd=tmp_path, env=environment, check=True)
    show = [sys.executable, "-m", "turso_hooks.cli.main", "show", "greeting-1", "--db", "file:agents.db"]
    shown = subprocess.run(show, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=True)
    assert "Hello!" in shown.stdout
    assert "✓ clock" in shown.stdout


def test_the_site_is_built_without_warnings(tmp_path: Path) -> None:
    """Links and anchors that lead nowhere, and pages that are in no menu, are warnings."""
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.parent.name for path in (tmp_path / "site").rglob("index.html")}
    assert set(DOCS) - {"index"} <= pages


def test_every_rule_of_conformance_is_documented_as_it_is() -> None:
    for name, what in RULES.items():
        assert f"| `{name}` | {what} |" in DOCS["testing"]


def test_the_tests_that_are_shown_pass_when_saved_as_it_says(tmp_path: Path) -> None:
    code = next(code for name, code in PYTHON_BLOCKS if name == "testing" and "def test_" in code)
    (tmp_path / "test_my_runner.py").write_text(code, encoding="utf-8")
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(run, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert "3 passed" in done.stdout, done.stdout
