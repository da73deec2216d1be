from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from turso_hooks.journal import JournalFolder, Writer, look_into, slices_of


@pytest.fixture
def folder(tmp_path: Path) -> JournalFolder:
    return JournalFolder(tmp_path / "state", "file:x")


@pytest.fixture
def make(folder: JournalFolder) -> Iterator[Callable[..., Writer]]:
    made: list[Writer] = []

    def make(**options: int) -> Writer:
        made.append(Writer(folder, **{"max_bytes": 10**9, "segment_bytes": 10**6, **options}))
        return made[-1]

    yield make
    for writer in made:
        writer.close()


def seen(folder: JournalFolder) -> list[tuple[int, bool, list[bytes]]]:
    """Segment number, whether it is held, and payloads, of every file."""
    return [
        (look.file.index, look.is_held, [record.payload for found in slices_of(look.segment) for record in found.records])
        for look in look_into(folder)
    ]


def test_what_is_in_use_can_be_looked_at_and_goes_on(folder: JournalFolder, make: Callable[..., Writer]) -> None:
    writer = make(segment_bytes=100)
    for n in range(3):
        writer.append(b"%d" % n * 50)
        assert seen(folder) == [(k + 1, True, [b"%d" % k * 50]) for k in range(n + 1)]
    assert folder.adopt() == []


def test_looking_takes_nothing_from_whoever_adopts(folder: JournalFolder, make: Callable[..., Writer]) -> None:
    writer = make()
    writer.append(b"left")
    writer.close()
    looks = look_into(folder)
    assert not next(looks).is_held
    adopted = folder.adopt()
    assert len(adopted) == 1
    assert list(looks) == []
    assert seen(folder) == [(1, True, [b"left"])]
    adopted[0].close()


def test_more_records_than_are_read_at_once_are_all_seen(folder: JournalFolder, make: Callable[..., Writer]) -> None:
    writer = make()
    for n in range(5001):
        writer.append(b"%d" % n)
    assert seen(folder) == [(1, True, [b"%d" % n for n in range(5001)])]


@pytest.mark.skipif(os.name != "posix", reason="links are those of POSIX")
def test_what_cannot_be_opened_is_named_and_the_rest_is_seen(folder: JournalFolder, make: Callable[..., Writer]) -> None:
    make().append(b"x")
    loop = folder.path / f"{'0' * 32}.00000001.v1.segment"
    loop.symlink_to(loop)
    assert seen(folder) == [(1, True, [b"x"])]
    assert folder.unreadable == {loop}


def test_every_journal_is_found_by_its_label_also_one_that_has_lost_it(tmp_path: Path) -> None:
    assert JournalFolder.all_in(tmp_path / "state") == []
    folders = [JournalFolder(tmp_path / "state", target) for target in ("file:/b", "file:/a\udcff", "libsql://c")]
    for folder in folders:
        folder.create()
    (folders[2].path / "target").unlink()
    found = JournalFolder.all_in(tmp_path / "state")
    assert [folder.target for folder in found] == ["file:/a\udcff", "file:/b", f"unknown:{folders[2].path.name}"]
    assert {folder.path for folder in found} == {folder.path for folder in folders}
