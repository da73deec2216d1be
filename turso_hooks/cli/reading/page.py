"""A conversation as a page of HTML that needs nothing else: no script, no font, no picture from anywhere.

What was said is rendered as Markdown without HTML in it; a policy in the page forbids scripts and loading all the same.
Pictures are shown where they came as data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Any

from markdown_it import MarkdownIt

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
from turso_hooks.cli.text import one_line, visible, when
from turso_hooks.query import Conversation, Message, ModelCall, Note, SessionSummary, ToolCall

_PARSED_CHARS = 200_000
"""What is longer is no prose, and takes long to be parsed: it is shown as it is."""

_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+")
_SCHEMES = ("http:", "https:", "mailto:")
_DEEPEST = 6

_STYLE = """
:root { color-scheme: light dark; --text: #1c2024; --dim: #60646c; --back: #fbfbfc; --card: #fff; --line: #e3e5e8;
--user: #3b6fd4; --assistant: #2a8a5a; --tool: #b06f12; --bad: #c33636; --code: #f3f4f6; } @media
(prefers-color-scheme: dark) { :root { --text: #e6e8eb; --dim: #9ba1a6; --back: #111315; --card: #191c1f; --line:
#2c3035; --user: #7aa5f5; --assistant: #5fc795; --tool: #dfa652; --bad: #f07b7b; --code: #22262a; } } * { box-sizing:
border-box } body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.55 system-ui, -apple-system,
"Segoe UI", sans-serif } main { max-width: 54rem; margin: 0 auto; padding: 2rem 1rem 4rem } h1 { font-size: 1.5rem;
line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere } h2, h3, h4, h5, h6 { font-size: 1.1rem; margin: 0 0
.25rem; overflow-wrap: anywhere } .facts, .sums, time, .took { color: var(--dim); font-size: .85rem } .facts, .sums {
overflow-wrap: anywhere } .sums { margin: 1rem 0 0; padding-top: .5rem; border-top: 1px solid var(--line) } article +
article { margin-top: 3rem; border-top: 3px double var(--line); padding-top: 2rem } section { background: var(--card);
border: 1px solid var(--line); border-left: 3px solid var(--dim); border-radius: .5rem; margin: .75rem 0; padding:
.6rem .9rem; overflow-wrap: anywhere } section.user { border-left-color: var(--user) } section.assistant {
border-left-color: var(--assistant) } section header { display: flex; justify-content: space-between; gap: 1rem;
font-size: .85rem; font-weight: 600 } section.user header b { color: var(--user) } section.assistant header b { color:
var(--assistant) } section > :last-child { margin-bottom: 0 } p, ul, ol, blockquote, table { margin: .5rem 0 }
blockquote { border-left: 3px solid var(--line); padding-left: .75rem } pre { background: var(--code); border-radius:
.35rem; padding: .6rem .75rem; margin: .5rem 0; overflow-x: auto; max-height: 30rem; white-space: pre-wrap;
overflow-wrap: anywhere } code, pre { font: .85em/1.45 ui-monospace, SFMono-Regular, Menlo, monospace } p code, li
code { background: var(--code); border-radius: .25rem; padding: .1em .3em } img { max-width: 100%; border-radius:
.35rem } table { border-collapse: collapse; display: block; overflow-x: auto } td, th { border: 1px solid var(--line);
padding: .25rem .5rem } details { margin: .75rem 0; border: 1px solid var(--line); border-radius: .5rem; background:
var(--card); padding: .4rem .9rem } details.error, .failed { border-color: var(--bad) } .failed { color: var(--bad) }
summary { cursor: pointer; overflow-wrap: anywhere } summary b { color: var(--tool); font-family: ui-monospace, Menlo,
monospace } details.child { margin-left: 1.5rem; background: none } details.thought { border-style: dashed; color:
var(--dim) } a { color: inherit } nav li { margin: .35rem 0 }
section h1, section h2, section h3, details.system h1, details.system h2 { font-size: 1.05rem; margin: .75rem 0 .25rem }
header time { font-weight: 400 } details.system > summary time { float: right }
"""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def beginning(title: str) -> str:
    """The beginning of a page."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="generator" content="turso-hooks">\n'
        f"<title>{_line(title)}</title>\n<style>{_STYLE}</style></head>\n<body><main>\n"
    )


END = "</main></body></html>\n"


def title_of(session: SessionSummary) -> str:
    """What a session is called."""
    return shortened(session.title or session.session_id)


def article(conversation: Conversation, *, is_whole: bool) -> Iterator[str]:
    """A conversation, within a page."""
    yield "<article>\n"
    yield from _conversation(conversation, is_whole=is_whole, level=1)
    yield "</article>\n"


def index(pages: list[tuple[str, SessionSummary]]) -> Iterator[str]:
    """A page that leads to others: their file names, and what is on them."""
    yield beginning("Conversations")
    yield "<h1>Conversations</h1>\n<nav><ul>\n"
    for name, session in pages:
        facts = " · ".join((*facts_of(session), session.status))
        yield f'<li><a href="{escape(name)}">{_line(title_of(session))}</a> <span class="facts">{_line(facts)}</span></li>\n'
    yield f"</ul></nav>\n{END}"


def _conversation(conversation: Conversation, *, is_whole: bool, level: int) -> Iterator[str]:
    session = conversation.session
    facts = " · ".join((*facts_of(session), session.status))
    yield f"<h{level}>{_line(title_of(session))}</h{level}>\n"
    yield f'<p class="facts">{_line(facts)}<br>session {_line(session.session_id)}</p>\n'
    if session.error_message:
        yield f'<pre class="failed">{escape(tool_text(session.error_message, is_whole=is_whole))}</pre>\n'
    for part in outline(conversation):
        if isinstance(part, Conversation):
            yield f'<details class="child" open><summary>sub-agent <b>{_line(part.session.agent_type)}</b></summary>\n'
            yield from _conversation(part, is_whole=is_whole, level=min(level + 1, _DEEPEST))
            yield "</details>\n"
        else:
            yield from _entry(part, is_whole=is_whole)
    yield f'<p class="sums">{_line(sums_of(conversation))}</p>\n'


def _entry(entry: Entry, *, is_whole: bool) -> Iterator[str]:
    if isinstance(entry, Message):
        yield from _message(entry, is_whole=is_whole)
    elif isinstance(entry, ToolCall):
        took = "" if entry.duration_ms is None else f" · {entry.duration_ms:,} ms"
        kind = "error" if entry.status == "error" else "call"
        yield f'<details class="{kind}"><summary>{MARKS.get(entry.status, "…")} <b>{_line(shortened(entry.tool_name))}</b>'
        yield f'<span class="took">{took} · {when(entry.occurred_at)}</span></summary>\n'
        yield from (_code(tool_text(value, is_whole=is_whole)) for value in (entry.input, entry.output) if value is not None)
        if entry.error is not None:
            yield f'<pre class="failed">{escape(tool_text(entry.error, is_whole=is_whole))}</pre>\n'
        yield "</details>\n"
    elif isinstance(entry, Note):
        yield f"<details><summary>• {_line(shortened(entry.name))}</summary>\n"
        yield f"{_code(tool_text(entry.payload, is_whole=is_whole))}</details>\n"
    elif isinstance(entry, ModelCall):
        text = escape(tool_text(entry.error, is_whole=is_whole))
        yield f'<section class="failed">{MARKS["error"]} model call failed<pre>{text}</pre></section>\n'


def _message(message: Message, *, is_whole: bool) -> Iterator[str]:
    role = message.role if message.role in {"user", "assistant", "system", "tool"} else "other"
    heading = f"<b>{_line(shortened(message.role))}</b><time>{when(message.occurred_at)}</time>"
    if role == "system":  # long, and always the same
        yield f'<details class="system"><summary>{heading}</summary>\n{_rendered(said(message, is_whole=is_whole))}</details>\n'
        return
    yield f'<section class="{role}"><header>{heading}</header>\n'
    for thought in reasoning_of(message):
        yield f'<details class="thought"><summary>thought</summary>{_rendered(thought)}</details>\n'
    yield _rendered(said(message, is_whole=is_whole))
    for part in message.parts if isinstance(message.parts, list) else ():
        picture = _picture(part)
        if picture is not None:
            yield f'<p><img src="{escape(picture)}" alt="picture"></p>\n'
    yield from (_code(other) for other in others_of(message))
    yield "</section>\n"


def _picture(part: Any) -> str | None:
    """A picture that is in a message itself, as the URL that holds it."""
    url = part.get("url") if isinstance(part, dict) and part.get("type") == "file" else None
    return url if isinstance(url, str) and _PICTURE.fullmatch(url) else None


def _rendered(text: str) -> str:
    if len(text) > _PARSED_CHARS:
        return _code(text)
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable("image")
    parser.validateLink = lambda url: url.lower().startswith(_SCHEMES) or ":" not in url  # type: ignore[method-assign]
    try:
        return str(parser.render(text))
    except RecursionError:
        return _code(text)


def _code(text: str) -> str:
    return f"<pre>{escape(text)}</pre>\n"


def _line(text: str) -> str:
    return escape(visible(one_line(text)))
