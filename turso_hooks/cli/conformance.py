"""`conformance`: what a runner forgets to emit, of a command that is run, or of what was logged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import IO

import click

from turso_hooks.cli.options import database_option, json_option, print_json, settings_for
from turso_hooks.cli.text import one_line, plural
from turso_hooks.events import Event
from turso_hooks.query import Reader
from turso_hooks.store import open_store
from turso_hooks.testing import RULES, Problem, problems_of
from turso_hooks.testing.tapping import Tap


def _print_rules(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        for name, what in RULES.items():
            click.echo(f"{name}: {what}")
        ctx.exit()


@click.command("conformance")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--session", "session_ids", multiple=True, metavar="SESSION_ID", help="Look at this session of a database; repeat."
)
@click.option("--allow", multiple=True, metavar="RULE", help="Do not look whether this rule is kept; repeat.")
@click.option(
    "--rules", is_flag=True, is_eager=True, expose_value=False, callback=_print_rules, help="Print what is looked at, and exit."
)
@database_option
@json_option
def conformance_command(
    command: tuple[str, ...], session_ids: tuple[str, ...], allow: tuple[str, ...], database_url: str | None, as_json: bool
) -> int:
    """Name what an agent runner forgets to emit: calls without end, results without call, sessions that never end, usage.

    After -- comes a command that runs an agent: it is run, and what it emits is looked at as it comes.

        turso-hooks conformance -- python my_agent.py

    Without one, it is the sessions of a database that --session names; what rows cannot tell, such as the order of events, is
    left out then. Exits with 1 if anything is not as it should be, and if the command failed or emitted nothing.
    """
    if unknown := set(allow) - set(RULES):
        raise click.UsageError(f"there is no rule {min(unknown)!r:.40}: turso-hooks conformance --rules names them")
    if bool(command) == bool(session_ids):
        raise click.UsageError("name a command after --, or sessions of a database by --session SESSION_ID")
    if command:
        events, code = _emitted_by(command, sys.stderr if as_json else sys.stdout)
        problems = problems_of(events, allow=allow)
    else:
        events, code = _logged(session_ids, database_url), 0
        problems = problems_of(events, allow=allow, are_rows=True)
    return _told(events, problems, code, as_json=as_json)


def _emitted_by(command: Sequence[str], output: IO[str]) -> tuple[Sequence[Event | None], int]:
    """What a command emits, and its exit code; it prints to `output`."""
    with Tap() as tap:
        try:
            done = subprocess.run(command, env=tap.environment(os.environ), stdout=output, check=False)  # noqa: S603  # asked for
        except OSError as error:
            raise click.ClickException(f"cannot run {one_line(command[0])}: {error.strerror}") from None
        return tap.events(), done.returncode


def _logged(session_ids: Sequence[str], database_url: str | None) -> list[Event]:
    with Reader(open_store(settings_for(database_url), read_only=True)) as reader:
        return [event for session_id in session_ids for event in reader.events(session_id)]


def _told(events: Sequence[Event | None], problems: Sequence[Problem], code: int, *, as_json: bool) -> int:
    """Print what was found; the exit code."""
    sessions = len({event.session_id for event in events if event is not None})
    if as_json:
        found = [problem._asdict() for problem in problems]
        print_json({"events": len(events), "sessions": sessions, "exit_code": code, "problems": found})
    else:
        for problem in problems:
            click.echo(one_line(str(problem)))
        seen = f"{plural(len(events), 'event')} of {plural(sessions, 'session')}"
        if not events:
            click.echo("nothing was emitted: hooks are called on turso_hooks.get_plugin_manager().hook", err=True)
        else:
            click.echo(f"{seen}: {plural(len(problems), 'problem') if problems else 'all is as it should be'}", err=True)
        if code:
            click.echo(f"the command failed: exit code {code}", err=True)
    return int(bool(problems or code or not events))
