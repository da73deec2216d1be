"""Numbers, times and other people's text, as a person reads them; without rich, which costs 50 ms."""

from __future__ import annotations

import os
import re
import sys
from datetime import datetime
from typing import TextIO

import click

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_COLOURLESS = {"dumb", "unknown"}
_KIB, _KIB_BITS = 1024, 10
_UNITS = ("KiB", "MiB", "GiB")


def is_terminal() -> bool:
    """Whether a person is reading along."""
    return sys.stdout.isatty()


def takes_colours() -> bool:
    """Whether a person is reading along who wants colours (https://no-color.org), on a terminal that has them."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "").lower() not in _COLOURLESS


def remark(text: str) -> None:
    """Print a line to standard error. If nobody reads it any more, what is being done goes on all the same."""
    try:
        click.echo(text, err=True)
    except BrokenPipeError:
        silence(sys.stderr)
    except OSError:
        pass


def silence(stream: TextIO) -> None:
    """Let nothing more be read of a stream whose reader is gone: writing more, even at exit, does not complain then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def visible(text: object) -> str:
    """`text` with control characters made visible: what an agent said must not steer the terminal."""
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", str(text).replace("\r\n", "\n"))


def safe_json(text: str) -> str:
    """JSON in which control characters, which stand in strings only, are escaped, as JSON itself wants it of some of them."""
    return _CONTROLS.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


def one_line(text: object) -> str:
    """`visible` text in one line and without tabs, for a field of a line."""
    return visible(text).replace("\t", " ").replace("\n", " ")


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """`1 message`, `2 messages`; `nouns` is a plural that is not made by an `s`."""
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def size(number: int) -> str:
    """`512 bytes`, `1.5 MiB`."""
    if number < _KIB:
        return plural(number, "byte")
    power = min((number.bit_length() - 1) // _KIB_BITS, len(_UNITS))
    return f"{number / _KIB**power:.1f} {_UNITS[power - 1]}"


def when(moment: datetime | None) -> str:
    """A time as the clock on the wall shows it; `?` if it is unknown."""
    if moment is None:
        return "?"
    try:
        return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:  # the first or last day of all in a zone that has no such day
        return moment.isoformat(sep=" ", timespec="seconds")
