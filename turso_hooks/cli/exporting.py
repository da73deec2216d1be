"""`export`: conversations in the forms of other programs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import click

from turso_hooks.cli.options import database_option, json_text, settings_for
from turso_hooks.cli.reading.completing import complete_session
from turso_hooks.cli.reading.filtering import filter_options, given
from turso_hooks.cli.text import plural, remark
from turso_hooks.query import Reader, SessionFilters, SessionSummary, connect_sync
from turso_hooks.query.pages import iter_pages
from turso_hooks.query.sessions import MOST_DEEP

_AT_ONCE = 100

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
_MOST_NAME_CHARS = 100

Write = Callable[[Reader, SessionSummary], Iterable[str]]
"""Makes the text of a session, in pieces."""


@click.group("export")
def export_command() -> None:
    """Write conversations in the forms of other programs, one after the other, the newest first."""


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        (
            click.argument("session_ids", metavar="[SESSION_ID]...", nargs=-1, shell_complete=complete_session),
            database_option,
            click.option("-o", "--output", type=click.Path(), default="-", help="The file; else standard output."),
            click.option("--text", metavar="WORDS", help="That contain these words; see turso-hooks search."),
            filter_options,
        )
    ):
        command = option(command)
    return command


@export_command.command("jsonl")
@_options
def jsonl_command(**named: Any) -> None:
    """The events that would log it again, JSON Lines that `import jsonl` reads: nothing is missing.

    A line is {"type": "message_added", "session_id": …}, with the fields of the events of the documentation; those of a
    conversation stand together, its start first.
    """
    _export(_events, **named)


@export_command.command("openai-chat")
@_options
def openai_chat_command(**named: Any) -> None:
    """Messages of OpenAI's Chat Completions API, JSON Lines that `import openai-chat` reads again.

    A line is {"messages": […], "metadata": {…}}. Each tool call has its answer. Not in it: thoughts, when a message was said,
    model calls, notes, files that are no images.
    """
    _export(_openai_chat, **named)


@export_command.command("anthropic")
@_options
def anthropic_command(**named: Any) -> None:
    """Messages of Anthropic's API, JSON Lines.

    A line is {"messages": […], "system": "…", "metadata": {…}}. Each tool call has its answer. Not in it: thoughts without a
    signature, when a message was said, model calls, notes.
    """
    _export(_anthropic, **named)


@export_command.command("markdown")
@_options
@click.option("--full", "is_whole", is_flag=True, help="Write long texts to their end.")
def markdown_command(is_whole: bool, **named: Any) -> None:
    """Markdown, for people: as `show --markdown`, sub-agents within what started them."""
    _export(partial(_markdown, is_whole=is_whole), is_nested=True, **named)


@export_command.command("html")
@_options
@click.option("--full", "is_whole", is_flag=True, help="Write long texts to their end.")
def html_command(is_whole: bool, output: str, **named: Any) -> None:
    """A page to look at and to hand on, with nothing in it that a browser would have to fetch or run.

    With -o FOLDER/ a page for each conversation and one that leads to them; else one page with all of them. Sub-agents are
    within what started them.
    """
    write = partial(_article, is_whole=is_whole)
    if output.endswith("/") or Path(output).is_dir():
        pages = _Pages(Path(output), write)
        _export(pages.write, output=os.devnull, is_nested=True, **named)
        pages.write_index()
    else:
        _export(write, output=output, is_nested=True, is_page=True, **named)


def _export(  # noqa: PLR0913  # options
    write: Write,
    *,
    session_ids: tuple[str, ...],
    database_url: str | None,
    output: str,
    text: str | None,
    is_nested: bool = False,
    is_page: bool = False,
    **filters: Any,
) -> None:
    chosen: SessionFilters = {**given(filters), **({"text": text} if text is not None else {})}
    if session_ids and chosen:
        raise click.UsageError("either sessions are named, or filters say which are meant")
    written = 0
    is_watched = output != "-" and sys.stderr.isatty()
    with connect_sync(settings_for(database_url).database_url) as reader, _opened(output) as stream:
        if is_page:
            stream.write(_page().beginning("Conversations"))
        for session in _sessions(reader, session_ids, chosen):
            if is_nested and not session_ids and not chosen and _is_within_another(reader, session):
                continue
            stream.writelines(write(reader, session))
            written += 1
            if is_watched:
                click.echo(f"\r{plural(written, 'conversation')}", nl=False, err=True)
        if is_page:
            stream.write(_page().END)
    if is_watched:
        click.echo("\r", nl=False, err=True)
    if output != "-" or not written:
        remark(f"{plural(written, 'conversation')} written")


@contextmanager
def _opened(output: str) -> Iterator[TextIO]:
    """A stream to write to. A file is there when all of it is: what is broken off leaves what was there before."""
    path = Path(output)
    if output == "-":
        yield sys.stdout
    elif path.exists() and not path.is_file():  # a pipe, a device
        with path.open("w", encoding="utf-8") as stream:
            yield stream
    else:
        path = path.resolve()  # of a link, what it leads to
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8") as stream:
                yield stream
            if path.exists():
                part.chmod(path.stat().st_mode)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _sessions(reader: Reader, session_ids: tuple[str, ...], filters: SessionFilters) -> Iterator[SessionSummary]:
    if session_ids:
        for session_id in session_ids:
            yield reader.session_summary(session_id)
        return
    for page in iter_pages(partial(reader.list_sessions, limit=_AT_ONCE, **filters)):
        yield from page


def _is_within_another(reader: Reader, session: SessionSummary) -> bool:
    """Whether a session is a sub-agent's of one that is written: there it is, unless nobody began, or it is too deep to be."""
    known, parent_id = {session.session_id}, session.parent_session_id
    while parent_id is not None and len(known) < MOST_DEEP:
        found = reader.sql("SELECT parent_session_id FROM sessions WHERE id = ?", [parent_id]).rows
        if not found:
            return len(known) > 1
        if parent_id in known:
            return False
        known.add(parent_id)
        parent_id = found[0][0]
    return parent_id is None and len(known) > 1


def _events(reader: Reader, session: SessionSummary) -> Iterator[str]:
    for event in reader.events(session.session_id):
        yield f"{json_text(event)}\n"


def _openai_chat(reader: Reader, session: SessionSummary) -> Iterator[str]:
    yield json_text({**reader.to_messages(session.session_id), "metadata": _metadata(session)}) + "\n"


def _anthropic(reader: Reader, session: SessionSummary) -> Iterator[str]:
    request = reader.to_messages(session.session_id, format="anthropic")
    yield json_text({**request, "metadata": _metadata(session)}) + "\n"


def _metadata(session: SessionSummary) -> dict[str, Any]:
    """What `import openai-chat` knows of a session, and what else was kept of it."""
    known = {
        "id": session.session_id,
        "title": session.title,
        "agent_type": session.agent_type,
        "model": session.model,
        "provider": session.provider,
        "user_id": session.user_id,
        "created_at": session.started_at.isoformat() if session.started_at else None,
    }
    kept = session.metadata if isinstance(session.metadata, dict) else {}
    return {**kept, **{name: value for name, value in known.items() if value is not None}}


def _markdown(reader: Reader, session: SessionSummary, *, is_whole: bool) -> Iterator[str]:
    from turso_hooks.cli.reading.markdown import markdown  # noqa: PLC0415  # its parser is wanted only here

    yield markdown(reader.get_session(session.session_id), is_whole=is_whole) + "\n"


def _article(reader: Reader, session: SessionSummary, *, is_whole: bool) -> Iterator[str]:
    pieces: Iterator[str] = _page().article(reader.get_session(session.session_id), is_whole=is_whole)
    return pieces


def _page() -> ModuleType:
    from turso_hooks.cli.reading import page  # noqa: PLC0415  # what it renders with is wanted only here

    return page


class _Pages:
    """A folder with a page for each conversation."""

    def __init__(self, folder: Path, article: Write) -> None:
        self._folder = folder
        self._article = article
        self._written: list[tuple[str, SessionSummary]] = []

    def write(self, reader: Reader, session: SessionSummary) -> Iterator[str]:
        """Write one of them; nothing of it is for the stream."""
        name = _file_name(session.session_id)
        self._folder.mkdir(parents=True, exist_ok=True)
        with _opened(str(self._folder / name)) as stream:
            stream.write(_page().beginning(_page().title_of(session)))
            stream.writelines(self._article(reader, session))
            stream.write(_page().END)
        self._written.append((name, session))
        return iter(())

    def write_index(self) -> None:
        """Write the page that leads to the others, if there are any."""
        if self._written:
            with _opened(str(self._folder / "index.html")) as stream:
                stream.writelines(_page().index(self._written))


def _file_name(session_id: str) -> str:
    """A name that every file system takes, another one for each id."""
    plain = _NOT_IN_NAMES.sub("_", session_id)[:_MOST_NAME_CHARS].lstrip(".")
    if plain != session_id or plain == "index":
        plain += f"-{sha256(session_id.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
    return f"{plain}.html"
