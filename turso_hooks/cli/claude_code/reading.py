"""`import claude-code` and `watch claude-code`: transcripts into a database."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from turso_hooks.adapters.claude_code.following import Follower, Found, Progress, projects_folder, sessions_in, sub_agents
from turso_hooks.adapters.claude_code.inbox import FOLDER
from turso_hooks.cli.claude_code.batches import batches, imported
from turso_hooks.cli.importer import Importer, identity_of, is_losing, progress_file, say_counts, say_lost
from turso_hooks.cli.options import database_option, json_option, print_json, settings_for, shown_url
from turso_hooks.cli.text import one_line, plural, remark, visible
from turso_hooks.errors import DatabaseError, TranscriptError
from turso_hooks.settings import Settings

_SAVE_EVERY_S = 5.0


@dataclass
class ClaudeCodeImport:
    """What `import claude-code --json` prints."""

    database: str
    files: int = 0
    unchanged: int = 0
    lines: int = 0
    messages: int = 0
    tool_calls: int = 0
    not_understood: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


_paths_argument = click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(exists=True, path_type=Path))


@click.command("claude-code")
@_paths_argument
@database_option
@json_option
def import_claude_code_command(paths: tuple[Path, ...], database_url: str | None, as_json: bool) -> None:
    """Import what Claude Code wrote down of its sessions.

    PATH is a transcript or a folder with transcripts; by default all projects of this user. Sub-agents come with their session.
    Files that have not changed since the last time are not read.
    """
    settings = settings_for(database_url)
    result = import_claude_code(settings, _given(paths))
    if as_json:
        print_json(result)
    else:
        kept = f"{plural(result.messages, 'message')} and {plural(result.tool_calls, 'tool call')}"
        read = f"{plural(result.lines, 'line')} of {plural(result.files, 'file')}"
        click.echo(f"{kept} from {read} are in {one_line(result.database)}; {plural(result.unchanged, 'file')} had not changed")
        say_counts(result.counts)
        for what, number in sorted(result.not_understood.items()):
            click.echo(f"not understood: {number:,} x {visible(what)}", err=True)
    for path, problem in result.unreadable.items():
        click.echo(visible(f"cannot read {path}: {problem}"), err=True)
    if say_lost(result.counts) or result.unreadable:
        raise click.exceptions.Exit(1)


def _given(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    if paths:
        return paths
    folder = projects_folder(os.environ)
    if not folder.is_dir():
        raise TranscriptError(f"there are no transcripts of Claude Code in {folder}: name a folder or file that has some")
    return (folder,)


def import_claude_code(settings: Settings, paths: tuple[Path, ...]) -> ClaudeCodeImport:
    """Import the transcripts at these paths. Raises `DatabaseError` if they could not be shipped."""
    sessions = [session for path in paths for session in sessions_in(path.absolute())]
    progress = progress_in(settings)
    found = Found()
    counts: dict[int, Mapping[str, int]] = {}
    saved_at = time.monotonic()
    with _progress_bar(sessions) as advance:
        for batch in imported(settings, batches(sessions, progress), advance):
            found.add(batch.found)
            counts[batch.process_id] = batch.counts
            if not is_losing(batch.counts):
                progress.files |= batch.files
            if time.monotonic() - saved_at > _SAVE_EVERY_S:
                progress.save()
                saved_at = time.monotonic()
    progress.save()
    return ClaudeCodeImport(
        database=shown_url(settings),
        files=found.files,
        unchanged=found.unchanged,
        lines=found.lines,
        messages=found.messages,
        tool_calls=found.tool_calls,
        not_understood=dict(found.not_understood),
        skipped=dict(found.skipped),
        unreadable=found.unreadable,
        counts=dict(sum((Counter(dict(each)) for each in counts.values()), Counter())),
    )


def progress_in(settings: Settings) -> Progress:
    """How far the transcripts are in the database of the settings. Raises `DatabaseError`."""
    identity, is_empty = identity_of(settings)
    progress = Progress(progress_file(settings, FOLDER), identity)
    if is_empty:
        progress.files.clear()
    return progress


@contextmanager
def _progress_bar(sessions: list[Path]) -> Iterator[Callable[[int], object]]:
    """Told of bytes read; shows a bar if a person is looking."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    files = [path for session in sessions for path in (session, *sub_agents(session))]
    length = sum(path.stat().st_size for path in files if path.exists())
    with click.progressbar(length=length, label=f"Importing {plural(len(files), 'transcript')}", file=sys.stderr) as bar:
        yield bar.update


@click.command("claude-code")
@_paths_argument
@click.option(
    "--every", "every_s", type=click.FloatRange(0.05, 3600), default=1.0, metavar="SECONDS", help="How often to look."
)
@database_option
def watch_claude_code_command(paths: tuple[Path, ...], every_s: float, database_url: str | None) -> None:
    """Follow the transcripts of Claude Code as they grow, for those who want no hooks.

    PATH is as for `import claude-code`. What is there already is imported first. Ctrl-C or SIGTERM ends it, with 0.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a supervisor's way of saying what Ctrl-C says
    try:
        _watch(settings_for(database_url), _given(paths), every_s)
    except KeyboardInterrupt:
        remark("stopped")


def _watch(settings: Settings, given: tuple[Path, ...], every_s: float) -> None:
    with Importer(settings) as importer:
        progress = progress_in(settings)
        follower = Follower(importer.emit, progress.files)
        remark(f"following {', '.join(visible(path) for path in given)} into {one_line(importer.database)}")
        told: set[str] = set()
        while True:
            try:
                lines = sum(follower.read(session) for path in given for session in sessions_in(path.absolute()))
                if lines:
                    importer.ship()
                    remark(f"{plural(lines, 'line')} more")
                    if not is_losing(importer.counts):
                        progress.save()
                for path in follower.found.unreadable.keys() - told:
                    remark(visible(f"cannot read {path}: {follower.found.unreadable[path]}"))
                    told.add(path)
            except DatabaseError as error:  # what was read waits in the journal until it takes something again
                remark(visible(error))
            time.sleep(every_s)  # files give no event to wait for
