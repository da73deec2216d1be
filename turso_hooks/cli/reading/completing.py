"""Completion in shells: of commands, options, and of the ids of sessions."""

from __future__ import annotations

import re

import click
from click.shell_completion import CompletionItem

from turso_hooks.cli.text import one_line
from turso_hooks.errors import TursoHooksError

_SHELLS = ("bash", "zsh", "fish")
_OFFERED = 50
_HARMLESS = re.compile(r"[\w.:@%+=/][\w.:@%+=/-]*", re.ASCII)
"""Of ids: without blanks, line ends, quotes, and whatever else means something to a shell."""
_HELP_CHARS = 60


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options and the ids of sessions.

    \b
    bash:  turso-hooks completion bash > ~/.local/share/bash-completion/completions/turso-hooks
    zsh:   turso-hooks completion zsh > a folder in $fpath, as _turso-hooks
    fish:  turso-hooks completion fish > ~/.config/fish/completions/turso-hooks.fish
    """  # noqa: D301  # to click a backspace says that lines stay as they are
    from click.shell_completion import get_completion_class  # noqa: PLC0415  # wanted only here

    complete = get_completion_class(shell)
    if complete is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    click.echo(complete(ctx.find_root().command, {}, "turso-hooks", "_TURSO_HOOKS_COMPLETE").source())


def complete_session(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The sessions whose ids begin so, the newest first; none if the database cannot be asked.

    Without those that a shell could take for something else: what it is given is put on its line as it is.
    """
    from turso_hooks.cli.options import settings_for  # noqa: PLC0415  # what completes a command's name does without
    from turso_hooks.query import connect_sync  # noqa: PLC0415

    sql = """SELECT id, title FROM sessions WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?"""
    try:
        with connect_sync(settings_for(ctx.params.get("database_url")).database_url) as reader:
            found = reader.sql(sql, [incomplete, f"{incomplete}\U0010ffff", _OFFERED]).rows
    except TursoHooksError:
        return []
    return [
        CompletionItem(session_id, help=one_line(str(title or "")[:_HELP_CHARS]))
        for session_id, title in found
        if isinstance(session_id, str) and _HARMLESS.fullmatch(session_id)
    ]
