"""Options that say which sessions are meant, the same for all commands that read."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import click

from turso_hooks.query.filters import STATUSES, Filters

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,6})([mhdw])")


class Moment(click.ParamType):  # type: ignore[type-arg]  # it takes none before click 8.3
    """A time: `2026-01-31`, `2026-01-31T12:00`, of this machine's zone if it has none; or so long ago: `90m`, `2h`, `7d`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time that is meant."""
        if isinstance(value, datetime):
            return value
        ago = _AGO.fullmatch(value)
        try:
            if ago is not None:
                return datetime.now().astimezone() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            return datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone()
        except (ValueError, OverflowError):
            ways = "write 2026-01-31, 2026-01-31T12:00, or 90m, 2h, 7d, 4w for as long ago"
            self.fail(f"{value!r} is no time: {ways}", param, ctx)


_OPTIONS = (
    click.option("--agent", "agent_type", metavar="TYPE", help="Of this type of agent."),
    click.option("--model", help="Of this model."),
    click.option("--provider", help="Of this provider."),
    click.option("--project", help="In this project."),
    click.option("--user", "user_id", metavar="ID", help="Of this user."),
    click.option("--runner", help="Logged by this runner."),
    click.option("--status", type=click.Choice(STATUSES), help="With this status."),
    click.option("--parent", metavar="SESSION_ID", help="Started by this session."),
    click.option("--since", type=Moment(), help="Not before that time: 2026-01-31, or 7d (seven days ago), 2h, 90m."),
    click.option("--until", type=Moment(), help="Before that time."),
)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which takes them as `**filters`. In each text a * stands for anything."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given(filters: dict[str, Any]) -> Filters:
    """The filters that were given."""
    return {name: value for name, value in filters.items() if value is not None}  # type: ignore[return-value]
