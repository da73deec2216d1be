"""Text as words, as the index has it: FTS5's unicode61 (https://www.sqlite.org/fts5.html#unicode61_tokenizer). Pure.

A word is letters and digits, in lower case and without diacritics. A letter of Chinese, Japanese or Korean is a word by itself,
for these are found as letters next to each other.
"""

from __future__ import annotations

import re
import unicodedata

from turso_hooks.store import CJK_RANGES

_MARKS = "\u0300-\u036f"
_WORDS = re.compile(f"[{CJK_RANGES}]|(?:(?![{CJK_RANGES}])[^\\W_]|[{_MARKS}])+")
_PLAIN_WORDS = re.compile("[a-z0-9]+")
_IS_CJK = re.compile(f"[{CJK_RANGES}]")


def words_of(text: str) -> list[str]:
    """The words of a text, folded, in order."""
    if text.isascii():  # most texts are, and it takes a sixth of the time
        return _PLAIN_WORDS.findall(text.lower())
    return [folded(word) for word in _WORDS.findall(text)]


def places_of(text: str) -> list[tuple[int, int]]:
    """Where each of its words begins and ends."""
    found = _PLAIN_WORDS.finditer(text.lower()) if text.isascii() else _WORDS.finditer(text)
    return [word.span() for word in found]


def folded(word: str) -> str:
    """A word as it is compared."""
    lowered = word.lower()
    if lowered.isascii():
        return lowered
    return "".join(each for each in unicodedata.normalize("NFD", lowered) if not unicodedata.combining(each))


def in_pairs(text: str) -> str:
    """A text as `store.search.words.indexed` gives it to FTS5."""
    if text.isascii() or not _IS_CJK.search(text):
        return text
    return "".join(f" {text[n : n + 2]} " if is_cjk(letter) else letter for n, letter in enumerate(text))


def is_cjk(letter: str) -> bool:
    """Whether a letter is one of Chinese, Japanese or Korean."""
    return _IS_CJK.match(letter) is not None
