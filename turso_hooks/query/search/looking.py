"""Looking for what matches: in the index, at rows that are not in it yet, and where there is none at the newest of all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from turso_hooks.errors import ResponseTooLarge
from turso_hooks.query.asking import Asker
from turso_hooks.query.filters import Condition
from turso_hooks.query.search.language import All, Phrase, Term, to_fts5
from turso_hooks.query.search.matching import Searched
from turso_hooks.store import KIND, SEARCHED, SearchedTable, is_indexed, output_is_elsewhere, smallest_key

KINDS = ("session", "message", "tool_call", "model_call")
"""By the lowest bits of a search key."""

MOST_MATCHES = 10_000
"""Matches that one page looks at, where filters leave out most of them."""

MOST_WAITING = 1000
"""Rows of each kind that are looked at, the newest, because they are not in the index yet."""

MOST_SCANNED = 20_000
"""Rows of each kind that are looked at, the newest, where there is no index."""

MOST_SHOWN_CHARS, MOST_SCORED_CHARS = 1_000_000, 50_000
"""How much of a text is looked at to show it, and to score it or to find something in it without the index."""

_MORE_THAN_WANTED, _MORE_MATCHES, _SCANNED_AT_ONCE = 5, 500, 2000

_TITLE_CHARS = 1000
"""Of a session's title, which comes with each match."""

_NEWEST_OF_SECOND = (1 << 30) - 1


@dataclass
class Match:
    """A row that matches; its key tells where it stands in the order of time."""

    key: int
    row: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What it is, one of `KINDS`."""
        return KINDS[self.key & KIND]

    @property
    def name(self) -> str:
        """By which it is told apart from all others: an id alone may be there once of each kind."""
        return f"{self.kind}:{self.row['id']}"

    @cached_property
    def searched(self) -> Searched:
        """Its text, taken apart once it is asked for: of many matches only those on the page are."""
        return Searched(self.row["text"] or "")


@dataclass
class Question:
    """What is looked for, and where."""

    term: Term
    where: Condition
    """Of a row `found` and its session `sessions`."""
    kinds: frozenset[str]
    from_key: int | None
    before_key: int | None
    shown: set[str] = field(default_factory=set)
    """What was shown before and is not to be shown again, by kind and id."""


@dataclass
class Look:
    """How far a search has looked."""

    looked_at: int = 0
    is_whole: bool = True
    last_key: int | None = None
    matches: list[Match] = field(default_factory=list)


class Looker:
    """Looks into a database. Raises `DatabaseError` as it comes."""

    def __init__(self, asker: Asker) -> None:
        self.has_index = False
        """Whether there is one that can be used, as far as is known."""
        self._asker = asker

    def look(self, question: Question, limit: int, before: int | None, most_chars: int) -> Look:
        """The newest matches before a key."""
        if not self.has_index:  # there may be one by now
            self.has_index = is_indexed(self._asker.database)
        words = to_fts5(question.term) if self.has_index else None
        look = Look()
        if words is None:
            self._scan(look, question, "true", MOST_SCANNED)
        else:
            self._scan(look, question, None, MOST_WAITING)
            look.matches = [match for match in look.matches if before is None or match.key < before]
            self._look_up(look, question, words, limit, before, most_chars)
        # Somebody may have indexed meanwhile what was found waiting: it is found once more then, and is one.
        found = {match.name: match for match in look.matches if before is None or match.key < before}
        look.matches = sorted(found.values(), key=lambda match: -match.key)[:limit]
        return look

    def _look_up(  # noqa: PLR0913, PLR0917  # one question
        self, look: Look, question: Question, words: str, limit: int, before: int | None, most_chars: int
    ) -> None:
        """Matches of the index, until there are as many as are wanted."""
        found, at_once = 0, limit + _MORE_THAN_WANTED
        limits = [key for key in (before, question.before_key) if key is not None]
        upper = min(limits) if limits else None
        while found < limit:
            keys = self._keys(words, upper, question.from_key, at_once)
            matches = list(self._matches(keys, question, most_chars))
            look.matches += matches
            found += len(matches)
            look.looked_at += len(keys)
            if len(keys) < at_once:
                look.last_key = None
                return
            upper = look.last_key = keys[-1]
            if look.looked_at >= MOST_MATCHES and found < limit:
                look.is_whole = False
                return
            at_once = _MORE_MATCHES

    def _keys(self, words: str, before: int | None, from_key: int | None, limit: int) -> list[int]:
        where = Condition(["search_index MATCH ?"], [words])
        for key, compared in ((before, "<"), (from_key, ">=")):
            if key is not None:
                where.add(f"rowid {compared} ?", key)
        sql = f"SELECT rowid FROM search_index WHERE {where.sql} ORDER BY rowid DESC LIMIT {limit}"
        return [key for (key,) in self._asker.result("search", sql, where.arguments).rows]

    def _matches(self, keys: Sequence[int], question: Question, most_chars: int) -> Iterator[Match]:
        for table in SEARCHED:
            if KINDS[table.kind] not in question.kinds:
                continue
            of_table = [key for key in keys if key & KIND == table.kind]
            for row in self._rows_with(of_table, table, question, most_chars) if of_table else ():
                match = Match(row["search_key"], row)
                if match.name not in question.shown:
                    yield match

    def _rows_with(
        self, keys: Sequence[int], table: SearchedTable, question: Question, most_chars: int
    ) -> list[dict[str, Any]]:
        where = Condition(["found.search_key IN (SELECT value FROM json_each(?))"], [json.dumps(keys)])
        try:
            return self._asker.rows("read what was found", *_rows_sql(table, question, where, most_chars))
        except ResponseTooLarge:
            if len(keys) == 1:
                raise
            middle = len(keys) // 2
            halves = (keys[:middle], keys[middle:])
            return [row for half in halves for row in self._rows_with(half, table, question, most_chars)]

    def _scan(self, look: Look, question: Question, which: str | None, most: int) -> None:
        """Look at rows one by one, the newest: those that wait for the index, or any."""
        for table in SEARCHED:
            if KINDS[table.kind] in question.kinds:
                where = table.waits("found") if which is None else which
                look.is_whole = self._scan_table(look, question, table, where, most) and look.is_whole

    def _scan_table(  # one question
        self, look: Look, question: Question, table: SearchedTable, which: str, most: int
    ) -> bool:
        """The same of one table; whether that was all."""
        scanned, before, at_once = 0, None, _SCANNED_AT_ONCE
        while scanned < most:
            where = Condition([which])
            if before is not None:
                where.add("found.rowid < ?", before)
            tried = min(at_once, most - scanned)
            newest = f"WHERE {where.sql} ORDER BY found.rowid DESC LIMIT {tried}"
            rowids = f"SELECT found.rowid FROM {table.table} AS found {newest}"
            ends = self._asker.result("look at the newest", rowids, where.arguments).rows
            if not ends:
                return True
            where.add("found.rowid >= ?", ends[-1][0])
            try:
                rows = self._asker.rows("look at the newest", *_rows_sql(table, question, where, MOST_SCORED_CHARS))
            except ResponseTooLarge:
                if tried == 1:
                    raise
                at_once = tried // 4 or 1
                continue
            before = ends[-1][0]
            scanned += len(ends)
            look.looked_at += len(ends)
            look.matches += [each for each in _matching(rows, question.term, table) if each.name not in question.shown]
            if len(ends) < tried:
                return True
        return False


def _rows_sql(table: SearchedTable, question: Question, where: Condition, most_chars: int) -> tuple[str, list[Any]]:
    """SQL and arguments for rows with what is shown of them and of their session."""
    is_session = table.kind == 0
    text = f"substr({table.text_of('found')}, 1, {most_chars})"
    role = "found.role" if KINDS[table.kind] == "message" else "NULL"
    tool_name = "found.tool_name" if KINDS[table.kind] == "tool_call" else "NULL"
    parts, arguments = [*where.parts, *question.where.parts], [*where.arguments, *question.where.arguments]
    if KINDS[table.kind] == "message":
        parts.append(f"NOT ({output_is_elsewhere('found')})")
    word = _required(question.term)
    if word is not None and "found.rowid >= ?" in where.parts:
        parts.append(f"(instr(lower({text}), ?) OR length(CAST({text} AS BLOB)) > length({text}))")
        arguments.append(word)
    return (
        f"""SELECT found.rowid, found.search_key, found.id, found.occurred_ms, {role} AS role, {tool_name} AS tool_name,
            {text} AS text, sessions.id AS session_id, substr(sessions.title, 1, {_TITLE_CHARS}) AS title,
            sessions.agent_type, sessions.project
        FROM {table.table} AS found CROSS JOIN sessions ON sessions.id = {"found.id" if is_session else "found.session_id"}
        WHERE {" AND ".join(parts)}""",
        arguments,
    )


def _matching(rows: Iterable[Mapping[str, Any]], term: Term, table: SearchedTable) -> Iterator[Match]:
    """Those of some rows that match, with a key as they would have in the index, but newer than all of their second."""
    for row in rows:
        newest = _NEWEST_OF_SECOND - ((1 << 24) - 1 - (row["rowid"] & ((1 << 24) - 1)) << 3)
        match = Match((smallest_key(row["occurred_ms"] or 0) + newest) & ~KIND | table.kind, row)
        if match.searched.has(term):
            yield match


def _required(term: Term) -> str | None:
    """A word without which there is no match; one that lower case finds in plain text."""
    if isinstance(term, Phrase):
        return next((word for word in term.words if word.isascii()), None)
    if isinstance(term, All):
        return next(filter(None, map(_required, term.terms)), None)
    return None
