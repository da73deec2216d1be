"""Whether a text has what is looked for, where, and what to show of it. Pure.

For what is not in the index, and for what the index does not tell: where in a text its words are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from turso_hooks.query.results import Piece
from turso_hooks.query.search.language import All, Phrase, Term, phrases_of
from turso_hooks.query.search.words import Word, words_of

SNIPPET_CHARS = 160


class Span(NamedTuple):
    """Where in a text something is."""

    start: int
    end: int


class Searched:
    """A text whose words are known."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = list(words_of(text))
        self._places: dict[str, list[int]] = {}
        for n, word in enumerate(self.words):
            self._places.setdefault(word.folded, []).append(n)

    def has(self, term: Term) -> bool:
        """Whether a term is there."""
        if isinstance(term, Phrase):
            return bool(self.spans(term))
        if isinstance(term, All):
            return all(map(self.has, term.terms)) and not any(map(self.has, term.without))
        return any(map(self.has, term.terms))

    def spans(self, phrase: Phrase) -> list[Span]:
        """Where a phrase is, in order."""
        *before, last = phrase.words
        is_one = len(phrase.words) == 1
        if is_one and phrase.is_prefix:
            firsts: Iterable[int] = sorted(n for word, found in self._places.items() if word.startswith(last) for n in found)
        else:
            firsts = self._places.get(phrase.words[0], ())
        length = len(phrase.words)
        return [
            Span(self.words[n].start, self.words[n + length - 1].end)
            for n in firsts
            if is_one or (n + length <= len(self.words) and self._follows(n, before, last, is_prefix=phrase.is_prefix))
        ]

    def _follows(self, n: int, before: Sequence[str], last: str, *, is_prefix: bool) -> bool:
        words: Sequence[Word] = self.words[n : n + len(before) + 1]
        end = words[-1].folded
        return all(word.folded == other for word, other in zip(words, before, strict=False)) and (
            end.startswith(last) if is_prefix else end == last
        )


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
        times = len(searched.spans(phrase))
        total += weights.get(phrase, 1.0) * times / (times + 1.2 * longer)
    return total
