"""The entry of the command: which commands there are, and how errors end it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from turso_hooks.cli.text import silence, visible
from turso_hooks.errors import SettingsError, TursoHooksError

_DONE, _FAILED, _WRONG_USAGE = 0, 1, 2

_COMMANDS = {
    "completion": ("reading.completing", "Print what makes a shell complete commands."),
    "conformance": ("conformance", "Look whether an agent runner emits what it should."),
    "delete": ("removing", "Remove one conversation with everything of it."),
    "demo": ("demo", "Run a small scripted agent and show what was kept of it."),
    "doctor": ("doctor", "Try the database step by step, and say what is wrong and what to do."),
    "drain": ("draining", "Ship what processes that have ended left in the journal."),
    "export": ("exporting", "Write conversations in the forms of other programs."),
    "hook": ("claude_code", "Keep what a program tells its hook; what `install` installs."),
    "import": ("importing", "Import conversations from files of other programs."),
    "init": ("setting_up", "Write what a project needs to log its agents."),
    "install": ("claude_code", "Let other programs log through hooks of theirs."),
    "journal": ("journal", "Look into the journal, and see to dead letters."),
    "migrate": ("schema", "Bring a database's schema up to date."),
    "prune": ("removing", "Remove conversations: old ones, or all but so many, or those of a project."),
    "recount": ("upkeep", "Count what statistics lack."),
    "reindex": ("upkeep", "Bring into the search index what is not there yet."),
    "search": ("reading.searching", "Find words in everything that was logged."),
    "show": ("reading.showing", "Show one conversation."),
    "sessions": ("reading.sessions", "List conversations, newest first."),
    "stats": ("reading.statistics", "Add up messages, calls, errors, tokens, costs and durations."),
    "sql": ("reading.tailing", "Run a query in SQL."),
    "status": ("status", "Show what waits, what was shipped, and what was not kept."),
    "tail": ("reading.tailing", "Show what was logged last, and what is being logged."),
    "tools": ("reading.tailing", "List tool calls."),
    "verify": ("verify", "Add up whether every recorded event is accounted for."),
    "watch": ("watching", "Follow what other programs do with their agents."),
}
"""Command to module and summary: a module is imported only when its command is called."""


class _ReaderGone(Exception):
    """Whoever was reading has enough. Not a `BrokenPipeError`: click would make a failure of that."""


@contextmanager
def _noticing_that_nobody_reads() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderGone from error


_SECTIONS = {
    "To begin": ("init", "demo", "doctor", "conformance", "completion"),
    "To read": ("sessions", "show", "search", "tail", "tools", "stats", "sql", "export"),
    "To log what others do": ("install", "watch", "import"),
    "To look after it": ("status", "verify", "drain", "journal", "prune", "delete", "migrate", "reindex", "recount"),
    "Called by other programs": ("hook",),
}
"""All of them, as `--help` shows them; a test compares."""


class _Commands(click.Group):
    def make_context(self, *arguments: Any, **named: Any) -> click.Context:
        with _noticing_that_nobody_reads():  # --help and --version print here
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: click.Context) -> Any:
        with _noticing_that_nobody_reads():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"turso_hooks.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, _COMMANDS[name][1]) for name in names])


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
        raise SystemExit(_ended(_FAILED, "standard output is closed: redirect it to /dev/null instead"))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a conversation may hold what the terminal cannot show
    raise SystemExit(_run(None if arguments is None else list(arguments)))


def _run(arguments: list[str] | None) -> int:
    """The exit code; what went wrong is said."""
    try:
        code = commands.main(args=arguments, prog_name="turso-hooks", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        _say(error.show)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _ended(_FAILED, "stopped")
    except (_ReaderGone, BrokenPipeError):
        silence(sys.stdout)
        return _DONE
    except SettingsError as error:
        return _ended(_WRONG_USAGE, error)
    except (TursoHooksError, OSError) as error:
        return _ended(_FAILED, _in_words(error))
    return code if isinstance(code, int) else _DONE


def _in_words(error: TursoHooksError | OSError) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"cannot use {os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def _ended(code: int, why: object) -> int:
    _say(lambda: click.echo(f"turso-hooks: {visible(why)}", err=True))
    return code


def _say(say: Callable[[], None]) -> None:
    """Why it ended; if nobody reads that, what is left of it in a buffer must not be tried again at exit, which gives 120."""
    try:
        say()
    except BrokenPipeError:
        silence(sys.stderr)


if __name__ == "__main__":
    main()
