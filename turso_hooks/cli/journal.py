"""`journal`: the group of its commands."""

from __future__ import annotations

import click

from turso_hooks.cli.dead_letters import dead_letters_command
from turso_hooks.cli.records import records_command, segments_command


@click.group("journal", commands=[segments_command, records_command, dead_letters_command])
def journal_command() -> None:
    """Look into the journal of a database, and see to its dead letters."""
