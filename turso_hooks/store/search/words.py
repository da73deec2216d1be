"""As which words a text is indexed, as SQL. Pure.

Chinese, Japanese and Korean have no blanks between words. What holds such a letter is indexed as pairs of neighbours, with what
else is in it as it is: `see 数据库` as the words `see`, `数据`, `据库`, `库`.
"""

from __future__ import annotations

CJK_RANGES = (
    "\u1100-\u11ff\u2e80-\u2fdf\u3040-\u30ff\u3105-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
"""The letters of Chinese, Japanese and Korean, as ranges of characters (https://www.unicode.org/Public/UNIDATA/Blocks.txt)."""

_LARGE, SMALL = 4096, 64
"""The pieces in which a text is gone through: `substr` counts from its beginning, so letter by letter would take hours."""


def indexed(text: str) -> str:
    """SQL: what FTS5 is given of a text. `search_numbers` holds the numbers from 1 to `SMALL`."""
    is_letter = f"substr(small, n, 1) GLOB '[{CJK_RANGES}]'"
    pair = f"CASE WHEN {is_letter} THEN ' ' || substr(small, n, 2) || ' ' ELSE substr(small, n, 1) END"
    pairs = f"(SELECT group_concat({pair}, '') FROM search_numbers WHERE n <= length(small) - (length(small) > {SMALL}))"
    of_large = _pieces("small", "large", f"length(large) - (length(large) > {_LARGE})", SMALL, pairs)
    has_letter = f"length(CAST({text} AS BLOB)) > length({text}) AND {text} GLOB '*[{CJK_RANGES}]*'"  # the first is cheap
    return f"CASE WHEN {has_letter} THEN {_pieces('large', text, f'length({text})', _LARGE, of_large)} ELSE {text} END"


def _pieces(name: str, whole: str, chars: str, size: int, of_each: str) -> str:
    """SQL: what `of_each` says of the pieces of a text, one after the other; each has the first letter of the next as well."""
    return f"""(WITH RECURSIVE {name}_pieces(at, {name}) AS (
        SELECT 1, substr({whole}, 1, {size + 1})
        UNION ALL SELECT at + {size}, substr({whole}, at + {size}, {size + 1}) FROM {name}_pieces WHERE at + {size} <= {chars})
        SELECT group_concat({of_each}, '') FROM {name}_pieces)"""
