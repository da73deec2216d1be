"""`watch`: following what other programs do and write down."""

from __future__ import annotations

import click

from turso_hooks.cli.claude_code import watch_claude_code_command
from turso_hooks.cli.opencode import watch_opencode_command


@click.group("watch")
def watch_command() -> None:
    """Follow what other programs do with their agents, until stopped."""


watch_command.add_command(watch_claude_code_command)
watch_command.add_command(watch_opencode_command)
