"""Which files a project needs to log its agents, and what is in them. Pure, but for reading the templates.

A file is wanted whole, or only some of its lines: then the rest of it is somebody else's.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from turso_hooks.settings import default_of, setting_fields

_PACKAGE = "turso-hooks"

_MEANS_SOMETHING = re.compile(r"[\\*?\[\]#!]")
"""In a line of .gitignore: https://git-scm.com/docs/gitignore."""


@dataclass(frozen=True)
class Runner:
    """What runs agents: what it needs to be installed, what it starts with, how that is started."""

    title: str
    package: str = _PACKAGE
    template: str | None = None
    file: str = "agent.py"
    command: str = "python agent.py"


RUNNERS = {
    "python": Runner("a loop of your own in Python", template="agent.py"),
    "claude-agent-sdk": Runner("the Claude Agent SDK", f"{_PACKAGE}[claude-agent-sdk]", "claude_agent.py"),
    "claude-code": Runner("Claude Code, by its hooks", command="claude -p 'Which files are in this folder?'"),
    "opencode": Runner(
        "an OpenCode server",
        f"{_PACKAGE}[opencode]",
        "opencode_watch.py",
        "opencode_watch.py",
        "python opencode_watch.py http://127.0.0.1:4096",
    ),
}


@dataclass(frozen=True)
class Wanted:
    """A file by its path below the project's folder."""

    path: PurePosixPath
    text: str
    is_whole: bool = True
    """Else `text` is lines that should be somewhere in it."""

    def after(self, before: str | None) -> str:
        """What is to be in the file, where `before` is."""
        if self.is_whole or not before:
            return self.text
        there = {line.strip() for line in before.splitlines()}
        missing = [line for line in self.text.splitlines() if line.strip() not in there]
        return before if not missing else f"{before}{'' if before.endswith(chr(10)) else chr(10)}{chr(10).join(missing)}\n"


def wanted(runner: Runner, database_url: str, *, with_workflow: bool) -> Iterator[Wanted]:
    """The files of a project whose agents are run by `runner` and logged at `database_url`."""
    yield Wanted(PurePosixPath(".env.example"), _settings_text(database_url))
    yield Wanted(PurePosixPath(".gitignore"), "\n".join(_ignored(database_url)) + "\n", is_whole=False)
    if runner.template is not None:
        yield Wanted(PurePosixPath(runner.file), _template(runner.template))
    if with_workflow:
        text = _template("agent.yml").replace("@PACKAGE@", runner.package).replace("@COMMAND@", runner.command)
        yield Wanted(PurePosixPath(".github/workflows/agent.yml"), text)


def _template(name: str) -> str:
    return (
        resources.files("turso_hooks.cli.setting_up")
        .joinpath("templates")
        .joinpath(f"{name}.template")
        .read_text(encoding="utf-8")
    )


def _ignored(database_url: str) -> Iterator[str]:
    """What must not be committed: the copy of the settings with the token in it, and a database in the folder."""
    yield ".env"
    name = unquote(database_url.removeprefix("file:"))
    if database_url.startswith("file:") and not name.startswith(("/", "~", "..")):
        literal = _MEANS_SOMETHING.sub(r"\\\g<0>", name.removeprefix("./"))
        yield f"/{literal}*"  # with what SQLite keeps beside it


def _settings_text(database_url: str) -> str:
    """Every setting with its meaning, unset but for the database."""
    lines = [
        "# What turso-hooks reads from the environment. Copy this to .env, put your own values there, and load it:",
        "#     set -a; . ./.env; set +a",
    ]
    for entry in setting_fields():
        variable, meaning, unit = (entry.metadata[name] for name in ("variable", "meaning", "unit"))
        lines += ["", f"# {meaning} ({unit})"]
        lines.append(
            f"{variable}={shlex.quote(database_url)}"
            if entry.name == "database_url"
            else f"# {variable}={_shown_default(entry)}"
        )
    return "\n".join(lines) + "\n"


def _shown_default(entry: Any) -> str:
    default = default_of(entry)
    if entry.name == "state_folder" or default is None:
        return ""
    return str(int(default) if isinstance(default, bool) else default)
