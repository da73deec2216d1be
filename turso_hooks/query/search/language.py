"""What people type into a search, and what it means. Pure.

    word another        both
    "some words"        next to each other
    begin*              words that begin so
    this OR that        either
    -word, NOT word     not that one
    (this OR that) too  what is in parentheses belongs together

Whatever is typed means something: what is nothing of that is words. `AND`, `OR` and `NOT` are written in capitals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from turso_hooks.query.search.words import in_pairs, is_cjk, words_of

_MOST_TERMS = 64
_DEEPEST = 20
"""Limits to what is looked for: what is beyond them is left out. FTS5 allows 256 levels, and each term takes time."""

_TOKENS = re.compile(r'(-?)"([^"]*)"?|([()])|([^\s()"]+)')
_WITHOUT = re.compile("-[^-]")
"""What begins with two is an option of some command, and is looked for."""


@dataclass(frozen=True)
class Phrase:
    """Words next to each other."""

    words: tuple[str, ...]
    """Folded."""
    text: str
    """As it was typed."""
    is_prefix: bool = False
    """Whether the last word is only the beginning of one."""


@dataclass(frozen=True)
class All:
    """All of them, and none of `without`."""

    terms: tuple[Term, ...]
    without: tuple[Term, ...] = ()


@dataclass(frozen=True)
class Any:
    """At least one of them."""

    terms: tuple[Term, ...]


Term = Phrase | All | Any


def parse(text: str) -> Term | None:
    """What is looked for; None if that is nothing."""
    return _Parser(text).parse()


def phrases_of(term: Term | None) -> Iterator[Phrase]:
    """The phrases that make a match, those after NOT left out."""
    if isinstance(term, Phrase):
        yield term
    elif term is not None:
        for each in term.terms:
            yield from phrases_of(each)


def to_fts5(term: Term) -> str | None:
    """The same for FTS5's MATCH; None if it has no word for that: it can only say what is not to be there besides what is."""
    if isinstance(term, Phrase):
        return _phrase_to_fts5(term)
    said = [to_fts5(each) for each in term.terms]
    without = [to_fts5(each) for each in term.without] if isinstance(term, All) else []
    if not said or None in said or None in without:
        return None
    joined = f"({(' AND ' if isinstance(term, All) else ' OR ').join(map(str, said))})"
    return f"({joined} NOT ({' OR '.join(map(str, without))}))" if without else joined


def _phrase_to_fts5(phrase: Phrase) -> str:
    """A phrase as the index has it. The letter after the last one is not known; its pair is one that begins with it."""
    text, is_prefix = phrase.text, phrase.is_prefix
    letters = [letter for letter in text if letter.isalnum()]
    expanded = in_pairs(text)
    if letters and is_cjk(letters[-1]):
        stem = text.rstrip()
        while not is_cjk(stem[-1]):
            stem = stem[:-1]
        is_known = len(stem) > 1 and is_cjk(stem[-2])
        expanded = in_pairs(stem)
        if is_known:
            expanded = expanded.rstrip()[:-1]
        is_prefix = not is_known
    return f'"{expanded}"' + (" *" if is_prefix else "")


class _Parser:
    """A descent that takes anything: a parenthesis too many closes nothing, one too few is closed at the end."""

    def __init__(self, text: str) -> None:
        self._tokens = [found.groups() for found in _TOKENS.finditer(text)]
        self._at = 0
        self._terms = 0

    def parse(self) -> Term | None:
        found: list[Term] = []
        while self._at < len(self._tokens):
            term = self._any(0)
            found += [term] if term is not None else []
            self._at += 1  # a parenthesis that closes nothing
        return _all(found)

    def _any(self, depth: int) -> Term | None:
        terms = [self._all(depth)]
        while self._word() == "OR":
            self._at += 1
            terms.append(self._all(depth))
        known = tuple(term for term in terms if term is not None)
        return Any(known) if len(known) > 1 else known[0] if known else None

    def _all(self, depth: int) -> Term | None:
        terms: list[Term] = []
        without: list[Term] = []
        is_not = False
        while self._at < len(self._tokens) and self._word() != "OR" and self._parenthesis() != ")":
            word = self._word()
            if word == "AND":
                self._at += 1
            elif word == "NOT" or (word == "-" and self._parenthesis(1) == "("):
                self._at += 1
                is_not = True
            else:
                term, is_without = self._one(depth)
                if term is not None:
                    (without if is_not or is_without else terms).append(term)
                is_not = False
        return _all(terms, without)

    def _one(self, depth: int) -> tuple[Term | None, bool]:
        minus, quoted, parenthesis, word = self._tokens[self._at]
        self._at += 1
        if parenthesis:
            if depth >= _DEEPEST:
                return None, False
            inside = self._any(depth + 1)
            if self._parenthesis() == ")":
                self._at += 1
            return inside, False
        if quoted is not None:
            return self._phrase(quoted), minus == "-"
        is_without = _WITHOUT.match(word) is not None
        return self._phrase(word.lstrip("-"), is_prefix=word.endswith("*")), is_without

    def _phrase(self, text: str, *, is_prefix: bool = False) -> Phrase | None:
        words = tuple(filter(None, words_of(text)))
        self._terms += bool(words)
        return Phrase(words, text.replace("\0", " "), is_prefix) if words and self._terms <= _MOST_TERMS else None

    def _word(self) -> str | None:
        return self._tokens[self._at][3] if self._at < len(self._tokens) else None

    def _parenthesis(self, ahead: int = 0) -> str | None:
        at = self._at + ahead
        return self._tokens[at][2] if at < len(self._tokens) else None


def _all(terms: Sequence[Term], without: Sequence[Term] = ()) -> Term | None:
    without = [*without, *(each for term in terms if isinstance(term, All) and not term.terms for each in term.without)]
    terms = [term for term in terms if not isinstance(term, All) or term.terms]
    if len(terms) == 1 and not without:
        return terms[0]
    return All(tuple(terms), tuple(without)) if terms or without else None
