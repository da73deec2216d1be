"""How a row that is there and a row that arrives become one: the merging rule, as SQL.

Owns the only statement of the rule. The engine applies it inside the transaction that brings the row, so two writers cannot
interleave a read and a write, and a driver that sends a batch as one request needs no answer in between.

The rule, column by column: known beats unknown; between two known values the higher `source_rank` wins, then the later
`occurred_at`, then the greater `event_id`. Those three make a **precedence key**, a text that sorts (`precedence`). A column's
value is the one with the greatest key among all that were ever claimed for it, so any order and any repetition of the same
events ends in the same row. Columns that mean one thing together (`content` and its `parts`) are claimed together.

Each row says where its values come from in `provenance`: one key, if a single event wrote all of it, else a JSON object from
claim to key. NULL means that another program wrote the row: its values stay until something is claimed with a key.

Not under that rule: `started_at` (the earliest) and `ended_at` (the latest); the status of a tool call or model call (a
terminal one beats `running`, then the key); a session's status (that of its latest start or end, and the error message with
it: an old error beside a new `completed` would mislead). A session whose start was not seen takes the earliest time of
anything in it, until a start is known.

The SQL is what SQLite, libSQL and Turso's engine share: upserts, CASE, `json_object`, `json_patch`, `json_extract`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from turso_hooks.drivers import Bulk

UNKNOWN = "unknown"
"""What stands in a required column until its value is known."""


def in_json(position: int) -> str:
    """SQL: a value of a row that came through `json_each`."""
    return f"json_extract(value, '$[{position}]')"


def real_in_json(position: int) -> str:
    """SQL: the same of a float, which comes as three integers (see `drivers.Bulk`)."""
    n, d, e = (f"json_extract(value, '$[{position}][{part}]')" for part in range(3))
    return f"{n} * 1.0 / {d} / {e}"


@dataclass(frozen=True)
class Table:
    """A table whose rows are merged, and the rule of each column."""

    name: str
    fixed: tuple[str, ...]
    """Columns that identify the row and never change, `id` first."""
    claims: tuple[tuple[str, ...], ...]
    """Columns decided by precedence. Those in one tuple go together; the first of them names the claim."""
    required: frozenset[str] = frozenset()
    """Claimed columns that may not be NULL: `UNKNOWN` stands in them until a value is known."""
    rules: Mapping[str, str] = field(default_factory=dict[str, str])
    """Other columns and their SQL: `old.` is the row that is there, `new.` the one that arrives."""
    computed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Columns computed when a row is first inserted, and their SQL: `{id}` and the like stand for values that come after those
    of `columns`, in that order; `{number}` for the number of the row among those of its session that come together."""
    reals: frozenset[str] = frozenset()
    """Columns that hold floats."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns a row is bound with, in order; `provenance`, the precedence key of its event, comes last."""
        claimed = tuple(column for claim in self.claims for column in claim)
        return (*self.fixed, *claimed, *self.rules, "provenance")

    def upsert(self) -> str:
        """The statement that brings one row, bound with the values of `columns`."""
        values = [self._required(column, "?") for column in self.columns]
        computed = [sql.format(session_id="?", number="1") for sql in self.computed.values()]
        return self._merging(f"VALUES ({', '.join([*values, *computed])})")

    def bulk_upsert(self) -> Bulk:
        """The same for any number of rows."""
        reals = frozenset(position for position, column in enumerate(self.columns) if column in self.reals)
        values = [
            self._required(column, real_in_json(position) if position in reals else in_json(position))
            for position, column in enumerate(self.columns)
        ]
        session_id = in_json(len(self.columns))
        number = f"row_number() OVER (PARTITION BY {session_id} ORDER BY key)"
        computed = [sql.format(session_id=session_id, number=number) for sql in self.computed.values()]
        # Without WHERE, ON CONFLICT would be read as the ON of a join (https://www.sqlite.org/lang_upsert.html).
        sql = self._merging(f"SELECT {', '.join([*values, *computed])} FROM json_each(?) WHERE true")
        return Bulk(sql, reals, lru_cache(self._upsert_of_values))

    def _upsert_of_values(self, count: int) -> str:
        """`upsert` for so many rows."""
        if not self.computed:
            row = f"({', '.join(self._required(column, '?') for column in self.columns)})"
            return self._merging(f"VALUES {', '.join([row] * count)}")
        names = [f"column{n + 1}" for n in range(len(self.columns) + 2)]
        marks = ", ".join("?" * (len(names) - 1))
        rows = ", ".join(f"({marks}, {n})" for n in range(count))
        *_, session_id, place = names
        number = f"row_number() OVER (PARTITION BY {session_id} ORDER BY {place})"
        values = [self._required(column, name) for column, name in zip(self.columns, names, strict=False)]
        computed = [sql.format(session_id=session_id, number=number) for sql in self.computed.values()]
        return self._merging(f"SELECT {', '.join([*values, *computed])} FROM (VALUES {rows}) WHERE true")

    def _merging(self, arriving: str) -> str:
        assignments = {column: self._claimed(claim, column) for claim in self.claims for column in claim}
        assignments |= {column: self._expand(rule) for column, rule in self.rules.items()}
        assignments["provenance"] = self._provenance()
        changes = ",\n  ".join(f"{column} = {sql}" for column, sql in assignments.items())
        return (
            f"INSERT INTO {self.name} ({', '.join((*self.columns, *self.computed))})\n"
            f"{arriving}\n"
            f"ON CONFLICT (id) DO UPDATE SET\n  {changes}\n"
            f"WHERE excluded.provenance IS NOT {self.name}.provenance"
        )

    def _required(self, column: str, value: str) -> str:
        return f"coalesce({value}, '{UNKNOWN}')" if column in self.required else value

    def _expand(self, rule: str) -> str:
        return rule.replace("old.", f"{self.name}.").replace("new.", "excluded.")

    def _known(self, row: str, column: str) -> str:
        value = f"{row}.{column}"
        return f"{value} <> '{UNKNOWN}'" if column in self.required else f"{value} IS NOT NULL"

    def _key(self, claim: str) -> str:
        stored = f"{self.name}.provenance"
        return f"coalesce(CASE WHEN {stored} LIKE '{{%' THEN json_extract({stored}, '$.{claim}') ELSE {stored} END, '')"

    def _wins(self, claim: tuple[str, ...]) -> str:
        """SQL that says whether the arriving row decides this claim."""
        name = claim[0]
        arriving = " OR ".join(self._known("excluded", column) for column in claim)
        unknown = " AND ".join(f"NOT {self._known(self.name, column)}" for column in claim)
        return f"({arriving}) AND ({unknown} OR excluded.provenance > {self._key(name)})"

    def _claimed(self, claim: tuple[str, ...], column: str) -> str:
        return f"CASE WHEN {self._wins(claim)} THEN excluded.{column} ELSE {self.name}.{column} END"

    def _provenance(self) -> str:
        """SQL: for every claim the key that now decides it; claims nobody made are left out."""
        keys = []
        for claim in self.claims:
            made = " OR ".join(self._known(self.name, column) for column in claim)
            keys.append(
                f"'{claim[0]}', CASE WHEN {self._wins(claim)} THEN excluded.provenance "
                f"WHEN {made} THEN {self._key(claim[0])} END"
            )
        return f"json_patch('{{}}', json_object({', '.join(keys)}))"
