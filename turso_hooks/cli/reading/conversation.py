"""A conversation for people: messages, tool calls where they happened, sub-agents inside the calls that started them."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

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
from turso_hooks.cli.text import is_terminal, visible
from turso_hooks.query import Conversation, Message, Note, SessionSummary, ToolCall

_INDENT = (0, 0, 0, 2)
_PIECE_CHARS = 50_000

STATUS_STYLES = {"completed": "green", "error": "red", "cancelled": "yellow", "interrupted": "yellow", "running": "cyan"}
_ROLE_STYLES = {"user": "bold cyan", "assistant": "bold green", "system": "bold magenta"}


def render_conversation(conversation: Conversation, *, is_whole: bool) -> Iterator[RenderableType]:
    """A session with all that is in it, one below the other; `is_whole` shows long texts to their end."""
    yield render_header(conversation.session)
    yield Text()
    for part in outline(conversation):
        if isinstance(part, Conversation):
            yield _sub_agent(part, is_whole=is_whole)
        elif piece := render_entry(part, is_whole=is_whole):
            yield piece
    yield Text(sums_of(conversation), style="dim")


def render_header(session: SessionSummary) -> RenderableType:
    """What there is to say about a session."""
    title = Text(visible(shortened(session.title or session.session_id)), style="bold")
    line = Text(" · ").join([*map(Text, facts_of(session)), render_status(session.status)])
    lines = [title, line, Text(f"session {visible(session.session_id)}", style="dim")]
    if session.error_message:
        lines.append(Text(tool_text(session.error_message, is_whole=False), style="red"))
    return Group(*lines)


def render_status(status: str) -> Text:
    """A status in its colour."""
    return Text(visible(status), style=STATUS_STYLES.get(status, ""))


def render_entry(entry: Entry, *, is_whole: bool) -> RenderableType | None:
    """Something in a conversation, with an empty line below; None for a message without anything in it."""
    if isinstance(entry, Message):
        return _message(entry, is_whole=is_whole)
    if isinstance(entry, ToolCall):
        return _tool_call(entry, is_whole=is_whole)
    if isinstance(entry, Note):
        return Text(f"• {visible(entry.name)} {tool_text(entry.payload, is_whole=False)}", style="dim")
    return Text(f"✗ model call failed: {visible(entry.error)}", style="red")


def indented(*pieces: RenderableType) -> RenderableType:
    """Pieces below each other, a bit to the right."""
    return Padding(Group(*pieces), _INDENT, expand=False)


def _message(message: Message, *, is_whole: bool) -> RenderableType | None:
    pieces = [piece for thought in reasoning_of(message) for piece in _texts(thought, "dim italic")]
    if text := said(message, is_whole=is_whole):
        pieces += _texts(text)
    pieces += [Text(other, style="dim") for other in others_of(message)]
    if not pieces:
        return None
    return Group(Text(visible(message.role), style=_ROLE_STYLES.get(message.role, "bold")), indented(*pieces), Text())


def _texts(text: str, style: str = "") -> Iterator[Text]:
    """A text in pieces, between lines if it may be: what rich needs for one grows with the square of its length."""
    at = 0
    while len(text) - at > _PIECE_CHARS:
        end = text.rfind("\n", at, at + _PIECE_CHARS)
        yield Text(text[at : end if end >= 0 else at + _PIECE_CHARS], style=style)
        at = end + 1 if end >= 0 else at + _PIECE_CHARS
    yield Text(text[at:], style=style)


def _tool_call(call: ToolCall, *, is_whole: bool) -> RenderableType:
    line = Text(f"{MARKS.get(call.status, '…')} ", style=STATUS_STYLES.get(call.status, ""))
    line.append(visible(shortened(call.tool_name)), style="bold yellow")
    line.append(f" {tool_text(call.input, is_whole=is_whole)}")
    if call.duration_ms is not None:
        line.append(f"  {call.duration_ms:,} ms", style="dim")
    pieces: list[Text] = []
    if call.output is not None:
        pieces += _texts(tool_text(call.output, is_whole=is_whole), "dim")
    if call.error:
        pieces += _texts(tool_text(call.error, is_whole=is_whole), "red")
    return Group(indented(line, indented(*pieces)), Text())


def _sub_agent(child: Conversation, *, is_whole: bool) -> RenderableType:
    title = Text(f"sub-agent {visible(shortened(child.session.agent_type))}")
    body = render_conversation(child, is_whole=is_whole)
    if not is_terminal():  # a box is as wide as its widest line, in each of its lines
        return indented(title, indented(*body), Text())
    return indented(Panel(Group(*body), title=title, title_align="left", border_style="dim", expand=False), Text())
