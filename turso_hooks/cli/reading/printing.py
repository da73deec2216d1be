"""What is made for people, on a terminal or in a pipe."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import chain

import click
from rich.console import Console, RenderableType

from turso_hooks.cli.text import is_terminal, takes_colours

_PIPE_COLUMNS = 10_000
"""Wide enough for any line: who reads a pipe breaks lines as they like."""


def show(pieces: Iterable[RenderableType], *, is_paged: bool = True) -> None:
    """Print pieces to the terminal at its width, through a pager if they are longer than that; each is made when it is wanted.

    To a pipe without colours, broken lines and the blanks that fill a line.
    """
    if not is_terminal():
        for text in _rendered(Console(highlight=False, width=_PIPE_COLUMNS, no_color=True), pieces):
            click.echo("\n".join(line.rstrip() for line in text.splitlines()))
        return
    texts = _rendered(Console(highlight=False), pieces)
    first: list[str] = []
    lines = 0
    for text in texts:
        first.append(text)
        lines += text.count("\n")
        if is_paged and lines >= shutil.get_terminal_size().lines:
            os.environ.setdefault("LESS", "FRX")  # as git does: colours pass, and what was shown stays there
            click.echo_via_pager(chain(first, texts), color=takes_colours())
            return
    for text in first:
        click.echo(text, nl=False, color=True)


def _rendered(console: Console, pieces: Iterable[RenderableType]) -> Iterator[str]:
    for piece in pieces:
        with console.capture() as captured:
            console.print(piece)
        yield captured.get()
