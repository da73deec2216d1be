from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest

from turso_hooks.errors import JournalFull, JournalTorn, JournalUnwritable
from turso_hooks.journal import JournalFolder, Segment, Writer, read_slice, slices_of
from turso_hooks.journal import folder as journal_folder
from turso_hooks.journal import writer as journal_writer


@pytest.fixture
def folder(tmp_path: Path) -> JournalFolder:
    return JournalFolder(tmp_path / "state", "file:/somewhere/agents.db")


@pytest.fixture
def make(folder: JournalFolder) -> Iterator[Callable[..., Writer]]:
    made: list[Writer] = []

    def make(**options: object) -> Writer:
        writer = Writer(folder, **{"max_bytes": 10**9, "segment_bytes": 10**7, **options})  # type: ignore[arg-type]
        made.append(writer)
        return writer

    yield make
    for writer in made:
        writer.close()


def payloads(segments: list[Segment]) -> list[bytes]:
    found: list[bytes] = []
    for segment in segments:
        offset, is_exhausted = 0, False
        while not is_exhausted:
            slice_ = read_slice(segment, offset, max_records=3)
            found += [record.payload for record in slice_.records]
            offset, is_exhausted = slice_.end, slice_.is_exhausted
    return found


def test_only_the_owner_may_read_the_journal(folder: JournalFolder, make: Callable[..., Writer]) -> None:
    make().append(b"x")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert (folder.path / "target").read_text(encoding="utf-8") == "file:/somewhere/agents.db\n"


def test_segments_rotate_by_size_and_keep_the_order(make: Callable[..., Writer]) -> None:
    writer = make(segment_bytes=1000)
    for n in range(100):
        writer.append(b"%d" % n * 30)
    assert len(writer.segments()) > 3
    assert payloads(writer.segments()) == [b"%d" % n * 30 for n in range(100)]


def test_a_segment_in_use_is_adopted_by_nobody(folder: JournalFolder, make: Callable[..., Writer]) -> None:
    make().append(b"x")
    assert folder.adopt() == []


def test_a_segment_whose_writer_is_gone_is_adopted_by_one(folder: JournalFolder, make: Callable[..., Writer]) -> None:
    writer = make()
    writer.append(b"x")
    writer.close()
    adopted = folder.adopt()
    assert payloads(adopted) == [b"x"]
    assert folder.adopt() == []
    adopted[0].close()


def test_of_a_writer_nothing_is_adopted_after_what_someone_else_holds(
    folder: JournalFolder, make: Callable[..., Writer]
) -> None:
    writer = make(segment_bytes=100)
    for _ in range(4):
        writer.append(b"x" * 100)
    first = writer.segments()[0].path
    writer.close()
    with first.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert folder.adopt() == []
    adopted = folder.adopt()
    assert [segment.index for segment in adopted] == [1, 2, 3, 4]
    for segment in adopted:
        segment.close()


def test_threads_append_whole_records(make: Callable[..., Writer]) -> None:
    writer = make(segment_bytes=20_000)

    def append(who: int) -> None:
        for n in range(500):
            writer.append(b"%d:%d" % (who, n))

    threads = [threading.Thread(target=append, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = payloads(writer.segments())
    assert sorted(found) == sorted(b"%d:%d" % (who, n) for who in range(4) for n in range(500))


def test_a_signal_handler_may_append_in_the_middle_of_an_append(make: Callable[..., Writer]) -> None:
    writer = make(segment_bytes=3000)
    handled = 0

    def handler(*_: object) -> None:
        nonlocal handled
        handled += 1
        writer.append(b"signal")

    writer.append(b"normal")
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    try:
        for _ in range(19_999):
            writer.append(b"normal")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    found = payloads(writer.segments())
    assert (found.count(b"normal"), found.count(b"signal")) == (20_000, handled)
    assert handled > 0


def test_a_forked_child_writes_a_segment_of_its_own_and_the_parent_keeps_its_lock(
    folder: JournalFolder, make: Callable[..., Writer]
) -> None:
    writer = make()
    writer.append(b"before")
    child = os.fork()
    if child == 0:
        writer.append(b"child")
        os._exit(0)
    os.waitpid(child, 0)
    adopted = folder.adopt()
    assert payloads(adopted) == [b"child"]
    writer.append(b"after")
    assert payloads(writer.segments()) == [b"before", b"after"]
    for segment in adopted:
        segment.close()


def test_a_child_that_outlives_its_parent_does_not_hold_the_parents_segments(tmp_path: Path, folder: JournalFolder) -> None:
    wait_for_end, end = os.pipe()
    wait_for_start, started = os.pipe()
    parent = os.fork()
    if parent == 0:
        writer = Writer(folder, max_bytes=10**9, segment_bytes=10**7)
        writer.append(b"parent")
        if os.fork() == 0:
            os.close(end)
            os.write(started, b"x")
            os.read(wait_for_end, 1)
            os._exit(0)
        os.read(wait_for_start, 1)
        os._exit(0)
    os.waitpid(parent, 0)
    adopted = folder.adopt()
    assert payloads(adopted) == [b"parent"]
    adopted[0].close()
    for fd in (end, wait_for_end, started, wait_for_start):
        os.close(fd)


def test_beyond_its_size_the_journal_refuses_the_newest(make: Callable[..., Writer]) -> None:
    writer = make(max_bytes=2000)
    with pytest.raises(JournalFull, match="holds 2000 bytes"):
        for _ in range(100):
            writer.append(b"x" * 100)
    assert 10 <= len(payloads(writer.segments())) < 20


def test_a_refused_record_uses_up_a_number(make: Callable[..., Writer]) -> None:
    writer = make(max_bytes=500)
    with pytest.raises(JournalFull):
        writer.append(b"x" * 1000)
    writer.append(b"small")
    assert [record.number for record in read_slice(writer.segments()[0], 0, max_records=9).records] == [1]


def test_a_deleted_folder_is_noticed_and_what_was_appended_meanwhile_is_still_read(
    folder: JournalFolder, make: Callable[..., Writer]
) -> None:
    writer = make()
    writer.append(b"before")
    shutil.rmtree(folder.path)
    writer.append(b"into the void")
    assert not writer.check()
    writer.append(b"after")
    assert writer.check()
    assert payloads(writer.segments()) == [b"before", b"into the void", b"after"]
    assert len(list(folder.path.glob("*.segment"))) == 1


def test_a_folder_that_cannot_be_made_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file", encoding="utf-8")
    writer = Writer(JournalFolder(tmp_path / "state", "file:/x"), max_bytes=10**9, segment_bytes=10**7)
    with pytest.raises(JournalUnwritable, match="cannot create .*segment"):
        writer.append(b"x")


def test_a_full_journal_takes_what_tells_of_the_refused_and_nothing_else(make: Callable[..., Writer]) -> None:
    writer = make(max_bytes=500)
    with pytest.raises(JournalFull):
        for _ in range(100):
            writer.append(b"x" * 100)
    for n in range(20):
        writer.append_beyond_cap(b"tally %d" % n)
        with pytest.raises(JournalFull):
            writer.append(b"x" * 100)
    assert payloads(writer.segments())[-20:] == [b"tally %d" % n for n in range(20)]


def test_a_record_that_would_exceed_a_segment_begins_the_next_and_one_that_is_larger_has_one_alone(
    make: Callable[..., Writer],
) -> None:
    writer = make(segment_bytes=300)
    for size in (100, 100, 100, 1000, 100):
        writer.append(b"x" * size)
    assert [[len(payload) for payload in payloads([segment])] for segment in writer.segments()] == [
        [100, 100],
        [100],
        [1000],
        [100],
    ]


def test_a_full_disk_is_refused_and_the_torn_record_costs_only_itself(make: Callable[..., Writer]) -> None:
    resource = pytest.importorskip("resource")  # on every system that has fork
    writer = make()
    writer.append(b"first")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(JournalTorn, match="the disk took"):
            writer.append(b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    writer.append(b"second")
    assert payloads(writer.segments()) == [b"first", b"second"]


def test_what_is_appended_to_a_retired_writer_goes_to_its_successor(make: Callable[..., Writer]) -> None:
    old, new = make(), make()
    old.append(b"old")
    old.retire(new)
    old.append(b"new")
    assert (payloads(old.segments()), payloads(new.segments())) == ([b"old"], [b"new"])


def test_a_backlog_takes_no_more_descriptors_of_the_host_than_a_few(folder: JournalFolder) -> None:
    writer = Writer(folder, max_bytes=10**9, segment_bytes=4096)
    before = len(list(Path("/dev/fd").iterdir()))
    for n in range(3000):
        writer.append(b"%d " % n * 100)
    assert len(list(Path("/dev/fd").iterdir())) - before <= 64
    read = [r for segment in writer.segments() for found in slices_of(segment) for r in found.records]
    assert [record.number for record in read] == list(range(3000))
    writer.close()


def test_files_of_another_version_are_left_alone(folder: JournalFolder) -> None:
    folder.create()
    (folder.path / f"{'0' * 32}.00000001.v2.segment").write_bytes(b"from the future")
    assert folder.adopt() == []
    assert [path.name for path in folder.of_another_version()] == [f"{'0' * 32}.00000001.v2.segment"]


def test_an_append_that_interrupts_the_beginning_of_a_segment_at_any_line_leaves_the_segments_in_order(
    tmp_path: Path,
) -> None:
    ours = {journal_writer.__file__, journal_folder.__file__}
    line, is_over = 0, False
    while not is_over:
        line, is_over = line + 1, True
        writer = Writer(JournalFolder(tmp_path / str(line), "file:x"), max_bytes=10**9, segment_bytes=200)
        left = line

        def trace(frame: FrameType, event: str, _: object) -> Callable[..., object] | None:
            nonlocal left, is_over
            if frame.f_code.co_filename not in ours:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    is_over = False
                    sys.settrace(None)
                    writer.append(b"interrupting" * 10)  # noqa: B023  # called before the loop goes on
            return trace

        sys.settrace(trace)
        try:
            writer.append(b"interrupted" * 10)
        finally:
            sys.settrace(None)
        writer.append(b"after" * 10)
        indexes = [segment.index for segment in writer.segments()]
        assert indexes == sorted(indexes), line
        assert all(segment.path.exists() for segment in writer.segments())
        expected = [b"after" * 10, b"interrupted" * 10] + ([] if is_over else [b"interrupting" * 10])
        assert sorted(payloads(writer.segments())) == sorted(expected), line
        writer.close()
    assert line > 50


def test_large_records_refused_by_a_nearly_full_journal_begin_no_segments(make: Callable[..., Writer]) -> None:
    writer = make(max_bytes=100_000, segment_bytes=5000)
    for _ in range(200):
        with suppress(JournalFull):
            writer.append(b"x" * 1000)
    before = len(writer.segments())
    for _ in range(200):
        with pytest.raises(JournalFull):
            writer.append(b"x" * 4900)
        with suppress(JournalFull):
            writer.append(b"x")
    assert len(writer.segments()) <= before + 2


def test_a_record_that_does_not_fit_hands_nobody_more_than_a_share(folder: JournalFolder, make: Callable[..., Writer]) -> None:
    writers = [make(max_bytes=64_000, segment_bytes=10**6) for _ in range(8)]
    for writer in writers:
        with pytest.raises(JournalFull):
            writer.append(b"x" * 70_000)
    for _ in range(2000):
        for writer in writers:
            with suppress(JournalFull):
                writer.append(b"x" * 100)
    assert folder.used_bytes() < 64_000 * (1 + 8 / 64) + 8 * 200
