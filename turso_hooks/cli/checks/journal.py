"""The journal step: whether events can be kept until they are shipped, and what waits there. Makes and changes nothing."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from turso_hooks.cli.checks.steps import Outcome, Step, joined
from turso_hooks.cli.text import plural, size, when
from turso_hooks.drivers.filesystems import network_filesystem
from turso_hooks.journal import JournalFolder, look_into
from turso_hooks.settings import Settings
from turso_hooks.shipping.contact import read_contact

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def journal_step(settings: Settings, target: str | None) -> Step:
    """How it stands with the journal of a database; with None for it, with the folder of all journals."""
    folder = None if target is None else JournalFolder(settings.state_folder, target)
    path = settings.state_folder if folder is None else folder.path
    unusable = _unusable(path)
    if unusable is not None:
        return unusable
    used = 0 if folder is None else folder.used_bytes()
    findings = [_place(path), *_rights(path, folder), *_space(path, used, settings)]
    if folder is not None and path.is_dir():
        findings += [*_waiting(folder), *_left_alone(folder), *_last_problem(folder)]
    return joined("journal", findings)


def _finding(outcome: Outcome, found: str, remedy: str = "") -> Step:
    return Step("journal", outcome, found, remedy)


def _unusable(path: Path) -> Step | None:
    """Why the journal can take nothing; None if it can."""
    nearest = _nearest(path)
    filesystem = network_filesystem(nearest)
    elsewhere = "set TURSO_HOOKS_STATE_FOLDER to a folder on a local disk"
    if filesystem is not None:
        return _finding("failed", f"{path} is on a network file system ({filesystem})", elsewhere)
    try:
        with tempfile.TemporaryFile(dir=nearest):  # it has no name, or loses it at once
            return None
    except OSError as error:
        remedy = f"make {shlex.quote(str(nearest))} a folder to which you may write, or {elsewhere}"
        return _finding("failed", f"{path} takes no files ({error.strerror or error})", remedy)


def _nearest(path: Path) -> Path:
    """The path itself or what there is of the way to it."""
    return next(one for one in (path, *path.parents) if os.path.lexists(one))


def _place(path: Path) -> Step:
    return _finding("ok", f"{path} takes files" if path.is_dir() else f"{path} is made with the first event")


def _rights(path: Path, folder: JournalFolder | None) -> Iterator[Step]:
    if folder is not None and path.is_dir():  # the folder of all journals may be anybody's
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & _OTHERS:
            yield _finding("warning", f"others may look into it (mode {mode:04o})", f"chmod 700 {shlex.quote(str(path))}")


def _space(path: Path, used: int, settings: Settings) -> Iterator[Step]:
    free, largest = shutil.disk_usage(_nearest(path)).free, settings.journal_max_bytes
    if used >= largest:
        remedy = "mend what keeps it from being shipped, or raise TURSO_HOOKS_JOURNAL_MAX_BYTES"
        yield _finding("failed", f"it is full ({size(used)} of {size(largest)}): new events are refused", remedy)
    elif free < largest - used:
        remedy = "make room on the disk, or lower TURSO_HOOKS_JOURNAL_MAX_BYTES"
        yield _finding("warning", f"{size(free)} are free on its disk, and it may grow to {size(largest)}", remedy)
    else:
        yield _finding("ok", f"it may grow to {size(largest)}, and {size(free)} are free")


def _waiting(folder: JournalFolder) -> Iterator[Step]:
    looks = [(look.is_held, look.segment.size) for look in look_into(folder) if look.segment.size]
    if not looks:
        yield _finding("ok", "nothing waits")
        return
    yield _finding("ok", f"{size(sum(waits for _, waits in looks))} wait in {plural(len(looks), 'file')}")
    if left := [waits for is_held, waits in looks if not is_held]:
        said = f"{size(sum(left))} of them were left behind by processes that are gone"
        yield _finding("warning", said, "to ship what was left behind: turso-hooks drain")


def _left_alone(folder: JournalFolder) -> Iterator[Step]:
    if others := folder.of_another_version():
        said = f"{plural(len(others), 'file')} of another version of turso-hooks"
        yield _finding("warning", said, "ship them with that version: turso-hooks drain")
    if folder.unreadable:
        said = f"{plural(len(folder.unreadable), 'file')} cannot be opened"
        yield _finding("warning", said, f"see whose they are: ls -l {shlex.quote(str(folder.path))}")


def _last_problem(folder: JournalFolder) -> Iterator[Step]:
    contact = read_contact(folder)
    if contact.problem is not None:
        said = f"the last attempt to ship failed ({when(contact.failed_at)}): {contact.problem}"
        yield _finding("warning", said, "see the steps above")
