"""Forks at the worst moments: neither parent nor child is held up for ever. Real processes; what is rare is made to happen."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

Child = Callable[..., "subprocess.Popen[str]"]
UNWARNED = {"PYTHONWARNINGS": "ignore::DeprecationWarning"}
"""From 3.12 on Python warns of each fork of a process with threads, which is what is tried here."""

WHILE_IMPORTING = """
    import os, signal, sys, time
    from turso_hooks import NoteAdded, plugin

    name = sys.argv[1]
    assert name not in sys.modules
    plugin.recorder.record(NoteAdded(session_id="s", name="n"))
    deadline = time.monotonic() + 10
    while name not in sys.modules and time.monotonic() < deadline:
        time.sleep(0.0002)
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)  # ends the child if it hangs
        __import__(name)
        os._exit(0)
    print(os.waitpid(pid, 0)[1], flush=True)
    os._exit(0)
    """

# An agent's object that goes away on the shipping thread, while that is inside `{where}`, and logs.
GOING_AWAY = """
    import gc, logging, os, signal, sys, threading, time
    from turso_hooks import NoteAdded, plugin
    from turso_hooks.drivers import embedded
    from turso_hooks.events import encode
    from turso_hooks.journal import Writer, folder

    record = plugin.recorder.record
    inside, is_armed = threading.Event(), []

    class Session:
        def __init__(self):
            self.itself = self
        def __del__(self):
            if threading.current_thread().name == "turso-hooks":
                inside.set()
                time.sleep(0.3)  # until the other thread waits
            {goodbye}

    def collecting(function):
        def collected(*arguments):
            if is_armed and threading.current_thread().name == "turso-hooks":
                gc.collect()  # which any allocation may begin
            return function(*arguments)
        return collected

    embedded._transaction = collecting(embedded._transaction)
    folder.Segment.__post_init__ = collecting(folder.Segment.__post_init__)
    record(NoteAdded(session_id="s", name="n"))
    plugin.flush(10)
    gc.disable()
    Session()
    signal.alarm(10)  # ends the process if it hangs
    {meanwhile}
    print("done", flush=True)
    os._exit(0)
    """

FORKING = """
    is_armed.append(True)
    record(NoteAdded(session_id="s", name="n"))
    inside.wait(5)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    """

BEGINNING_SEGMENTS = """
    left = Writer(plugin.recorder._sink.pipeline.folder, max_bytes=10**9, segment_bytes=10**6)
    left.append(encode(NoteAdded(session_id="s", name="left")))
    is_armed.append(True)
    left.close()
    inside.wait(8)
    for _ in range(100):
        record(NoteAdded(session_id="s", name="x" * 200))
    """

LOGGING = 'record(NoteAdded(session_id="s", name="over"))'


def filled_in(goodbye: str, meanwhile: str) -> str:
    return GOING_AWAY.replace("{goodbye}", goodbye).replace("    {meanwhile}\n", meanwhile.rstrip(" "))


@pytest.mark.parametrize(("url", "name"), [("http://127.0.0.1:9", "http.client"), ("ws://127.0.0.1:9", "aiohttp")])
def test_a_child_forked_while_the_shipping_thread_imports_can_import_the_same(child: Child, url: str, name: str) -> None:
    said, _ = child(WHILE_IMPORTING, name, TURSO_DATABASE_URL=url).communicate(timeout=60)
    assert said == "0\n"


@pytest.mark.parametrize("goodbye", [LOGGING, 'logging.getLogger("agent").setLevel(logging.INFO)'], ids=["to us", "to logging"])
def test_a_fork_waits_for_no_thread_that_waits_for_it(child: Child, goodbye: str) -> None:
    process = child(filled_in(goodbye, FORKING), **UNWARNED)
    said, err = process.communicate(timeout=60)
    assert (said, err, process.returncode) == ("done\n", "", 0)


def test_a_child_can_import_though_its_fork_had_begun_before_that_was_waited_for(child: Child) -> None:
    code = """
        import os, signal, threading
        from turso_hooks import forking

        is_forking, is_importing = threading.Event(), threading.Event()

        def before():  # a lock that a fork waits for
            is_forking.set()
            is_importing.wait(5)

        os.register_at_fork(before=before)

        def work():
            is_forking.wait(5)
            with forking.importing():
                is_importing.set()
                threading.Event().wait(0.5)

        threading.Thread(target=work).start()
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)  # ends the child if it hangs
            with forking.importing():
                pass
            if os.fork() == 0:
                os._exit(0)
            os._exit(0)
        print(os.waitpid(pid, 0)[1], flush=True)
        """
    said, err = child(code, **UNWARNED).communicate(timeout=60)
    assert (said, err) == ("0\n", "")


def test_a_segment_begins_while_another_thread_adopts_and_is_made_to_log(child: Child) -> None:
    process = child(filled_in(LOGGING, BEGINNING_SEGMENTS), TURSO_HOOKS_SEGMENT_BYTES="4096")
    said, err = process.communicate(timeout=60)
    assert (said, err, process.returncode) == ("done\n", "", 0)
