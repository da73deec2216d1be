"""A conversation as Markdown (CommonMark), for an issue, a page, a notebook.

What was said is Markdown most of the time and stays that, in a quotation, so that it cannot pass for what we write. HTML and
pictures in it become text, and what defines links for others code: whoever looks at the page should not have their browser do
what somebody once wrote. What tools were given and have printed is code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from markdown_it import MarkdownIt
from markdown_it.token import Token

from turso_hooks.cli.reading.outline import (
    MARKS,
    Entry,
    facts_of,
    others_of,
    outline,
    reasoning_of,
    said,
    shortened,
    sums_of,
    tool_text,
)
from turso_hooks.cli.text import one_line
from turso_hooks.query import Conversation, Message, Note, ToolCall

Block: TypeAlias = list[str]
"""Lines that belong together."""

_DEEPEST = 6
"""Level of headings."""

_DEEPEST_PARSED, _MARGIN = 100, 5
"""Levels of quotations and lists that are looked at, and how near to their end nothing is believed any more."""

_PARSED_CHARS = 200_000
"""What is longer is no prose, and is code, for it takes long to be parsed."""

_SPECIAL = re.compile(r"[\\`*_\[\]<>~&|]|^[#+=-]|(?<=\d)[.)](?=\s|$)")
_CODE = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)")
_FENCE = re.compile(r"`{3,}|~{3,}")
_ACTIVE = {"html_block", "html_inline", "image"}
_SCHEMES = {"http", "https", "mailto"}
"""Of links that stay what they are."""


def markdown(conversation: Conversation, *, is_whole: bool) -> str:
    """A session with all that is in it; `is_whole` shows long texts to their end."""
    return "\n".join(_joined(_document(conversation, is_whole=is_whole, level=1))) + "\n"


def _joined(blocks: Iterable[Block]) -> Block:
    """Blocks as one, with an empty line between two."""
    lines = [line for block in blocks if block for line in (*block, "")]
    return lines[:-1]


def _document(conversation: Conversation, *, is_whole: bool, level: int) -> Iterator[Block]:
    session = conversation.session
    yield [f"{'#' * level} {_plain(shortened(session.title or session.session_id))}"]
    yield [
        _plain(" · ".join((*facts_of(session), session.status))) + "  ",
        f"session {_code(session.session_id)}",
    ]
    if session.error_message:
        yield _fenced(tool_text(session.error_message, is_whole=is_whole))
    for part in outline(conversation):
        if isinstance(part, Conversation):
            yield _quoted(_joined(_document(part, is_whole=is_whole, level=min(level + 1, _DEEPEST))))
        else:
            yield from _entry(part, is_whole=is_whole)
    yield ["---"]
    yield [sums_of(conversation)]


def _entry(entry: Entry, *, is_whole: bool) -> Iterator[Block]:
    if isinstance(entry, Message):
        yield [f"**{_plain(shortened(entry.role))}**"]
        for thought in reasoning_of(entry):
            yield _quoted(_fenced(thought))
        yield _harmless(said(entry, is_whole=is_whole))
        for other in others_of(entry):
            yield _fenced(other)
    elif isinstance(entry, ToolCall):
        took = "" if entry.duration_ms is None else f" · {entry.duration_ms:,} ms"
        yield [f"{MARKS.get(entry.status, '…')} {_code(shortened(entry.tool_name))}{took}"]
        for value in (entry.input, entry.output, entry.error):
            if value is not None:
                yield _fenced(tool_text(value, is_whole=is_whole))
    elif isinstance(entry, Note):
        yield [f"• {_code(shortened(entry.name))}"]
        yield _fenced(tool_text(entry.payload, is_whole=False))
    else:
        yield [f"{MARKS['error']} model call failed"]
        yield _fenced(tool_text(entry.error, is_whole=is_whole))


def _harmless(text: str) -> Block:
    """What was said, quoted: as it is, if nothing in it does anything, else with as little escaped as is enough, or as code."""
    spaced = text.expandtabs(4)  # what a tab stands for depends on what is left of it
    if len(text) <= _PARSED_CHARS:
        for escaped in (str, _escaped_outside_of_code, _escaped):
            if not _is_active(tried := _quoted(escaped(spaced).split("\n"))):
                return tried
    return _quoted(_fenced(text))


def _is_active(block: Block) -> bool:
    parser = MarkdownIt("commonmark", {"maxNesting": _DEEPEST_PARSED})
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # noqa: ARG005  # that we do: others may not
    known: dict[str, Any] = {}
    try:
        tokens = list(_flat(parser.parse("\n".join(block), known)))
    except RecursionError:
        return True
    if any(token.level >= _DEEPEST_PARSED - _MARGIN for token in tokens):  # what is deeper was not looked at
        return True
    defines = bool(known.get("references"))  # what others say may mean something else then
    return defines or any(token.type in _ACTIVE or _leads_astray(token) for token in tokens)


def _leads_astray(token: Token) -> bool:
    scheme, colon, _ = str(token.attrGet("href") or "").partition(":")
    return bool(colon) and "/" not in scheme and scheme.lower() not in _SCHEMES


def _escaped_outside_of_code(text: str) -> str:
    lines, fence = [], ""
    for line in text.split("\n"):
        mark = _FENCE.match(line.lstrip())
        if mark and not fence:
            fence = mark[0]
        elif mark and mark[0].startswith(fence):
            fence = ""
        elif not fence:
            line = _outside_of_spans(line)  # noqa: PLW2901
        lines.append(line)
    return "\n".join(lines)


def _outside_of_spans(line: str) -> str:
    pieces, at = [], 0
    for span in _CODE.finditer(line):
        pieces += [_escaped(line[at : span.start()]), span[0]]
        at = span.end()
    return "".join([*pieces, _escaped(line[at:])])


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("![", "!\\[")


def _flat(tokens: list[Token] | None) -> Iterator[Token]:
    for token in tokens or ():
        yield token
        yield from _flat(token.children)


def _plain(text: str) -> str:
    """Text in one line in which nothing is Markdown."""
    return _SPECIAL.sub(r"\\\g<0>", one_line(text).strip())


def _code(text: str) -> str:
    """Text as code in a line."""
    shown = one_line(text)
    ticks = "`" * (_longest_run(shown, "`") + 1)
    return f"{ticks} {shown} {ticks}" if len(ticks) > 1 else f"`{shown}`"


def _fenced(text: str) -> Block:
    """Text, with control characters made visible already, as a block of code."""
    fence = "`" * max(3, _longest_run(text, "`") + 1)
    return [fence, *text.split("\n"), fence]


def _longest_run(text: str, letter: str) -> int:
    return max((len(run) for run in re.findall(f"{letter}+", text)), default=0)


def _quoted(block: Block) -> Block:
    return [f"> {line}" if line else ">" for line in block]
