"""Text files of other people's that commands change: read and replaced whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from turso_hooks.cli.text import visible
from turso_hooks.errors import SettingsError


def read_text(path: Path) -> str | None:
    """What is in a file; None if there is none. Raises `SettingsError` if it is no text, `OSError` as it comes."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise SettingsError(f"cannot use {visible(path)}: it is no UTF-8 text; mend it first") from error


def replace_text(path: Path, text: str, *, rights: int) -> None:
    """Replace a file at once, where it really is: people keep such files elsewhere and link to them.

    `rights` are those of a new file; those of one that is there stay. Folders are made.
    """
    real = path.resolve()
    real.parent.mkdir(parents=True, exist_ok=True)
    beginning = real.with_name(f"{real.name}.{os.getpid()}.tmp")
    rights = stat.S_IMODE(real.stat().st_mode) if real.exists() else rights
    try:
        with os.fdopen(os.open(beginning, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(text.encode())
        beginning.chmod(rights)
        beginning.replace(real)
    finally:
        beginning.unlink(missing_ok=True)
