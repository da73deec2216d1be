"""Searching: `language` is what people type, `words` what text is made of, `matching` finds them in it, `searching` asks."""

from __future__ import annotations

from turso_hooks.query.search.searching import Searcher

__all__ = ["Searcher"]
