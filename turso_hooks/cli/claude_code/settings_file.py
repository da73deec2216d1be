"""`install claude-code`: hooks put into Claude Code's settings, and taken out."""

from __future__ import annotations

import difflib
import json
import os
import shlex
import stat
import sys
from pathlib import Path
from typing import Any

import click

from turso_hooks.adapters.claude_code.following import projects_folder
from turso_hooks.adapters.claude_code.installing import hooked_events, with_hooks, without_hooks
from turso_hooks.cli.text import visible
from turso_hooks.errors import SettingsError


@click.group("install")
def install_command() -> None:
    """Let other programs log through hooks of theirs."""


@install_command.command("claude-code")
@click.option("--user", "where", flag_value="user", default=True, help="In the settings of this user (the default).")
@click.option("--project", "where", flag_value="project", help="In the settings of the project in the working folder.")
@click.option("--uninstall", is_flag=True, help="Take the hooks out again.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
def install_claude_code_command(where: str, uninstall: bool, dry_run: bool) -> None:
    """Put hooks into the settings of Claude Code that log what it does. Other settings stay as they are.

    They log where TURSO_DATABASE_URL is set, and do nothing elsewhere.
    """
    folder = Path.cwd() / ".claude" if where == "project" else projects_folder(os.environ).parent
    path = folder / "settings.json"
    before, settings = _read_settings(path)
    command = f"{shlex.quote(str(_script()))} hook claude-code"
    try:
        changed = without_hooks(settings) if uninstall else with_hooks(settings, command)
    except SettingsError as error:
        raise SettingsError(f"cannot use {visible(path)}: {error}") from error
    if changed == settings:
        click.echo(f"{visible(path)}: nothing to change")
        return
    after = _as_text(changed)
    if dry_run:
        click.echo(
            "".join(difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), "now", "then"))
        )
        return
    _write_settings(path, after)
    events = hooked_events(settings if uninstall else changed)
    click.echo(f"{visible(path)}: {'took out' if uninstall else 'put in'} the hooks of {', '.join(events)}")
    in_file = changed.get("env")
    is_named = os.environ.get("TURSO_DATABASE_URL") or (isinstance(in_file, dict) and in_file.get("TURSO_DATABASE_URL"))
    if not uninstall and not is_named:
        click.echo('TURSO_DATABASE_URL is not set here: set it where Claude Code runs, or in "env" in that file', err=True)


def _as_text(settings: dict[str, Any]) -> str:
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError:  # half an emoji, which only an escape can hold
        return json.dumps(settings, indent=2) + "\n"
    return text


def _script() -> Path:
    """The command `turso-hooks` of this installation."""
    return Path(sys.executable).with_name("turso-hooks")


def _read_settings(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        settings = json.loads(text) if text.strip() else {}
    except FileNotFoundError:
        return "", {}
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"cannot use {visible(path)}: it is not JSON ({error}); mend it first") from error
    if not isinstance(settings, dict):
        raise SettingsError(f"cannot use {visible(path)}: it is no JSON object; mend it first")
    return text, settings


def _write_settings(path: Path, text: str) -> None:
    """Replace the file at once, where it really is: people keep such files elsewhere and link to them."""
    real = path.resolve()
    real.parent.mkdir(parents=True, exist_ok=True)
    beginning = real.with_name(f"{real.name}.{os.getpid()}.tmp")
    rights = stat.S_IMODE(real.stat().st_mode) if real.exists() else 0o600  # there may be a token in it
    try:
        with os.fdopen(os.open(beginning, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        beginning.chmod(rights)
        beginning.replace(real)
    finally:
        beginning.unlink(missing_ok=True)
