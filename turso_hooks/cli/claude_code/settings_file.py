"""`install claude-code`: hooks put into Claude Code's settings, and taken out."""

from __future__ import annotations

import difflib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from turso_hooks.adapters.claude_code.following import projects_folder
from turso_hooks.adapters.claude_code.installing import hooked_events, with_hooks, without_hooks
from turso_hooks.cli.files import read_text, replace_text
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
    changed = _changed(path, settings, is_out=uninstall)
    if changed == settings:
        click.echo(f"{visible(path)}: nothing to change")
        return
    after = _as_text(changed)
    if dry_run:
        click.echo(
            "".join(difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), "now", "then"))
        )
        return
    replace_text(path, after, rights=0o600)  # there may be a token in it
    events = hooked_events(settings if uninstall else changed)
    click.echo(f"{visible(path)}: {'took out' if uninstall else 'put in'} the hooks of {', '.join(events)}")
    in_file = changed.get("env")
    is_named = os.environ.get("TURSO_DATABASE_URL") or (isinstance(in_file, dict) and in_file.get("TURSO_DATABASE_URL"))
    if not uninstall and not is_named:
        click.echo('TURSO_DATABASE_URL is not set here: set it where Claude Code runs, or in "env" in that file', err=True)


def with_hooks_of(path: Path) -> tuple[str, str]:
    """A settings file as it is and as it is with our hooks in it, as text. Raises `SettingsError`."""
    before, settings = _read_settings(path)
    changed = _changed(path, settings, is_out=False)
    return before, before if changed == settings else _as_text(changed)


def _changed(path: Path, settings: dict[str, Any], *, is_out: bool) -> dict[str, Any]:
    command = f"{shlex.quote(str(_script()))} hook claude-code"
    try:
        return without_hooks(settings) if is_out else with_hooks(settings, command)
    except SettingsError as error:
        raise SettingsError(f"cannot use {visible(path)}: {error}") from error


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
    text = read_text(path) or ""
    try:
        settings = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"cannot use {visible(path)}: it is not JSON ({error}); mend it first") from error
    if not isinstance(settings, dict):
        raise SettingsError(f"cannot use {visible(path)}: it is no JSON object; mend it first")
    return text, settings
