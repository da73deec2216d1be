"""The blocks of code in a page, and how what a page says is done to the letter.

A page is done in an empty folder, one block after the other:

- ``sh`` is run by bash, which ends at the first command that fails; variables and the working folder stay for the next one.
  With the title "in another terminal" it runs beside the others until the page is done, with "fails" it must fail;
- ``python`` is run by itself, every warning an error; ``sql`` by ``turso-hooks sql``, with the database of the page;
- anything with a file's name as its title is saved under that name instead;
- ``text`` with the title "it prints" is what the block before it prints: … stands for anything, and by itself for any lines;
- other ``text`` is to look at; other languages must be what they say they are.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import yaml
from markdown_it import MarkdownIt
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "README": ROOT / "README.md",
    **{str(path.relative_to(ROOT / "docs").with_suffix("")): path for path in sorted((ROOT / "docs").rglob("*.md"))},
}
_PRINTS, _BESIDE, _FAILS = "it prints", "in another terminal", "fails"


@dataclass(frozen=True)
class Block:
    """A block of code as it stands in a page."""

    line: int
    language: str
    title: str
    text: str

    @property
    def is_file(self) -> bool:
        return bool(self.title) and self.title not in {_PRINTS, _BESIDE, _FAILS}


def text_of(page: str) -> str:
    return PAGES[page].read_text(encoding="utf-8")


def blocks_of(text: str) -> Iterator[Block]:
    """All blocks; one that is made by indenting has no language."""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type not in {"fence", "code_block"}:
            continue
        language, _, rest = token.info.partition(" ")
        title = re.search(r'title="([^"]*)"', rest)
        yield Block((token.map or [0])[0] + 1, language, title[1] if title else "", token.content)


@dataclass
class Walk:
    """What is done of one page, in a folder of its own."""

    folder: Path
    environment: dict[str, str]
    stands_for: dict[str, str] = field(default_factory=dict)
    """What a page names and a test has under another name, such as the address of a server."""
    installs: bool = False
    """Whether what is to be installed is; else it must be there already."""
    _working_folder: Path | None = None
    _printed: str = ""
    _beside: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def do(self, blocks: list[Block]) -> None:
        try:
            for block in blocks:
                try:
                    self._do(block)
                except Exception as error:
                    raise AssertionError(f"line {block.line}: {error}\n{block.text}") from error
        finally:
            for process in self._beside:
                process.send_signal(signal.SIGINT)
            for process in self._beside:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                process.kill()

    def _do(self, block: Block) -> None:
        text = block.text
        for shown, meant in self.stands_for.items():
            text = text.replace(shown, meant)
        if block.is_file:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif block.language == "sh":
            self._sh(text, block.title)
        elif block.language == "python":
            self._printed = self._run([self._python, "-W", "error", "-c", text])
        elif block.language == "sql":
            for statement in filter(str.strip, text.split(";")):
                self._printed = self._run(["turso-hooks", "sql", statement])
        elif block.language == "text":
            if block.title == _PRINTS:
                pattern = prints(text)
                assert re.fullmatch(pattern, self._printed.rstrip()), f"it printed\n{self._printed}"
        else:
            check_syntax(block.language, text)

    @property
    def _python(self) -> str:
        return "python" if self.installs else sys.executable

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _sh(self, text: str, title: str) -> None:
        lines = [line for line in text.splitlines() if self.installs or not _is_there_already(line)]
        if not lines:
            return
        if title == _BESIDE:
            self._start("\n".join(lines))
            return
        keep = self.folder.parent / f"{self.folder.name}.environment"
        script = "\n".join(["set -eo pipefail", *lines, f"env -0 >{shlex.quote(str(keep))}"])
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._working_folder or self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode != 0) == (title == _FAILS), f"it ended with {done.returncode}\n{done.stdout}{done.stderr}"
        self._printed = done.stdout + (done.stderr if title == _FAILS else "")
        if title != _FAILS:
            self.environment = dict(entry.split("=", 1) for entry in keep.read_text().split("\0") if "=" in entry)
            self._working_folder = Path(self.environment["PWD"])

    def _start(self, text: str) -> None:
        """Begin what runs beside the rest; if it names a port, wait until that takes connections."""
        log = (self.folder.parent / f"{self.folder.name}.{len(self._beside)}.log").open("wb")
        process = subprocess.Popen(
            ["bash", "-c", f"exec {text}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()
        self._beside.append(process)
        for port in re.findall(r"127\.0\.0\.1:(\d+)|--port (\d+)", text)[:1]:
            self._wait_for(int(port[0] or port[1]), process)

    def _wait_for(self, port: int, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert process.poll() is None, f"it ended with {process.returncode}"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)  # another process: there is no event to wait for
        raise AssertionError(f"nothing answers at port {port}")


def prints(text: str) -> str:
    """The pattern of what is printed."""
    lines = [
        r"[^\n]*".join(re.escape(part.rstrip() if n else part) for n, part in enumerate(line.split("…")))
        for line in text.splitlines()
    ]
    lines = [
        r"(?:[^\n]*\n)*?[^\n]*" if line == "…" else rf"{pattern}[ ]*"
        for line, pattern in zip(text.splitlines(), lines, strict=True)
    ]
    return "\n".join(lines)


def _is_there_already(line: str) -> bool:
    """Whether a line makes an environment, or installs into it what must be in this one."""
    words = shlex.split(line, comments=True)
    if words[:3] == ["python3", "-m", "venv"] or words[:1] == ["source"]:
        return True
    while words[:1] and re.fullmatch(r"\w+=.*", words[0]):
        words = words[1:]
    if [Path(word).name for word in words[:1]] != ["pip"]:
        return False
    for word in words[2:]:
        if not word.startswith(("-", ".")):
            _check_installed(Requirement(word))
    return True


def _check_installed(requirement: Requirement) -> None:
    assert metadata.version(requirement.name) in requirement.specifier
    known = set(metadata.metadata(requirement.name).get_all("Provides-Extra") or ())
    assert {extra.lower().replace("_", "-") for extra in requirement.extras} <= known, (
        f"{requirement} names no extra of {known}"
    )


def check_syntax(language: str, text: str) -> None:
    if language == "toml":
        tomllib.loads(text)
    elif language == "yaml":
        yaml.safe_load(text)
    elif language == "json":
        json.loads(text)
    elif language == "js":
        subprocess.run(["node", "--input-type=module", "--check"], input=text, text=True, check=True, capture_output=True)
    else:
        raise AssertionError(f"nobody knows how to do {language!r}")
