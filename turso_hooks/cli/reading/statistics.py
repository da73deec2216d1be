"""`stats`: numbers, by day, model, tool and so on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import click

from turso_hooks.cli.options import database_option, json_lines_option, json_option, print_json, print_json_line, settings_for
from turso_hooks.cli.reading.filtering import filter_options, given
from turso_hooks.cli.text import is_terminal, one_line, plural
from turso_hooks.query import Durations, Numbers, Stats, connect_sync
from turso_hooks.query.stats import BY

_BY = {{"agent_type": "agent", "user_id": "user"}.get(each, each): each for each in BY}
"""As the options of filters are called."""

_WIDE_FROM_COLUMNS = 116
"""In a narrower terminal there is no room for durations."""

_SECOND_MS, _MINUTE_MS, _HOUR_MS = 1000, 60_000, 3_600_000
_LETTERS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
_WHOLE_UP_TO = 99_999
_CENT = 0.01

Columns = dict[str, Callable[[Numbers], str]]


@click.command("stats")
@database_option
@click.option("--by", type=click.Choice(tuple(_BY)), default="day", show_default=True, help="One line for each of these.")
@filter_options
@json_option
@json_lines_option
def stats_command(database_url: str | None, by: str, as_json: bool, as_json_lines: bool, **filters: Any) -> None:
    """Add up sessions, messages, calls, errors, tokens, costs and durations.

    --since and --until say when it happened, in whole days of UTC, the other options of which sessions. Durations are within
    6 % of the true ones. A cost with ~ is estimated in part, by list prices, if turso-hooks[prices] is installed.

    In a pipe: one value a line, fields separated by tabs: value, sessions, messages, model calls, tool calls, errors, input
    tokens, output tokens, cost, estimated cost, and p50 and p95 in ms of model calls and of tool calls.
    """
    with connect_sync(settings_for(database_url).database_url) as reader:
        stats = reader.stats(_BY[by], **given(filters))
    if as_json:
        print_json(stats)
    elif as_json_lines:
        for row in stats.rows:
            print_json_line(row)
    elif not stats.rows:
        click.echo("there is nothing to add up", err=True)
    elif is_terminal():
        _show(stats, by)
    else:
        for row in stats.rows:
            click.echo("\t".join(one_line(field) for field in _plain(row)))
    _say_what_lacks(stats)


def _show(stats: Stats, by: str) -> None:
    from turso_hooks.cli.reading.tables import show_table  # noqa: PLC0415  # rich costs 50 ms and is wanted on terminals only

    columns = _OF_TOOLS if by == "tool" else _OF_ANYTHING
    if by != "tool" and shutil.get_terminal_size().columns >= _WIDE_FROM_COLUMNS:
        columns = columns | _OF_CALLS
    rows = [[row.value or "?", *(cell(row) for cell in columns.values())] for row in stats.rows]
    if by != "tool":
        rows.append(["total", *(cell(stats.total) for cell in columns.values())])
    show_table([by, *columns], rows, are_numbers=True)


def _say_what_lacks(stats: Stats) -> None:
    if stats.uncounted_sessions:
        sessions = plural(stats.uncounted_sessions, "session")
        click.echo(f"{sessions} from before statistics were kept not counted yet: turso-hooks recount", err=True)
    if stats.total.unpriced_calls:
        calls = plural(stats.total.unpriced_calls, "model call")
        to_do = "" if stats.has_prices else "; to estimate it: pip install 'turso-hooks[prices]'"
        click.echo(f"what {calls} cost is not known{to_do}", err=True)


def _plain(row: Numbers) -> tuple[object, ...]:
    lengths = (row.model_durations.p50_ms, row.model_durations.p95_ms, row.tool_durations.p50_ms, row.tool_durations.p95_ms)
    return (
        row.value or "",
        row.sessions,
        row.messages,
        row.model_calls,
        row.tool_calls,
        row.model_errors + row.tool_errors,
        row.input_tokens,
        row.output_tokens,
        f"{row.cost_usd:.6f}",
        f"{row.estimated_cost_usd:.6f}",
        *("" if length is None else length for length in lengths),
    )


def _number(number: int) -> str:
    """`12,345`, `123k`, `4.5M`."""
    if number <= _WHOLE_UP_TO:
        return f"{number:,}"
    unit, letter = next(each for each in _LETTERS if number >= each[0])
    return f"{number / unit:.3g}{letter}" if number < unit * 1000 else f"{number // unit:,}{letter}"


def _cost(row: Numbers) -> str:
    cost = row.cost_usd + row.estimated_cost_usd
    sign = "~" if row.estimated_cost_usd else ""
    if not cost:
        return "?" if row.unpriced_calls else ""
    return f"{sign}${cost:,.2f}" if cost >= _CENT else f"{sign}<$0.01"


def _took(milliseconds: int | None) -> str:
    if milliseconds is None:
        return ""
    if milliseconds < _SECOND_MS:
        return f"{milliseconds} ms"
    if milliseconds < _MINUTE_MS:
        return f"{milliseconds / _SECOND_MS:.3g} s"
    return f"{milliseconds / _MINUTE_MS:.3g} min" if milliseconds < _HOUR_MS else f"{milliseconds / _HOUR_MS:,.3g} h"


def _half_and_most(durations: Durations) -> str:
    return f"{_took(durations.p50_ms)} · {_took(durations.p95_ms)}" if durations.count else ""


def _share(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.3g} %"


_OF_ANYTHING: Columns = {
    "sessions": lambda row: _number(row.sessions),
    "messages": lambda row: _number(row.messages),
    "models": lambda row: _number(row.model_calls),
    "tools": lambda row: _number(row.tool_calls),
    "errors": lambda row: _number(row.model_errors + row.tool_errors),
    "in": lambda row: _number(row.input_tokens),
    "out": lambda row: _number(row.output_tokens),
    "cost": _cost,
}
_OF_CALLS: Columns = {
    "model p50 · p95": lambda row: _half_and_most(row.model_durations),
    "tool p50 · p95": lambda row: _half_and_most(row.tool_durations),
}
_OF_TOOLS: Columns = {
    "sessions": lambda row: _number(row.sessions),
    "calls": lambda row: _number(row.tool_calls),
    "errors": lambda row: _number(row.tool_errors),
    "success": lambda row: _share(row.tool_success_rate),
    "p50": lambda row: _took(row.tool_durations.p50_ms),
    "p95": lambda row: _took(row.tool_durations.p95_ms),
    "max": lambda row: _took(row.tool_durations.max_ms),
}
