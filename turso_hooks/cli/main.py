"""The entry of the command: which commands there are, and how errors end it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from turso_hooks.errors import SettingsError, TursoHooksError

_FAILED, _WRONG_USAGE = 1, 2

_COMMANDS = {
    "demo": ("demo", "Run a small scripted agent and show what was kept of it."),
    "doctor": ("doctor", "Try the database step by step, and say what is wrong and what to do."),
    "drain": ("draining", "Ship what waits in the journal."),
    "import": ("importing", "Import conversations from files of other programs."),
    "journal": ("journal", "Look into the journal, and see to dead letters."),
    "migrate": ("schema", "Bring a database's schema up to date."),
    "show": ("sessions", "Show one conversation."),
    "sessions": ("sessions", "List conversations, newest first."),
    "status": ("status", "Show what waits, what was shipped, and what was not kept."),
    "verify": ("verify", "Add up whether every recorded event is accounted for."),
}
"""Command to module and summary: a module is imported only when its command is called."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"turso_hooks.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in sorted(_COMMANDS.items())])


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version  # noqa: PLC0415  # costs 20 ms, and is wanted only here

        click.echo(f"turso-hooks {version('turso-hooks')}")
        ctx.exit()


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version.")
def commands() -> None:
    """Keep every agent's conversation in a libSQL/Turso database, and read it again.

    Commands work on the database named by --db URL, else by the variable TURSO_DATABASE_URL. To see how it works:
    turso-hooks demo
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage."""
    if sys.stdout is None:  # so it is if it was closed (`>&-`)
        click.echo("turso-hooks: standard output is closed: redirect it to /dev/null instead", err=True)
        _exit(_FAILED)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a conversation may hold what the terminal cannot show
    try:
        given = None if arguments is None else list(arguments)
        code = commands.main(args=given, prog_name="turso-hooks", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        _exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("turso-hooks: stopped", err=True)
        _exit(_FAILED)
    except BrokenPipeError:
        # Whoever was reading has enough; writing more, even at exit, must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _exit(0)
    except SettingsError as error:
        click.echo(f"turso-hooks: {error}", err=True)
        _exit(_WRONG_USAGE)
    except (TursoHooksError, OSError) as error:
        click.echo(f"turso-hooks: {error}", err=True)
        _exit(_FAILED)
    _exit(code if isinstance(code, int) else 0)


def _exit(code: int) -> NoReturn:
    raise SystemExit(code)


if __name__ == "__main__":
    main()
