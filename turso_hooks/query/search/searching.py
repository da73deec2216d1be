"""Searching a database: by its index; by looking at rows where there is none, and at those that are not in it yet."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from turso_hooks.errors import QueryError, ResponseTooLarge
from turso_hooks.query.asking import Asker
from turso_hooks.query.filters import Condition, meant_by, milliseconds
from turso_hooks.query.pages import checked_limit, json_cursor, wrong_cursor
from turso_hooks.query.results import Found, Hit
from turso_hooks.query.rows import moment_of
from turso_hooks.query.search.language import All, Phrase, Term, parse, phrases_of, to_fts5
from turso_hooks.query.search.matching import Searched, score, snippet
from turso_hooks.store import KIND, SEARCHED, SearchedTable, is_indexed, milliseconds_of_key, output_is_elsewhere, smallest_key

ORDERS = ("newest", "relevance")

KINDS = ("session", "message", "tool_call", "model_call")
"""By the lowest bits of a search key."""

MOST_MATCHES = 10_000
"""Matches that one page looks at, where filters leave out most of them."""

MOST_SCORED = 500
"""The most relevant come first of so many, the newest: to score all of 5 million messages took 1.6 s."""

MOST_WAITING = 1000
"""Rows of each kind that are looked at, the newest, because they are not in the index yet."""

MOST_SCANNED = 20_000
"""Rows of each kind that are looked at, the newest, where there is no index."""

MOST_WITH_TEXT = 1000
"""Matches, the newest, whose sessions are those with a text."""

_MORE_THAN_WANTED, _MORE_MATCHES, _SCANNED_AT_ONCE = 5, 500, 2000

_SHOWN_CHARS, _SCORED_CHARS = 1_000_000, 50_000
"""How much of a text is looked at to show it, and to score it or to find something in it without the index."""

_TITLE_CHARS = 1000
"""Of a session's title, which comes with each match."""

_NEWEST_OF_SECOND = (1 << 30) - 1

_WEIGHTS = {"session": 2.0, "user": 1.5, "assistant": 1.5}
"""What people and models say is more often what is meant than what tools print, and a title most of all."""


@dataclass
class _Match:
    """A row that matches; its key tells where it stands in the order of time."""

    key: int
    row: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return KINDS[self.key & KIND]

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.row['id']}"

    @cached_property
    def searched(self) -> Searched:
        """Its text, taken apart once it is asked for: of many matches only those on the page are."""
        return Searched(self.row["text"] or "")


@dataclass
class _Question:
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
class _Look:
    """How far a search has looked."""

    looked_at: int = 0
    is_whole: bool = True
    last_key: int | None = None
    matches: list[_Match] = field(default_factory=list)


class Searcher:
    """Searches a database. Raises `DatabaseError` as it comes."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._has_index = False

    def search(  # noqa: PLR0913  # by name
        self,
        text: str,
        filters: Mapping[str, Any],
        *,
        order: str,
        kind: str | None,
        session_id: str | None,
        limit: int,
        cursor: str | None,
    ) -> Found:
        """A page of what is found by a text; see `Reader.search`."""
        if order not in ORDERS:
            raise QueryError(f"there is no order {order!r:.40}: it is one of {', '.join(ORDERS)}")
        checked_limit(limit)
        place, shown = _place_of(cursor) if cursor is not None else (None, [])
        if cursor is not None and order == "relevance" and (place or 0) < 0:
            raise wrong_cursor(cursor)
        term = parse(text)
        if term is None:
            return Found(hits=(), next_cursor=None, looked_at=0, is_whole=True, looked_back_to=None, has_index=True)
        question = self._question(term, filters, kind, session_id)
        question.shown.update(shown)
        if order == "relevance":
            look = self._look(question, MOST_SCORED, None, _SCORED_CHARS)
            return self._most_relevant(look, term, limit, place or 0)
        look = self._look(question, limit, place, _SHOWN_CHARS)
        hits = tuple(_hit(match, term) for match in look.matches)
        is_full = len(look.matches) == limit
        following = look.matches[-1].key if is_full else None if look.is_whole else look.last_key
        in_second = [match for match in look.matches if _are_of_one_second(match.key, following)]
        waited = [match.name for match in in_second if match.row["search_key"] is None]
        return self._found(look, hits, following, waited + (shown if _are_of_one_second(place, following) else []))

    def sessions_with(self, text: str) -> list[str]:
        """The ids of the sessions in which a text is found."""
        term = parse(text)
        if term is None:
            return []
        look = self._look(self._question(term, {}, None, None), MOST_WITH_TEXT, None, _SCORED_CHARS)
        return list(dict.fromkeys(match.row["session_id"] for match in look.matches))

    def _question(self, term: Term, filters: Mapping[str, Any], kind: str | None, session_id: str | None) -> _Question:
        if kind is not None and kind not in KINDS:
            raise QueryError(f"there is nothing of the kind {kind!r:.40}: it is one of {', '.join(KINDS)}")
        times = {name: filters.get(name) for name in ("since", "until")}
        meant = meant_by({name: value for name, value in filters.items() if name not in times}, self._asker.now())
        where = meant.together()
        if session_id is not None:
            where.add("sessions.id = ?", session_id)
        limits: list[int | None] = []
        for name, compared in (("since", ">="), ("until", "<")):
            moment: datetime | None = times[name]
            if moment is not None:
                where.add(f"found.occurred_ms {compared} ?", milliseconds(moment))
            limits.append(None if moment is None else smallest_key(milliseconds(moment) + 1000 * (name == "until")))
        return _Question(term, where, frozenset(KINDS if kind is None else [kind]), limits[0], limits[1])

    def _look(self, question: _Question, limit: int, before: int | None, most_chars: int) -> _Look:
        """The newest matches before a key."""
        if not self._has_index:  # there may be one by now
            self._has_index = is_indexed(self._asker.database)
        words = to_fts5(question.term) if self._has_index else None
        look = _Look()
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
        self, look: _Look, question: _Question, words: str, limit: int, before: int | None, most_chars: int
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

    def _matches(self, keys: Sequence[int], question: _Question, most_chars: int) -> Iterator[_Match]:
        for table in SEARCHED:
            if KINDS[table.kind] not in question.kinds:
                continue
            of_table = [key for key in keys if key & KIND == table.kind]
            for row in self._rows_with(of_table, table, question, most_chars) if of_table else ():
                match = _Match(row["search_key"], row)
                if match.name not in question.shown:
                    yield match

    def _rows_with(
        self, keys: Sequence[int], table: SearchedTable, question: _Question, most_chars: int
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

    def _scan(self, look: _Look, question: _Question, which: str | None, most: int) -> None:
        """Look at rows one by one, the newest: those that wait for the index, or any."""
        for table in SEARCHED:
            if KINDS[table.kind] not in question.kinds:
                continue
            scanned, before, at_once = 0, None, _SCANNED_AT_ONCE
            while scanned < most:
                where = Condition([table.waits("found") if which is None else which])
                if before is not None:
                    where.add("found.rowid < ?", before)
                tried = min(at_once, most - scanned)
                newest = f"WHERE {where.sql} ORDER BY found.rowid DESC LIMIT {tried}"
                rowids = f"SELECT found.rowid FROM {table.table} AS found {newest}"
                ends = self._asker.result("look at the newest", rowids, where.arguments).rows
                if not ends:
                    break
                where.add("found.rowid >= ?", ends[-1][0])
                try:
                    rows = self._asker.rows("look at the newest", *_rows_sql(table, question, where, _SCORED_CHARS))
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
                    break
            else:
                look.is_whole = False

    def _most_relevant(self, look: _Look, term: Term, limit: int, skipped: int) -> Found:
        matches, phrases = look.matches, set(phrases_of(term))
        average = sum(len(match.searched.words) for match in matches) / max(len(matches), 1)
        rarity: dict[Phrase, float] = {}
        for phrase in phrases:
            having = sum(bool(match.searched.count(phrase)) for match in matches)
            rarity[phrase] = math.log(1 + (len(matches) - having + 0.5) / (having + 0.5))
        scored = [
            (
                score(match.searched, term, rarity, average) * _WEIGHTS.get(match.row["role"] or match.kind, 1.0),
                match.key,
                match,
            )
            for match in matches
        ]
        scored.sort(key=lambda each: (-each[0], -each[1]))
        page = scored[skipped : skipped + limit]
        hits = tuple(_hit(match, term, value) for value, _, match in page)
        following = skipped + limit if len(scored) > skipped + limit else None
        look.is_whole = look.is_whole and len(matches) < MOST_SCORED
        look.last_key = matches[-1].key if matches else None
        return self._found(look, hits, following)

    def _found(self, look: _Look, hits: tuple[Hit, ...], following: int | None, shown: Sequence[str] = ()) -> Found:
        last = look.last_key
        return Found(
            hits=hits,
            next_cursor=None if following is None else json.dumps([following, shown]),
            looked_at=look.looked_at,
            is_whole=look.is_whole,
            looked_back_to=moment_of(milliseconds_of_key(last)) if not look.is_whole and last is not None else None,
            has_index=self._has_index,
        )


def _place_of(cursor: str) -> tuple[int, list[str]]:
    """The key of a cursor, and what was shown of its second and waited then: its key is another one when it is in the index."""
    key, shown = json_cursor(cursor, 2)
    if not isinstance(shown, list) or not all(isinstance(name, str) for name in shown):
        raise wrong_cursor(cursor)
    return key, shown


def _are_of_one_second(key: int | None, other: int | None) -> bool:
    return key is not None and other is not None and milliseconds_of_key(key) == milliseconds_of_key(other)


def _rows_sql(table: SearchedTable, question: _Question, where: Condition, most_chars: int) -> tuple[str, list[Any]]:
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


def _matching(rows: Iterable[Mapping[str, Any]], term: Term, table: SearchedTable) -> Iterator[_Match]:
    """Those of some rows that match, with a key as they would have in the index, but newer than all of their second."""
    for row in rows:
        newest = _NEWEST_OF_SECOND - ((1 << 24) - 1 - (row["rowid"] & ((1 << 24) - 1)) << 3)
        match = _Match((smallest_key(row["occurred_ms"] or 0) + newest) & ~KIND | table.kind, row)
        if match.searched.has(term):
            yield match


def _required(term: Term) -> str | None:
    """A word without which there is no match; one that lower case finds in plain text."""
    if isinstance(term, Phrase):
        return next((word for word in term.words if word.isascii()), None)
    if isinstance(term, All):
        return next(filter(None, map(_required, term.terms)), None)
    return None


def _hit(match: _Match, term: Term, value: float | None = None) -> Hit:
    row = match.row
    return Hit(
        kind=match.kind,
        row_id=row["id"],
        session_id=row["session_id"],
        session_title=row["title"],
        agent_type=row["agent_type"],
        project=row["project"],
        occurred_at=moment_of(row["occurred_ms"]),
        role=row["role"],
        tool_name=row["tool_name"],
        snippet=snippet(match.searched, term),
        score=value,
    )
