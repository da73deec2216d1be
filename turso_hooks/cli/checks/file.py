"""The step of a file: whether it is there or can be made, is a database, and can be used with WAL."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from pathlib import Path

from turso_hooks.cli.checks.steps import Step
from turso_hooks.cli.text import size
from turso_hooks.drivers import Database, EmbeddedDatabase
from turso_hooks.drivers.filesystems import network_filesystem

_LITTLE_SPACE = 64 * 1024 * 1024
"""Below this a database that grows is soon stopped."""


def is_there(path: Path) -> bool:
    """Whether there is anything at a path, also where one may not look."""
    return os.path.lexists(path)


def file_step(path: Path, database: Database) -> Step:
    """Whether the file can be used, without changing it. `database` opens it for reading only. Raises `DatabaseError`."""
    return _impossible(path) or (_existing(path, database) if is_there(path) else _to_be_made(path))


def _impossible(path: Path) -> Step | None:
    folder = path.parent
    filesystem = network_filesystem(folder)
    if filesystem is not None:
        found = f"{folder} lies on a network file system ({filesystem}), where SQLite's WAL loses data"
        return Step("file", "failed", found, "put the file on a local disk")
    if path.is_dir():
        return Step("file", "failed", f"{path} is a folder", "name a file in it")
    if not folder.is_dir():
        if is_there(folder):
            return Step("file", "failed", f"{folder} is no folder", "name a file in a folder")
        return Step("file", "failed", f"the folder {folder} is not there", f"mkdir -p {shlex.quote(str(folder))}")
    return None


def _existing(path: Path, database: Database) -> Step:
    database.look("SELECT count(*) FROM sqlite_master", operation="read the file")
    mode = database.look("PRAGMA journal_mode", operation="read the file").rows[0][0]
    said = f"an SQLite database of {size(path.stat().st_size)}, journal mode {mode}"
    if mode == "wal":
        return _with_space(path.parent, said)
    obstacle = _obstacle_to_wal(path.parent)
    return obstacle or _with_space(path.parent, f"{said}: the first event switches it to WAL, which works in its folder")


def _to_be_made(path: Path) -> Step:
    obstacle = _obstacle_to_wal(path.parent)
    return obstacle or _with_space(path.parent, "not there yet: it is made with the first event; its folder takes databases")


def _obstacle_to_wal(folder: Path) -> Step | None:
    """What keeps a database in `folder` from using WAL: tried with one of its own, which goes again."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".turso-hooks-doctor-", dir=folder) as scratch,
            EmbeddedDatabase(Path(scratch) / "try.db") as tried,
        ):
            tried.execute("CREATE TABLE t (n INTEGER)", operation="try WAL")
    except OSError as error:
        said = f"no files can be made in {folder} ({error.strerror or error})"
        return Step("file", "failed", said, f"make it writable: chmod u+rwx {shlex.quote(str(folder))}")
    return None


def _with_space(folder: Path, said: str) -> Step:
    free = shutil.disk_usage(folder).free
    if free < _LITTLE_SPACE:
        return Step("file", "warning", f"{said}; only {size(free)} are free on its disk", "make room on the disk")
    return Step("file", "ok", said)
