"""What is searched: which rows, and what of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MOST_OUTPUT_CHARS = 4096
"""Of a tool's output, and of what it is called with: what comes later is not found."""

MOST_TEXT_CHARS = 1_000_000
"""The same of a message."""


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


def output_is_elsewhere(row: str) -> str:
    """SQL: whether a message is the output of a tool call that has it too."""
    return _IS_OUTPUT_OF_CALL.format(row=row)
