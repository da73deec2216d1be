"""The database: its schema, how events become rows, how rows merge, and the functions of the original logger.

`migrations` is the schema, version by version, `schema` brings a database up to date, and `opening` opens what the settings
name. `rows` is what events become, `writing` makes one transaction of a batch, `numbering` finds gaps in a writer's numbers,
`ledger` reads what such transactions told of the journal, and sees to dead letters. `statistics` and `search` are kept beside
the rows, `pruning` removes sessions, and `pacing` says how much of such work is done at once. `client` keeps the names of the
original logger.
"""

from __future__ import annotations

from turso_hooks.store.client import (
    TursoConfig,
    close_turso_client,
    create_turso_client,
    get_turso_client,
    get_turso_config,
    initialize_schema,
    reset_schema_state,
)
from turso_hooks.store.ledger import (
    Ledger,
    StoredDeadLetter,
    WriterEntry,
    discard_dead_letter,
    discard_dead_letters_of,
    read_dead_letter,
    read_dead_letters,
    read_ledger,
    retry_dead_letter,
)
from turso_hooks.store.migrations import FIRST_WITH_STATISTICS
from turso_hooks.store.numbering import DAMAGED, Gap, Numbering
from turso_hooks.store.opening import open_store, target_of
from turso_hooks.store.pruning import ALL_TIME_MS, Prunable, Pruner, Removed, newest_kept
from turso_hooks.store.rows import UNKNOWN, Key, Row, deciding_key, is_shown_of, read_key, row_of
from turso_hooks.store.schema import check_version, prepare_schema, schema_version
from turso_hooks.store.search import (
    ADDED_AT_ONCE,
    CJK_RANGES,
    KIND,
    SEARCHED,
    SearchedTable,
    SearchIndex,
    is_indexed,
    milliseconds_of_key,
    output_is_elsewhere,
    smallest_key,
)
from turso_hooks.store.statistics import Rollups, differences
from turso_hooks.store.writing import (
    FINISHED_WRITERS,
    Batch,
    DeadLetter,
    Position,
    Standing,
    finish_writer,
    read_standing,
    write_batch,
)

__all__ = [
    "ADDED_AT_ONCE",
    "ALL_TIME_MS",
    "CJK_RANGES",
    "DAMAGED",
    "FINISHED_WRITERS",
    "FIRST_WITH_STATISTICS",
    "KIND",
    "SEARCHED",
    "UNKNOWN",
    "Batch",
    "DeadLetter",
    "Gap",
    "Key",
    "Ledger",
    "Numbering",
    "Position",
    "Prunable",
    "Pruner",
    "Removed",
    "Rollups",
    "Row",
    "SearchIndex",
    "SearchedTable",
    "Standing",
    "StoredDeadLetter",
    "TursoConfig",
    "WriterEntry",
    "check_version",
    "close_turso_client",
    "create_turso_client",
    "deciding_key",
    "differences",
    "discard_dead_letter",
    "discard_dead_letters_of",
    "finish_writer",
    "get_turso_client",
    "get_turso_config",
    "initialize_schema",
    "is_indexed",
    "is_shown_of",
    "milliseconds_of_key",
    "newest_kept",
    "open_store",
    "output_is_elsewhere",
    "prepare_schema",
    "read_dead_letter",
    "read_dead_letters",
    "read_key",
    "read_ledger",
    "read_standing",
    "reset_schema_state",
    "retry_dead_letter",
    "row_of",
    "schema_version",
    "smallest_key",
    "target_of",
    "write_batch",
]
