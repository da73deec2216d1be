"""How far a source of sessions has been read into a database: kept in a file of the state folder, for the next time."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import datetime
from typing import Any

from turso_hooks.cli.importer import identity_of, progress_file
from turso_hooks.cli.text import remark, visible
from turso_hooks.errors import DatabaseUnavailable
from turso_hooks.settings import Settings
from turso_hooks.transcripts.opencode import Progress

_FOLDER = "opencode"


class Known:
    """How far `source`, the address of a server or the path of a file, was read into the database.

    `progress` is empty if it is another database than before, or nothing is in it.
    """

    def __init__(self, settings: Settings, source: str) -> None:
        self._path = progress_file(settings, _FOLDER)
        self._source = source
        self._identity: str | None = None
        self.progress = Progress()
        try:
            self._identity, is_empty = identity_of(settings)
        except DatabaseUnavailable as error:  # what happens waits in the journal until it can be reached
            remark(visible(error))
            return
        kept: Any = None if is_empty else self._kept().get(source)
        with suppress(ValueError, KeyError, TypeError):
            since, unfinished = datetime.fromisoformat(kept["since"]), tuple(map(str, kept["unfinished"]))
            self.progress = Progress(since, kept["session_id"], unfinished)

    def save(self, progress: Progress) -> None:
        """Keep it, if it is other than before. What is written is whole, or not there; if it cannot be, that is said."""
        if progress.since is None or self._identity is None or progress == self.progress:
            return
        self.progress = progress
        try:
            self._write({**progress._asdict(), "since": progress.since.isoformat()})
        except OSError as error:
            problem = f"{visible(self._path)}: {error.strerror}"
            remark(f"the next time will read all again, for what was read cannot be noted in {problem}")

    def _write(self, progress: dict[str, Any]) -> None:
        sources = {**self._kept(), self._source: progress}
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
