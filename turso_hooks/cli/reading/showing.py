"""`show`: one conversation, whole or as it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click

from turso_hooks.cli.options import database_option, json_lines_option, json_option, print_json, settings_for
from turso_hooks.cli.reading.completing import complete_session
from turso_hooks.cli.reading.following import follow
from turso_hooks.cli.reading.outline import print_json_entry
from turso_hooks.errors import DatabaseUnavailable, SessionNotFound
from turso_hooks.query import Conversation, Message, Reader, SessionSummary, connect_sync

_LOOKED_THROUGH = 100
"""Of so many sessions, sub-agents' among them, the last one is looked for."""

_WATCHED = 100
"""Of so many tool calls, the last when following begins, it is told that they are over."""


@click.command("show")
@click.argument("session_id", required=False, shell_complete=complete_session)
@database_option
@click.option("--messages", "with_messages", is_flag=True, help="Only the messages, or with --tools both.")
@click.option("--tools", "with_tools", is_flag=True, help="Only the tool calls, or with --messages both.")
@click.option("--full", "is_whole", is_flag=True, help="Show long texts to their end.")
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on with what is logged, until the session ends, or Ctrl-C.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown.")
@json_option
@json_lines_option
def show_command(  # noqa: PLR0913, PLR0917  # its options
    session_id: str | None,
    database_url: str | None,
    with_messages: bool,
    with_tools: bool,
    is_whole: bool,
    follows: bool,
    as_markdown: bool,
    as_json: bool,
    as_json_lines: bool,
) -> None:
    """Show one conversation. The beginning of SESSION_ID is enough; without one it is the last of which something was seen."""
    if as_markdown + as_json + as_json_lines > 1:
        raise click.UsageError("a conversation is printed in one form: --markdown, --json or --jsonl")
    if follows and (as_json or as_markdown):
        raise click.UsageError("what goes on has no end to close: --follow goes with --jsonl, or without a form")
    only = [name for name, is_wanted in (("messages", with_messages), ("tool_calls", with_tools)) if is_wanted] or None
    with connect_sync(settings_for(database_url).database_url) as reader:
        session_id = session_id or _last(reader)
        if follows:
            _follow(reader, session_id, only, print_json_entry if as_json_lines else _printer(only, is_whole=is_whole))
            return
        conversation = reader.get_session(session_id, only=only)
    if as_json:
        print_json(conversation)
    elif as_json_lines:
        for each in _each_in(conversation):
            print_json_entry(each)
    elif as_markdown:
        from turso_hooks.cli.reading.markdown import markdown  # noqa: PLC0415  # its parser is wanted only here

        click.echo(markdown(conversation, is_whole=is_whole), nl=False)
    else:
        print_conversation(conversation, is_whole=is_whole)


def _last(reader: Reader) -> str:
    """The session of which something was seen last, sub-agents' aside. Raises `SessionNotFound` if there is none."""
    found = reader.list_sessions(order="seen", limit=_LOOKED_THROUGH).items
    if not found:
        raise SessionNotFound("nothing is logged there yet")
    return next((session for session in found if session.parent_session_id is None), found[0]).session_id


def print_conversation(conversation: Conversation, *, is_whole: bool) -> None:
    """Print a conversation for people."""
    from turso_hooks.cli.reading.conversation import render_conversation  # noqa: PLC0415  # rich costs 50 ms and --json does without
    from turso_hooks.cli.reading.printing import show  # noqa: PLC0415

    show(render_conversation(conversation, is_whole=is_whole))


def _each_in(conversation: Conversation) -> Iterator[Any]:
    """A session, what is in it, and then the same of each of its sub-agents."""
    yield conversation.session
    yield from conversation.entries
    for child in conversation.children:
        yield from _each_in(child)


def _printer(only: list[str] | None, *, is_whole: bool) -> Callable[[Any], None]:
    from turso_hooks.cli.reading.conversation import render_entry, render_header  # noqa: PLC0415  # rich costs 50 ms
    from turso_hooks.cli.reading.outline import is_shown  # noqa: PLC0415
    from turso_hooks.cli.reading.printing import show  # noqa: PLC0415

    with_calls = only is None or "tool_calls" in only

    def print_it(each: Any) -> None:
        if isinstance(each, SessionSummary):
            show([render_header(each), ""], is_paged=False)
        elif with_calls and isinstance(each, Message) and each.role == "tool" and each.tool_call_id:
            pass  # the call says it
        elif is_shown(each) and (piece := render_entry(each, is_whole=is_whole)):
            show([piece], is_paged=False)

    return print_it


def _follow(reader: Reader, session_id: str, only: list[str] | None, print_it: Callable[[Any], None]) -> None:
    """Print what there is, and then what comes, of a session without its sub-agents, as long as it runs."""
    tail = reader.tail(session_id, limit=_WATCHED)  # first: what comes while the rest is read is not missed
    conversation = reader.get_session(session_id, only=only)
    print_it(conversation.session)
    printed: dict[str, Any] = {}
    for entry in conversation.entries:
        print_it(entry)
        printed[entry.row_id] = entry
    if conversation.session.status not in {"running", "interrupted"}:  # the latter may go on
        return
    session_id = conversation.session.session_id
    try:
        for more in follow(reader, session_id, tail.cursor, {}):
            for entry in more.entries:
                wanted = only is None or ("messages" if isinstance(entry, Message) else "tool_calls") in only
                if wanted and printed.get(entry.row_id) != entry:
                    print_it(entry)
                    printed[entry.row_id] = entry
            if not more.entries and _is_over(reader, session_id):
                return
    except KeyboardInterrupt:
        return


def _is_over(reader: Reader, session_id: str) -> bool:
    """Whether a session is known to have ended, or to be no more. Reads one row."""
    try:
        return not reader.sql("SELECT 1 FROM sessions WHERE id = ? AND status = 'running'", [session_id]).rows
    except DatabaseUnavailable:  # the next look says so
        return False
