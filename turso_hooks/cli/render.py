"""A conversation for people: messages, tool calls where they happened, sub-agents inside the calls that started them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from turso_hooks.cli.text import one_line, plural, visible, when
from turso_hooks.query import Conversation, Hit, Message, ModelCall, Note, SessionSummary, ToolCall

_INDENT = (0, 0, 0, 2)
_SHOWN_LINES, _SHOWN_CHARS = 12, 2000
"""How much of a tool's input or output is shown unless all of it is asked for."""

_PIPE_COLUMNS = 10_000
"""Wide enough for any line: who reads a pipe breaks lines as they like."""

_SHORTEST_BEGINNING = 12
"""Characters of a session's id in a table; of our own ids these are the millisecond."""

_WIDEST_BEGINNING = 20
"""Columns; what is longer goes on in the next line, for cut it would name nothing."""

_COUNTS_FROM_COLUMNS = 100
"""In a narrower terminal the title is the more wanted."""

_MINUTES_FROM_S = 120
"""From here on a duration is shown as hours, minutes, seconds."""

_STATUS_STYLES = {"completed": "green", "error": "red", "cancelled": "yellow", "interrupted": "yellow", "running": "cyan"}
_ROLE_STYLES = {"user": "bold cyan", "assistant": "bold green", "system": "bold magenta"}


def show(rendered: RenderableType) -> None:
    """Print to the terminal at its width; to a pipe without colours, broken lines and the blanks that fill a line."""
    terminal = Console(highlight=False)
    if terminal.is_terminal:
        terminal.print(rendered)
        return
    pipe = Console(highlight=False, width=_PIPE_COLUMNS, no_color=True)
    with pipe.capture() as captured:
        pipe.print(rendered)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def render_conversation(conversation: Conversation, *, is_whole: bool) -> RenderableType:
    """A session with all that is in it; `is_whole` shows long inputs and outputs to their end."""
    header = _header(conversation.session)
    return Group(header, Text(), *_body(conversation, is_whole=is_whole))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text to the terminal, under the names of their columns."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text(one_line(column)), overflow="ellipsis")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)


def render_hit(hit: Hit) -> RenderableType:
    """Something that was found, in two lines: where it is, and what of it."""
    names = [hit.kind.replace("_", " "), hit.role or hit.tool_name, hit.agent_type, hit.session_title]
    where = Text(f"{when(hit.occurred_at)}  ", style="dim").append(one_line(hit.session_id), style="cyan")
    where.append(f"  {one_line(' · '.join(name for name in names if name))}", style="dim")
    what = Text()
    for piece in hit.snippet:
        what.append(one_line(piece.text), style="bold yellow" if piece.is_match else "")
    return Group(where, _indented(what), Text())


def show_sessions(sessions: Sequence[SessionSummary]) -> None:
    """Print sessions to the terminal, one a line."""
    terminal = Console(highlight=False)
    terminal.print(_sessions_table(sessions, has_counts=terminal.width >= _COUNTS_FROM_COLUMNS))


def _sessions_table(sessions: Sequence[SessionSummary], *, has_counts: bool) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    counts = ("messages", "tools") if has_counts else ()
    for column in ("started", "session", "agent", "model", "status", *counts, "title"):
        # Where there is not room for all, the widest of those that may wrap is narrowed first; their texts are cut then.
        table.add_column(
            column,
            no_wrap=column not in {"agent", "model", "title"},
            max_width=_WIDEST_BEGINNING if column == "session" else None,
            justify="right" if column in counts else "left",
        )
    beginnings = _beginnings([session.session_id for session in sessions])
    for session, beginning in zip(sessions, beginnings, strict=True):
        table.add_row(
            f"{when(session.started_at):.16}",
            Text(one_line(beginning), no_wrap=False, overflow="fold"),
            _cell(session.agent_type),
            _cell(session.model),
            _status(session.status),
            *(f"{count:,}" for count in (session.message_count, session.tool_call_count) if has_counts),
            _cell(session.title or ""),
        )
    return table


def _cell(text: str) -> Text:
    return Text(one_line(text), no_wrap=True, overflow="ellipsis")


def _beginnings(session_ids: list[str]) -> list[str]:
    """Of each id a beginning that no other one has, and of `_SHORTEST_BEGINNING` characters at least."""
    ordered = sorted(session_ids)
    shared = [_shared_chars(*pair) for pair in pairwise(ordered)]
    needed = zip(ordered, [0, *shared], [*shared, 0], strict=True)
    lengths = {one: max(_SHORTEST_BEGINNING, before + 1, after + 1) for one, before, after in needed}
    return [one[: lengths[one]] for one in session_ids]


def session_line(session: SessionSummary) -> str:
    """A session as one line of fields separated by tabs, for other programs."""
    started = session.started_at.isoformat() if session.started_at else ""
    counted = (str(session.message_count), str(session.tool_call_count))
    fields = (session.session_id, started, session.agent_type, session.model, session.status, *counted, session.title or "")
    return "\t".join(one_line(field) for field in fields)


def _shared_chars(one: str, other: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _header(session: SessionSummary) -> RenderableType:
    title = Text(visible(session.title or session.session_id), style="bold")
    names = f"{session.model} ({session.provider})" if session.provider else session.model
    facts = [session.agent_type, names, session.runner, session.project, when(session.started_at), _duration(session)]
    line = Text(" · ").join([Text(visible(fact)) for fact in facts if fact] + [_status(session.status)])
    lines = [title, line, Text(f"session {visible(session.session_id)}", style="dim")]
    if session.error_message:
        lines.append(Text(visible(session.error_message), style="red"))
    return Group(*lines)


def _body(conversation: Conversation, *, is_whole: bool) -> Iterator[RenderableType]:
    answers = [call for call in conversation.tool_calls if call.output is not None or call.error]
    executed = {call.tool_call_id for call in answers if call.tool_call_id}
    children = list(conversation.children)
    for entry in _in_order(conversation):
        if isinstance(entry, Message):
            if entry.role != "tool" or entry.tool_call_id not in executed:
                yield from _message(entry)
        elif isinstance(entry, ToolCall):
            yield from _tool_call(entry, is_whole=is_whole)
            call_id = entry.tool_call_id
            for child in [child for child in children if call_id and child.session.parent_tool_call_id == call_id]:
                children.remove(child)
                yield _sub_agent(child, is_whole=is_whole)
        elif isinstance(entry, Note):
            yield Text(f"• {visible(entry.name)} {_short(entry.payload, is_whole=False)}", style="dim")
        elif entry.error:
            yield Text(f"✗ model call failed: {visible(entry.error)}", style="red")
    for child in children:
        yield _sub_agent(child, is_whole=is_whole)
    yield _summary(conversation)


def _in_order(conversation: Conversation) -> list[Message | ToolCall | ModelCall | Note]:
    """Everything in a session in reading order; a message stands before the calls of its moment, which it asked for."""
    entries: list[Message | ToolCall | ModelCall | Note] = []
    for kind in (conversation.messages, conversation.tool_calls, conversation.notes, conversation.model_calls):
        entries += kind
    return sorted(entries, key=_moment)


def _moment(entry: Message | ToolCall | ModelCall | Note) -> tuple[float, float]:
    time = entry.occurred_at.timestamp() if entry.occurred_at else 0.0
    return (time, float("inf") if entry.position is None else entry.position)


def _message(message: Message) -> Iterator[RenderableType]:
    pieces = list(_pieces(message))
    if pieces:
        yield Text(visible(message.role), style=_ROLE_STYLES.get(message.role, "bold"))
        yield _indented(*pieces)
        yield Text()


def _pieces(message: Message) -> Iterator[RenderableType]:
    parts = message.parts if isinstance(message.parts, list) else []
    for part in parts:
        if isinstance(part, dict) and part.get("type") == "reasoning":
            yield Text(visible(str(part.get("text", ""))), style="dim italic")
    if message.content and message.content.strip():
        yield Text(visible(message.content.strip()))
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "file":
            yield Text(f"[{visible(part.get('name') or part.get('url') or 'file')[:200]}]", style="dim")
        elif kind not in {"text", "reasoning", "tool_call"} and not isinstance(part, str):
            yield Text(_short(part, is_whole=False), style="dim")


def _tool_call(call: ToolCall, *, is_whole: bool) -> Iterator[RenderableType]:
    mark = {"completed": "✓", "error": "✗", "cancelled": "-"}.get(call.status, "…")
    line = Text(f"{mark} ", style=_STATUS_STYLES.get(call.status, ""))
    line.append(visible(call.tool_name), style="bold yellow")
    line.append(f" {_short(call.input, is_whole=is_whole)}")
    if call.duration_ms is not None:
        line.append(f"  {call.duration_ms:,} ms", style="dim")
    pieces: list[RenderableType] = []
    if call.output is not None:
        pieces.append(Text(_short(call.output, is_whole=is_whole), style="dim"))
    if call.error:
        pieces.append(Text(visible(call.error), style="red"))
    yield _indented(line, _indented(*pieces))
    yield Text()


def _sub_agent(child: Conversation, *, is_whole: bool) -> RenderableType:
    panel = Panel(
        Group(_header(child.session), Text(), *_body(child, is_whole=is_whole)),
        title=Text(f"sub-agent {visible(child.session.agent_type)}"),
        title_align="left",
        border_style="dim",
        expand=False,
    )
    return _indented(panel, Text())


def _summary(conversation: Conversation) -> Text:
    numbers = {
        "message": len(conversation.messages),
        "tool call": len(conversation.tool_calls),
        "model call": len(conversation.model_calls),
    }
    facts = [plural(number, noun) for noun, number in numbers.items() if number]
    tokens = [sum(getattr(call, name) or 0 for call in conversation.model_calls) for name in ("input_tokens", "output_tokens")]
    if any(tokens):
        facts.append(f"{tokens[0]:,} tokens in, {tokens[1]:,} out")
    cost = sum(call.cost_usd or 0 for call in conversation.model_calls)
    if cost:
        facts.append(f"${cost:.4f}")
    return Text(" · ".join(facts), style="dim")


def _indented(*pieces: RenderableType) -> RenderableType:
    return Padding(Group(*pieces), _INDENT, expand=False)


def _short(value: Any, *, is_whole: bool) -> str:
    """A tool's input or output as text, cut to what is comfortable to read."""
    if value is None:
        return ""
    text = visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).strip()
    if is_whole:
        return text
    lines = text.splitlines()
    shown = "\n".join(lines[:_SHOWN_LINES])[:_SHOWN_CHARS]
    return shown if len(shown) == len(text) else f"{shown}\n… ({len(text) - len(shown):,} characters more: --full)"


def _status(status: str) -> Text:
    return Text(visible(status), style=_STATUS_STYLES.get(status, ""))


def _duration(session: SessionSummary) -> str | None:
    if session.started_at is None or session.ended_at is None:
        return None
    lasted_s = (session.ended_at - session.started_at).total_seconds()
    return f"{lasted_s:.1f} s" if lasted_s < _MINUTES_FROM_S else str(timedelta(seconds=round(lasted_s)))
