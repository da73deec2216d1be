"""Fixtures for the tests of runners, adapters and plugins. pytest finds them where turso-hooks is installed.

Nothing is imported before a test asks for one: every run of pytest in such an environment loads this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from turso_hooks.plugin import Recorder
    from turso_hooks.query import Reader
    from turso_hooks.testing import RecordingPlugin

_WITHIN_S = 10.0


@pytest.fixture
def turso_hooks_events() -> Iterator[RecordingPlugin]:
    """What is emitted during the test through the plugin manager of the process: see `turso_hooks.testing.RecordingPlugin`.

    It is logged nowhere, whatever `TURSO_DATABASE_URL` says.
    """
    from turso_hooks.manager import recording_into  # noqa: PLC0415  # as above
    from turso_hooks.testing import recording  # noqa: PLC0415  # as above

    with recording_into(None), recording() as recorded:
        yield recorded


class LoggedEvents:
    """The database of one test."""

    def __init__(self, url: str, recorder: Recorder) -> None:
        self.url = url
        """Such as `file:/…/turso-hooks.db`."""
        self._recorder = recorder
        self._open = ExitStack()

    def read(self) -> Reader:
        """A reader, once all that was logged so far is in the database; fails with the reason if it does not get there."""
        from turso_hooks.query import connect_sync  # noqa: PLC0415  # as above

        result = self._recorder.flush(_WITHIN_S)
        assert result.is_complete, f"what was logged did not get into {self.url}: {result.problem}"
        return self._open.enter_context(connect_sync(self.url))

    def close(self) -> None:
        """Close all readers, and see that nothing writes any more."""
        self._recorder.close(_WITHIN_S)
        self._open.close()


@pytest.fixture
def turso_hooks_database(tmp_path: Path) -> Iterator[LoggedEvents]:
    """A database of the test's own: what is emitted during the test through the plugin manager of the process is logged there.

    And nowhere else, whatever `TURSO_DATABASE_URL` says; its journal is the test's own as well.
    """
    from turso_hooks.manager import recording_into  # noqa: PLC0415  # as above
    from turso_hooks.plugin import Recorder  # noqa: PLC0415  # as above
    from turso_hooks.settings import Settings  # noqa: PLC0415  # as above
    from turso_hooks.store import open_store, prepare_schema  # noqa: PLC0415  # as above

    url = f"file:{tmp_path / 'turso-hooks.db'}"
    settings = Settings(database_url=url, state_folder=tmp_path / "turso-hooks-state")
    with open_store(settings) as empty:
        prepare_schema(empty)
    recorder = Recorder(settings)
    database = LoggedEvents(url, recorder)
    with recording_into(recorder):
        yield database
    database.close()
