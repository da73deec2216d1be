"""How long whoever writes waits while much is removed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.test_search import IN_EACH, Filled
from turso_hooks.store import Prunable, Pruner, Rollups, SearchIndex

pytestmark = pytest.mark.benchmark(group="pruning")

WRITERS = 4
MOST_MESSAGES = 1_000_000
PAUSED_S = 2.0
"""How long the writers are measured alone."""

WRITING = textwrap.dedent(
    """
    import json, select, sys, time
    from datetime import datetime, timezone
    from pathlib import Path
    from turso_hooks.drivers import EmbeddedDatabase
    from turso_hooks.events import MessageAdded, SessionStarted
    from turso_hooks.store import row_of
    from turso_hooks.store.writing import row_statements

    database, name = EmbeddedDatabase(Path(sys.argv[1])), sys.argv[2]
    longest = batches = failures = 0
    for line in sys.stdin:  # what is measured so far, when it is asked for
        longest = batches = failures = 0
        while not select.select([sys.stdin], [], [], 0.02)[0]:
            rows = [row_of(MessageAdded(session_id=f"{name}", role="user", content="so it is")) for _ in range(20)]
            began = time.monotonic()
            try:
                database.transaction([each for each in row_statements(rows) if each.rows])
            except Exception as error:
                failures += 1
            longest, batches = max(longest, time.monotonic() - began), batches + 1
        sys.stdin.readline()
        print(json.dumps([longest, batches, failures]), flush=True)
    """
)


class Writers:
    """Processes that each write a batch fifty times a second, as agents do that say much."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", WRITING, str(path)]
        self._processes = [
            subprocess.Popen([*command, f"writer-{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for n in range(WRITERS)
        ]

    def begin(self) -> None:
        self._say()

    def end(self) -> dict[str, float]:
        self._say()
        found = [json.loads(each.stdout.readline()) for each in self._processes if each.stdout]
        return {
            "longest": 1000 * max(longest for longest, _, _ in found),
            "batches": sum(batches for _, batches, _ in found),
            "failures": sum(failures for _, _, failures in found),
        }

    def _say(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

    def stop(self) -> None:
        for process in self._processes:
            process.communicate(timeout=30)


def test_writers_while_much_is_pruned(tmp_path: Path, measure: Any, grown_rows: int) -> None:
    messages = min(grown_rows, MOST_MESSAGES)
    filled = Filled(tmp_path / "pruned.db", has_index=True)
    filled.add(messages // IN_EACH)
    writers = Writers(filled.path)
    writers.begin()
    time.sleep(PAUSED_S)  # nothing but the writers is to be measured
    alone = writers.end()
    writers.begin()
    began = time.monotonic()
    pruner = Pruner(filled.database, Prunable("sessions.id NOT LIKE 'writer-%'"))
    pruner.remove_rest()
    took_s = time.monotonic() - began
    while_pruned = writers.end()
    writers.stop()
    index, rollups = SearchIndex(filled.database), Rollups(filled.database)
    index.add_rest()
    rollups.do_rest()
    assert pruner.removed.messages == messages
    assert while_pruned["failures"] == alone["failures"] == 0
    filled.database.close()
    figures = {"alone": alone, "while pruned": {**while_pruned, "rate": messages / took_s}}
    found = measure(lambda: figures, rounds=1)
    found.show(f"the longest of {WRITERS} writers' batches, alone", "alone", "longest", "ms")
    what = f"the longest while {messages:,} messages are pruned"
    found.show(what, "while pruned", "longest", "ms", most=1000)
    found.show("messages pruned", "while pruned", "rate", "messages/s")
