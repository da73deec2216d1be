"""Whether a text has what is looked for, where, and what to show of it. Pure.

For what is not in the index, and for what the index does not tell: where in a text its words are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from turso_hooks.query.results import Piece
from turso_hooks.query.search.language import All, Phrase, Term, phrases_of
from turso_hooks.query.search.words import places_of, words_of

SNIPPET_CHARS = 160


class Span(NamedTuple):
    """Where in a text something is."""

    start: int
    end: int


class Searched:
    """A text whose words are known."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = words_of(text)

    def has(self, term: Term) -> bool:
        """Whether a term is there."""
        if isinstance(term, Phrase):
            return bool(self.count(term))
        if isinstance(term, All):
            return all(map(self.has, term.terms)) and not any(map(self.has, term.without))
        return any(map(self.has, term.terms))

    def count(self, phrase: Phrase) -> int:
        """How often a phrase is there."""
        if len(phrase.words) == 1 and not phrase.is_prefix:
            return self.words.count(phrase.words[0])
        return len(self._firsts(phrase))

    def spans(self, phrase: Phrase) -> list[Span]:
        """Where a phrase is, in order."""
        more = len(phrase.words) - 1
        return [Span(self._places[n][0], self._places[n + more][1]) for n in self._firsts(phrase)]

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        return places_of(self.text)

    def _firsts(self, phrase: Phrase) -> list[int]:
        """The numbers of the words with which a phrase begins."""
        *before, last = phrase.words
        ends = [n for n, word in enumerate(self.words) if word == last or (phrase.is_prefix and word.startswith(last))]
        length = len(before)
        return [n - length for n in ends if n >= length and self.words[n - length : n] == before]


def snippet(searched: Searched, term: Term, most_chars: int = SNIPPET_CHARS) -> tuple[Piece, ...]:
    """Where a text has most of what is looked for; its beginning, if it has nothing."""
    spans = sorted({span for phrase in phrases_of(term) for span in searched.spans(phrase)})
    start = _densest(spans, most_chars)
    text = searched.text
    start = max(0, min(start - most_chars // 4, len(text) - most_chars))
    end = min(len(text), start + most_chars)
    start, end = _at_words(text, start, end)
    pieces: list[Piece] = [Piece("…", is_match=False)] if start > 0 else []
    at = start
    for span in spans:
        if span.start >= at and span.start < end:
            pieces += [Piece(text[at : span.start], is_match=False)] if span.start > at else []
            pieces.append(Piece(text[span.start : min(span.end, end)], is_match=True))
            at = min(span.end, end)
    pieces += [Piece(text[at:end], is_match=False)] if at < end else []
    return (*pieces, Piece("…", is_match=False)) if end < len(text) else tuple(pieces)


def _densest(spans: Sequence[Span], chars: int) -> int:
    """Where a stretch of so many characters begins that has the most different spans in it."""
    best, most, last = 0, 0, 0
    for n, span in enumerate(spans):
        last = max(last, n)
        while last < len(spans) and spans[last].end <= span.start + chars:
            last += 1
        if last - n > most:
            best, most = span.start, last - n
    return best if most or not spans else spans[0].start


def _at_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Move the ends of a stretch to blanks near by, so that no word is cut."""
    if start > 0:
        blank = next((n for n in range(start, min(start + 20, end)) if text[n].isspace()), None)
        start = blank + 1 if blank is not None else start
    if end < len(text):
        blank = next((n for n in range(end - 1, max(end - 20, start), -1) if text[n].isspace()), None)
        end = blank if blank is not None else end
    return start, end


def score(searched: Searched, term: Term, weights: Mapping[Phrase, float], average_words: float) -> float:
    """How much a text is about what is looked for: more for what is in it often, less for long texts (as BM25 does)."""
    longer = 0.25 + 0.75 * len(searched.words) / max(average_words, 1.0)
    total = 0.0
    for phrase in phrases_of(term):
        times = searched.count(phrase)
        total += weights.get(phrase, 1.0) * times / (times + 1.2 * longer)
    return total
