"""Searching a database: what is meant, a page of what was found, in order of time or of relevance."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from turso_hooks.errors import QueryError
from turso_hooks.query.asking import Asker
from turso_hooks.query.filters import meant_by, milliseconds
from turso_hooks.query.pages import checked_limit, json_cursor, wrong_cursor
from turso_hooks.query.results import Found, Hit
from turso_hooks.query.rows import moment_of
from turso_hooks.query.search.language import Phrase, Term, parse, phrases_of
from turso_hooks.query.search.looking import KINDS, MOST_SCORED_CHARS, MOST_SHOWN_CHARS, Look, Looker, Match, Question
from turso_hooks.query.search.matching import score, snippet
from turso_hooks.store import milliseconds_of_key, smallest_key

ORDERS = ("newest", "relevance")

MOST_SCORED = 500
"""The most relevant come first of so many, the newest: to score all of 5 million messages took 1.6 s."""

MOST_WITH_TEXT = 1000
"""Matches, the newest, whose sessions are those with a text."""

_WEIGHTS = {"session": 2.0, "user": 1.5, "assistant": 1.5}
"""What people and models say is more often what is meant than what tools print, and a title most of all."""


class Searcher:
    """Searches a database. Raises `DatabaseError` as it comes."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._looker = Looker(asker)

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
            look = self._looker.look(question, MOST_SCORED, None, MOST_SCORED_CHARS)
            return self._most_relevant(look, term, limit, place or 0)
        look = self._looker.look(question, limit, place, MOST_SHOWN_CHARS)
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
        look = self._looker.look(self._question(term, {}, None, None), MOST_WITH_TEXT, None, MOST_SCORED_CHARS)
        return list(dict.fromkeys(match.row["session_id"] for match in look.matches))

    def _question(self, term: Term, filters: Mapping[str, Any], kind: str | None, session_id: str | None) -> Question:
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
        return Question(term, where, frozenset(KINDS if kind is None else [kind]), limits[0], limits[1])

    def _most_relevant(self, look: Look, term: Term, limit: int, skipped: int) -> Found:
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

    def _found(self, look: Look, hits: tuple[Hit, ...], following: int | None, shown: Sequence[str] = ()) -> Found:
        last = look.last_key
        return Found(
            hits=hits,
            next_cursor=None if following is None else json.dumps([following, shown]),
            looked_at=look.looked_at,
            is_whole=look.is_whole,
            looked_back_to=moment_of(milliseconds_of_key(last)) if not look.is_whole and last is not None else None,
            has_index=self._looker.has_index,
        )


def _place_of(cursor: str) -> tuple[int, list[str]]:
    """The key of a cursor, and what was shown of its second and waited then: its key is another one when it is in the index."""
    key, shown = json_cursor(cursor, 2)
    if not isinstance(shown, list) or not all(isinstance(name, str) for name in shown):
        raise wrong_cursor(cursor)
    return key, shown


def _are_of_one_second(key: int | None, other: int | None) -> bool:
    return key is not None and other is not None and milliseconds_of_key(key) == milliseconds_of_key(other)


def _hit(match: Match, term: Term, value: float | None = None) -> Hit:
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
