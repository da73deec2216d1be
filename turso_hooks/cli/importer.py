"""What all imports do: events through the hooks and the journal into the database, waited for, with what became of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import click
from typing_extensions import Self

from turso_hooks.cli.options import prepared, shown_url
from turso_hooks.cli.text import plural
from turso_hooks.errors import DatabaseError
from turso_hooks.events import Event
from turso_hooks.journal import JournalFolder
from turso_hooks.manager import build_plugin_manager
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings
from turso_hooks.store import open_store, prepare_schema, target_of
from turso_hooks.store.schema import born_at

FLUSH_EVERY = 20_000
"""Events after which an import waits for the database, so that the journal does not grow with the file."""

_LOST = frozenset({"journal_full", "journal_unwritable", "journal_torn", "unencodable", "dead_letter", "redactor_failed"})
"""Counts that mean that something is not in the database that should be."""

_LOOK_EVERY_S, _LOOKS = 3.0, 200
"""An import waits ten minutes for the database. Each look is an attempt to write, whatever backoff says: so they are few."""


class Importer:
    """One import, from its beginning to its end as a context. Raises `DatabaseError` if there is no usable database."""

    def __init__(self, settings: Settings, is_stopped: Callable[[], bool] = lambda: False) -> None:
        prepared(settings)
        self.database = shown_url(settings)
        self.counts: dict[str, int] = {}
        """What was not kept, or not as it was, as of the last `ship`."""
        self._settings = settings
        self._is_stopped = is_stopped
        """Asked while the database is waited for, so that nobody waits who need not."""
        self._recorder = Recorder(settings)
        self._manager = build_plugin_manager(self._recorder)
        self._emitted = 0

    def __enter__(self) -> Self:
        """Nothing more than itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the journal; what is not shipped waits there."""
        self._recorder.close(self._settings.exit_timeout_s)

    def emit(self, event: Event) -> None:
        """Call the event's hook; waits for the database now and then, and raises `DatabaseError` if it takes nothing."""
        self._manager.emit(event)
        self._emitted += 1
        if self._emitted >= FLUSH_EVERY:
            self.ship()

    def ship(self) -> None:
        """Wait until all of it is in the database. Raises `DatabaseError`; what is not there waits in the journal."""
        for _ in range(_LOOKS):  # not until a time, for a flush that is hopeless returns at once
            shipped = self._recorder.flush(_LOOK_EVERY_S)
            if shipped.is_complete or self._is_stopped():
                break
        self._emitted = 0
        self.counts = {**shipped.counts, **({"dead_letter": shipped.dead_letters} if shipped.dead_letters else {})}
        if not shipped.is_complete:
            problem = f"{shipped.problem or 'it takes too long'}; {plural(shipped.waiting, 'event')} wait in the journal"
            raise DatabaseError("import", self.database, problem, "run turso-hooks drain when it is mended")


def _lost(counts: Mapping[str, int]) -> int:
    return sum(number for reason, number in counts.items() if reason in _LOST)


def is_losing(counts: Mapping[str, int]) -> bool:
    """Whether something is not in the database that should be."""
    return _lost(counts) > 0


def say_counts(counts: Mapping[str, int]) -> None:
    """Print what became of events that were not kept, or not as they were."""
    for reason, number in sorted(counts.items()):
        click.echo(f"  {reason}: {number:,}")


def say_lost(counts: Mapping[str, int]) -> int:
    """How many events are not in the database that should be; says so, if there are any."""
    lost = _lost(counts)
    if lost:
        text = f"turso-hooks: {plural(lost, 'event')} could not be kept, see the counts; mend that and import again"
        click.echo(text, err=True)
    return lost


def identity_of(settings: Settings) -> tuple[str, bool]:
    """What tells the database from one that was there before, and whether nothing is in it. Raises `DatabaseError`.

    One that was deleted and made anew within a second has the same identity, and nothing in it.
    """
    with open_store(settings) as database:
        prepare_schema(database)
        is_empty = not database.look("SELECT 1 FROM sessions LIMIT 1", operation="look for sessions").rows
        return f"{target_of(settings).name} {born_at(database)}", is_empty


def progress_file(settings: Settings, folder: str) -> Path:
    """Where is kept how far a source has been read into the database."""
    name = JournalFolder(settings.state_folder, target_of(settings).name).path.name
    return settings.state_folder / folder / f"{name}.progress"
