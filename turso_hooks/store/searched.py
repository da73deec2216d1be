"""What is searched: which rows, what of them, and as which words. Pure.

Chinese, Japanese and Korean have no blanks between words. What holds such a letter is indexed as pairs of neighbours, with what
else is in it as it is: `see 数据库` as the words `see`, `数据`, `据库`, `库`.
"""

from __future__ import annotations

from dataclasses import dataclass

CJK_RANGES = (
    "\u1100-\u11ff\u2e80-\u2fdf\u3040-\u30ff\u3105-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
"""The letters of Chinese, Japanese and Korean, as ranges of characters (https://www.unicode.org/Public/UNIDATA/Blocks.txt)."""

MOST_OUTPUT_CHARS = 4096
"""Of a tool's output, and of what it is called with: what comes later is not found."""

MOST_TEXT_CHARS = 1_000_000
"""The same of a message."""

_SECOND_BITS, _NUMBER_BITS, _KIND_BITS = 33, 27, 3
_KEY_BITS = _NUMBER_BITS + _KIND_BITS
KIND = 2**_KIND_BITS - 1
"""The bits of a key that say of which table its row is."""

WITHOUT_TEXT = 4
"""The bit of a key whose row has a key, but nothing in the index."""

_LARGE, SMALL = 4096, 64
"""The pieces in which a text is gone through: `substr` counts from its beginning, so letter by letter would take hours."""


@dataclass(frozen=True)
class SearchedTable:
    """A table whose rows are searched."""

    kind: int
    """The lowest bits of its keys, less than `WITHOUT_TEXT`."""
    table: str
    reads: tuple[str, ...]
    """The columns that its text is made from."""
    text: str
    """SQL: the text that is searched; `{row}` stands for the row."""
    condition: str = "true"
    """SQL: which rows have a text at all."""
    is_elsewhere: str = "false"
    """SQL: whether what a row says is in the index by another row already."""

    def text_of(self, row: str) -> str:
        """SQL: what of a row is searched."""
        return self.text.format(row=row)

    def waits(self, row: str) -> str:
        """SQL: whether a row is to be put into the index."""
        return f"{row}.search_key IS NULL AND {self.condition.format(row=row)}"


def _lines(*values: str) -> str:
    return " || char(10) || ".join(f"coalesce({value}, '')" for value in values)


def _unquoted(column: str) -> str:
    """SQL: the beginning of JSON, or of other text, without what JSON makes of quotes, line ends and the like."""
    text = f"substr({{row}}.{column}, 1, {MOST_OUTPUT_CHARS})"
    for escaped in ("\\\\", '\\"', "\\n", "\\t", "\\r"):
        text = f"replace({text}, '{escaped}', ' ')"
    return text


_CONTENT = f"substr({{row}}.content, 1, CASE {{row}}.role WHEN 'tool' THEN {MOST_OUTPUT_CHARS} ELSE {MOST_TEXT_CHARS} END)"

_REASONING = """CASE WHEN instr({row}.parts, '"reasoning"') AND json_valid({row}.parts) THEN (
    SELECT group_concat(json_extract(value, '$.text'), char(10)) FROM json_each({row}.parts)
    WHERE type = 'object' AND json_extract(value, '$.type') = 'reasoning') END"""

_IS_OUTPUT_OF_CALL = """{row}.role = 'tool' AND {row}.tool_call_id IS NOT NULL AND EXISTS (
    SELECT 1 FROM tool_executions AS call WHERE call.id = {row}.session_id || ':tool_call:' || {row}.tool_call_id
    AND (call.output IS NOT NULL OR call.error IS NOT NULL))"""
"""A tool's output is a message as well: in many logs half of all text."""

SESSIONS = SearchedTable(0, "sessions", ("title", "error_message"), _lines("{row}.title", "{row}.error_message"))
MESSAGES = SearchedTable(
    1, "messages", ("content", "parts", "role"), _lines(_CONTENT, _REASONING), is_elsewhere=_IS_OUTPUT_OF_CALL
)
TOOL_EXECUTIONS = SearchedTable(
    2,
    "tool_executions",
    ("tool_name", "input", "output", "error"),
    _lines("{row}.tool_name", _unquoted("input"), _unquoted("output"), f"substr({{row}}.error, 1, {MOST_OUTPUT_CHARS})"),
)
MODEL_CALLS = SearchedTable(3, "model_calls", ("error",), _lines("{row}.error"), "{row}.error IS NOT NULL")
SEARCHED = (SESSIONS, MESSAGES, TOOL_EXECUTIONS, MODEL_CALLS)


def second_of(row: str) -> str:
    """SQL: the second of a row's time, as its key has it; times before 1970 and after 2242 are cut."""
    return f"max(0, min({2**_SECOND_BITS - 1}, coalesce({row}.occurred_ms, 0) / 1000))"


def smallest_key(occurred_ms: int) -> int:
    """The smallest key of anything that happened in the second of `occurred_ms` or later."""
    second = max(0, min((1 << _SECOND_BITS) - 1, occurred_ms // 1000))
    return second << _KEY_BITS


def milliseconds_of_key(key: int) -> int:
    """When what has a key happened: the beginning of that second, in milliseconds since 1970."""
    return (key >> _KEY_BITS) * 1000


def output_is_elsewhere(row: str) -> str:
    """SQL: whether a message is the output of a tool call that has it too."""
    return _IS_OUTPUT_OF_CALL.format(row=row)


def new_key(searched: SearchedTable, second: str, number: str, kind: str) -> str:
    """SQL: the `number`-th new key of a second, counted on from those that are taken, or were and are in the index still."""
    here = f"BETWEEN {second} << {_KEY_BITS} AND (({second} + 1) << {_KEY_BITS}) - 1"
    of_row = searched.condition.format(row=searched.table)
    keys = (
        f"SELECT max(search_key) FROM {searched.table} WHERE search_key {here} AND {of_row}",
        f"SELECT max(key) FROM search_removed WHERE key {here}",
    )
    taken = ", ".join(f"coalesce(({each}) >> {_KIND_BITS} & {2**_NUMBER_BITS - 1}, 0)" for each in keys)
    return f"({second} << {_KEY_BITS}) + ((max({taken}) + {number}) << {_KIND_BITS}) + {kind}"


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
