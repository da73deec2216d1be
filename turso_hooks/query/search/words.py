"""Text as words, as the index has it: FTS5's unicode61 (https://www.sqlite.org/fts5.html#unicode61_tokenizer). Pure.

A word is letters and digits, in lower case and without diacritics. A letter of Chinese, Japanese or Korean is a word by itself,
for these are found as letters next to each other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from turso_hooks.store import CJK_RANGES

_MARKS = "\u0300-\u036f"
_WORDS = re.compile(f"[{CJK_RANGES}]|(?:(?![{CJK_RANGES}])[^\\W_]|[{_MARKS}])+")
_IS_CJK = re.compile(f"[{CJK_RANGES}]")


class Word(NamedTuple):
    """A word, folded, and where it stands in its text."""

    folded: str
    start: int
    end: int


def words_of(text: str) -> Iterator[Word]:
    """The words of a text, in order."""
    for found in _WORDS.finditer(text):
        yield Word(folded(found[0]), found.start(), found.end())


def folded(word: str) -> str:
    """A word as it is compared."""
    lowered = word.lower()
    if lowered.isascii():
        return lowered
    return "".join(each for each in unicodedata.normalize("NFD", lowered) if not unicodedata.combining(each))


def in_pairs(text: str) -> str:
    """A text as `store.search_index.indexed` gives it to FTS5."""
    if text.isascii() or not _IS_CJK.search(text):
        return text
    return "".join(f" {text[n : n + 2]} " if is_cjk(letter) else letter for n, letter in enumerate(text))


def is_cjk(letter: str) -> bool:
    """Whether a letter is one of Chinese, Japanese or Korean."""
    return _IS_CJK.match(letter) is not None
