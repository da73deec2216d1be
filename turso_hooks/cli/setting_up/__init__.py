"""`init`: what a project needs to log its agents, asked for and written."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from turso_hooks.cli.claude_code.settings_file import with_hooks_of
from turso_hooks.cli.files import read_text, replace_text
from turso_hooks.cli.setting_up.planning import RUNNERS, Runner, Wanted, wanted
from turso_hooks.cli.text import visible
from turso_hooks.drivers import parse_database_url
from turso_hooks.errors import SettingsError
from turso_hooks.settings import load_settings

_FILE_URL = "file:agents.db"


@dataclass(frozen=True)
class _Change:
    """A file as it is and as it is to be."""

    path: Path
    before: str | None
    after: str
    is_ours: bool
    """What somebody else wrote stays in it."""

    @property
    def is_none(self) -> bool:
        return self.before == self.after

    @property
    def overwrites(self) -> bool:
        return self.before is not None and not self.is_ours


@click.command("init")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
@click.option("--runner", "runner_name", type=click.Choice(list(RUNNERS)), help="What runs the agents.")
@click.option(
    "--db", "database_url", metavar="URL", help="Where the log goes, such as file:agents.db or libsql://NAME.turso.io."
)
@click.option("--workflow/--no-workflow", "with_workflow", default=None, help="A GitHub Actions workflow that runs the agent.")
@click.option(
    "--claude-code", is_flag=True, help="Hooks in the project's settings of Claude Code; with --runner claude-code anyway."
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there and differ, without asking.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
def init_command(  # noqa: PLR0913, PLR0917  # by name
    folder: Path,
    runner_name: str | None,
    database_url: str | None,
    with_workflow: bool | None,
    claude_code: bool,
    overwrite: bool,
    dry_run: bool,
) -> None:
    """Write into FOLDER what a project needs to log its agents.

    .env.example with every setting, lines of .gitignore, an agent to begin with, on request a GitHub Actions workflow and hooks
    of Claude Code. In a terminal it asks for what was not said. What is there already stays, unless you say otherwise; called
    again it writes what is missing.
    """
    asks = sys.stdin.isatty() and sys.stdout.isatty()
    runner = RUNNERS[runner_name or (_asked_runner() if asks else "python")]
    url = database_url or load_settings().database_url or _FILE_URL
    if database_url is None and asks:
        url = click.prompt("Where does the log go?", default=url)
    parse_database_url(url)  # so that a mistake is told now
    if "authToken" in url:
        raise SettingsError("the URL has a token in it, which would be written down: leave it out, and set TURSO_AUTH_TOKEN")
    if with_workflow is None:
        with_workflow = asks and click.confirm("A GitHub Actions workflow that runs the agent?", default=False)
    files = wanted(runner, url, with_workflow=with_workflow)
    changes = list(_changes(folder, files, with_claude_code=claude_code or runner is RUNNERS["claude-code"]))
    if dry_run:
        for change in changes:
            click.echo(_diff(folder, change), nl=False)
        return
    for change in changes:
        _make(change, asks=asks, overwrite=overwrite)
    _tell_next(folder, runner, url)


def _asked_runner() -> str:
    click.echo("What runs the agents?")
    for name, runner in RUNNERS.items():
        click.echo(f"  {name:<18}{runner.title}")
    answer: str = click.prompt("", type=click.Choice(list(RUNNERS)), default="python", prompt_suffix="> ", show_choices=False)
    return answer


def _changes(folder: Path, files: Iterator[Wanted], *, with_claude_code: bool) -> Iterator[_Change]:
    for file in files:
        path = folder / file.path
        before = read_text(path)
        yield _Change(path, before, file.after(before), is_ours=not file.is_whole)
    if with_claude_code:
        path = folder / ".claude" / "settings.json"
        before, after = with_hooks_of(path)
        yield _Change(path, before or None, after, is_ours=True)


def _diff(folder: Path, change: _Change) -> str:
    name = change.path.relative_to(folder).as_posix()
    before, after = ((text or "").splitlines(keepends=True) for text in (change.before, change.after))
    return "".join(difflib.unified_diff(before, after, "/dev/null" if change.before is None else name, name))


def _make(change: _Change, *, asks: bool, overwrite: bool) -> None:
    shown = visible(change.path)
    if change.is_none:
        click.echo(f"{shown}: is there")
        return
    if change.overwrites and not overwrite and not (asks and click.confirm(f"{shown} is there and differs: replace it?")):
        click.echo(f"{shown}: is there and differs, and was left as it is (--overwrite replaces it, --dry-run shows how)")
        return
    replace_text(change.path, change.after, rights=0o644)
    click.echo(f"{shown}: {'changed' if change.before is not None else 'written'}")


def _tell_next(folder: Path, runner: Runner, url: str) -> None:
    """What to type now."""
    lines: Sequence[str] = [
        "",
        "Next:",
        *([] if folder == Path() else [f"    cd {visible(shlex.quote(str(folder)))}"]),
        *([f"    pip install '{runner.package}'"] if "[" in runner.package else []),
        f"    export TURSO_DATABASE_URL={visible(shlex.quote(url))}"
        + ("" if url.startswith("file:") else " TURSO_AUTH_TOKEN=…"),
        f"    {runner.command}",
        "    turso-hooks show",
    ]
    click.echo("\n".join(lines))
