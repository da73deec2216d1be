from __future__ import annotations

from collections.abc import Iterator

import pytest

from turso_hooks.journal import JournalFolder, Writer


@pytest.fixture
def writer(folder: JournalFolder) -> Iterator[Writer]:
    """Writes small segments into the journal of the test's own `folder`."""
    made = Writer(folder, max_bytes=10**9, segment_bytes=2000)
    yield made
    made.close()
