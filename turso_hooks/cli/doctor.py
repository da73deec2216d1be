"""`doctor`: what stands between the settings and a row in the database, step by step, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import click

from turso_hooks.cli.checks import Step, diagnose
from turso_hooks.cli.options import database_option, json_option, print_json
from turso_hooks.cli.text import one_line, plural, takes_colours

_MARKERS = {"ok": ("ok", "green"), "warning": ("! ", "yellow"), "failed": ("!!", "red"), "skipped": ("--", "bright_black")}
_WIDTH = len("round trip")


@click.command("doctor")
@database_option
@json_option
@click.pass_context
def doctor_command(context: click.Context, database_url: str | None, as_json: bool) -> None:
    """Try the database step by step, and say of each step what is wrong and what to do.

    Nothing that stays is changed: the schema is not brought up to date, and the row that is written is removed again.
    Exits with 1 if a step failed; warnings are no failure.
    """
    diagnosis = diagnose(os.environ, database_url)
    if as_json:
        steps = list(diagnosis.steps)
        print_json({"database": diagnosis.database, "steps": [_entry(step) for step in steps], "healthy": _is_healthy(steps)})
    else:
        click.echo(f"{one_line(diagnosis.database or 'no database')}\n")
        steps = list(_shown(diagnosis.steps))
        click.echo(f"\n{_summary(steps)}")
    context.exit(0 if _is_healthy(steps) else 1)


def _is_healthy(steps: Sequence[Step]) -> bool:
    return all(step.outcome != "failed" for step in steps)


def _entry(step: Step) -> dict[str, Any]:
    entry: dict[str, Any] = {"step": step.name, "outcome": step.outcome, "found": step.found, "remedy": step.remedy}
    return entry if step.ms is None else {**entry, "ms": round(step.ms, 3)}


def _shown(steps: Iterator[Step]) -> Iterator[Step]:
    """The same, each printed as soon as it is found out."""
    for step in steps:
        marker, colour = _MARKERS[step.outcome]
        click.echo(f"{_styled(marker, colour)}  {step.name:<{_WIDTH}}  {one_line(step.found)}")
        if step.remedy:
            click.echo(f"{'':<{_WIDTH + 4}}  -> {one_line(step.remedy)}")
        yield step


def _styled(text: str, colour: str) -> str:
    return click.style(text, fg=colour) if takes_colours() else text


def _summary(steps: Sequence[Step]) -> str:
    numbers = [
        plural(sum(step.outcome == "failed" for step in steps), "step") + " failed",
        plural(sum(step.outcome == "warning" for step in steps), "warning"),
    ]
    said = ", ".join(number for number in numbers if not number.startswith("0 "))
    return said or "everything is as it should be"
