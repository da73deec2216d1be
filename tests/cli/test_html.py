"""A page that is exported is shown by a real browser, has all of the conversation, and does nothing to whoever opens it."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from turso_hooks.events import FilePart, MessageAdded, ReasoningPart, SessionStarted, TextPart, ToolCallFinished
from turso_hooks.plugin import Recorder

Run = Callable[..., "subprocess.CompletedProcess[str]"]

HARM = '<script>document.title = "owned"</script><img src=x onerror="document.title=\'owned\'">'
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A picture, PNG."""


@pytest.fixture
def browse(tmp_path: Path) -> Callable[..., bytes]:
    """Opens a page in Chromium without a screen; what it says when asked so."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not here: apt-get install chromium")
    browser: str = found

    def browse(page: Path, *asked: str) -> bytes:
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/chromium", *asked]
        done = subprocess.run([*command, page.as_uri()], capture_output=True, check=True, timeout=120)
        return done.stdout

    return browse


@pytest.fixture
def logged(recorder: Recorder, database: Path) -> str:
    picture = FilePart(url=f"data:image/png;base64,{PIXEL}", media_type="image/png")
    for event in (
        SessionStarted(session_id="parent", title=f"A page {HARM}", agent_type="planner", model="m"),
        MessageAdded(session_id="parent", role="system", content="Be kind"),
        MessageAdded(session_id="parent", role="user", content=[TextPart(text=f"Look at this {HARM}"), picture]),
        MessageAdded(
            session_id="parent",
            role="assistant",
            content=[
                ReasoningPart(text="I think"),
                TextPart(text="| a | b |\n|---|---|\n| 1 | 2 |\n\n[x](javascript:alert(1))"),
            ],
        ),
        ToolCallFinished(session_id="parent", tool_call_id="c", tool_name="look", input={"q": HARM}, output="w" * 5000),
        SessionStarted(session_id="child/../x", agent_type="helper", parent_session_id="parent", parent_tool_call_id="c"),
        MessageAdded(session_id="child/../x", role="user", content="Deep inside"),
    ):
        recorder.record(event)
    assert recorder.flush(30).is_complete
    return f"file:{database}"


def colours(png: bytes) -> set[bytes]:
    """Triples of bytes in the data of a picture: few, if all of it is of one colour."""
    assert png.startswith(b"\x89PNG")
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    raw = zlib.decompress(data)
    return {raw[n : n + 3] for n in range(1, len(raw) - 3, 3)}


@pytest.mark.slow
def test_a_browser_shows_all_of_it_and_runs_nothing(
    run: Run, browse: Callable[..., bytes], logged: str, tmp_path: Path
) -> None:
    folder = tmp_path / "pages"
    assert run("export", "html", "-o", f"{folder}/", "--db", logged).stderr == "1 conversation written\n"
    page = folder / "parent.html"
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "parent.html"]
    shown = browse(page, "--dump-dom").decode()
    assert "<title>A page &lt;script&gt;" in shown
    for part in ("Be kind", "Look at this", "<th>a</th>", "I think", "Deep inside", "<summary>", f"base64,{PIXEL}", "planner"):
        assert part in shown
    assert "<script" not in shown
    assert 'href="javascript' not in shown
    assert "… (3,000 characters more: --full)" in shown
    browse(page, f"--screenshot={tmp_path}/shot.png", "--window-size=900,1200")
    assert len(colours((tmp_path / "shot.png").read_bytes())) > 20
    assert 'href="parent.html"' in browse(folder / "index.html", "--dump-dom").decode()


def test_all_conversations_are_on_one_page_and_long_texts_whole_if_that_is_asked(run: Run, logged: str, tmp_path: Path) -> None:
    page = run("export", "html", "--full", "--db", logged).stdout
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<article>") == 1
    assert "w" * 5000 in page
    assert page.endswith("</main></body></html>\n")
    named = run("export", "html", "child/../x", "-o", str(tmp_path), "--db", logged)
    assert named.returncode == 0
    assert [path.name for path in tmp_path.glob("child*.html")] == ["child_.._x-d40a0491a903.html"]
