"""How far a source of sessions has been read into a database: kept in a file of the state folder, for the next time."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import click

from turso_hooks.cli.importer import identity_of, progress_file
from turso_hooks.cli.text import visible
from turso_hooks.errors import DatabaseUnavailable
from turso_hooks.settings import Settings

_FOLDER = "opencode"


class Known:
    """What is known of `source`, the address of a server or the path of a file.

    `since` is the time, by its clock, up to which all changes are in the database, but for sessions that were not over:
    `unfinished`. Both are empty if it is another database than before, or nothing is in it.
    """

    def __init__(self, settings: Settings, source: str) -> None:
        self._path = progress_file(settings, _FOLDER)
        self._source = source
        self._identity: str | None = None
        self.since: datetime | None = None
        self.unfinished: list[str] = []
        try:
            self._identity, is_empty = identity_of(settings)
        except DatabaseUnavailable as error:  # what happens waits in the journal until it can be reached
            click.echo(visible(error), err=True)
            return
        kept: Any = None if is_empty else self._kept().get(source)
        with suppress(ValueError, KeyError, TypeError):
            self.since = datetime.fromisoformat(kept["since"])
            self.unfinished = [str(each) for each in kept["unfinished"]]

    def save(self, since: datetime | None, unfinished: Sequence[str] = ()) -> None:
        """Keep it, if it is other than before. What is written is whole, or not there; if it cannot be, that is said."""
        if since is None or self._identity is None or (since, list(unfinished)) == (self.since, self.unfinished):
            return
        self.since, self.unfinished = since, list(unfinished)
        try:
            self._write()
        except OSError as error:
            problem = f"{visible(self._path)}: {error.strerror}"
            click.echo(f"the next time will read all again, for what was read cannot be noted in {problem}", err=True)

    def _write(self) -> None:
        assert self.since is not None
        sources = {**self._kept(), self._source: {"since": self.since.isoformat(), "unfinished": self.unfinished}}
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beginning = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        beginning.write_text(json.dumps({"database": self._identity, "sources": sources}), encoding="ascii")
        beginning.chmod(0o600)
        beginning.replace(self._path)

    def _kept(self) -> dict[str, Any]:
        """What is kept of all sources for this database."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._path.read_bytes())
            if kept["database"] == self._identity:
                return dict(kept["sources"])
        return {}
