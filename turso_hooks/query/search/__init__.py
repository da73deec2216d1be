"""Searching: `language` is what people type, `words` what text is made of, `matching` finds them in it, `looking` in rows.

`searching` says what is meant, and in which order what was found comes.
"""

from __future__ import annotations

from turso_hooks.query.search.looking import KINDS
from turso_hooks.query.search.searching import ORDERS, Searcher

__all__ = ["KINDS", "ORDERS", "Searcher"]
