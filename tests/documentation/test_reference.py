"""README and docs say what the code says."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

import turso_hooks
from documentation.blocks import PAGES, ROOT, text_of
from turso_hooks import query, testing
from turso_hooks.cli.main import commands
from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.events import EVENT_TYPES, MessageAdded, hook_name
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings, default_of, load_settings, setting_fields
from turso_hooks.shipping import KEPT_OTHERWISE, NO_EVENTS, REFUSED
from turso_hooks.store import prepare_schema
from turso_hooks.testing import RULES

DOCS = {page: text_of(page) for page in PAGES}
REFERENCE = {page.removeprefix("reference/"): text for page, text in DOCS.items() if page.startswith("reference/")}


@pytest.mark.parametrize("entry", setting_fields(), ids=lambda entry: str(entry.name))
def test_every_setting_is_documented_with_its_default_and_meaning(entry: object) -> None:
    metadata = entry.metadata  # type: ignore[attr-defined]
    assert f"`{metadata['variable']}`" in REFERENCE["settings"]
    assert metadata["meaning"] in REFERENCE["settings"]
    default = default_of(entry)  # type: ignore[arg-type]
    if isinstance(default, int) and not isinstance(default, bool):
        assert str(default) in REFERENCE["settings"].replace(",", "").replace("_", "")


def test_no_setting_is_documented_that_is_not_there() -> None:
    known = {entry.metadata["variable"] for entry in setting_fields()}
    text = " ".join(DOCS.values())
    assert set(re.findall(r"\bTURSO_HOOKS_[A-Z_]+[A-Z]\b|\bTURSO_[A-Z]+_[A-Z]+\b", text)) <= known


@pytest.mark.parametrize("entry", setting_fields(), ids=lambda entry: str(entry.name))
def test_every_setting_is_read_from_its_variable(entry: object) -> None:
    given = {"bytes": "123456", "seconds": "1.5", "events": "7", "days": "8", "1 or 0": "yes", "path": "/x", "URL": "file:x"}
    metadata = entry.metadata  # type: ignore[attr-defined]
    settings = load_settings({metadata["variable"]: given.get(metadata["unit"], "t")})
    name = entry.name  # type: ignore[attr-defined]
    expected = {"bytes": 123456, "seconds": 1.5, "events": 7, "days": 8, "1 or 0": True, "path": Path("/x")}
    assert getattr(settings, name) == expected.get(metadata["unit"], given.get(metadata["unit"], "t"))
    assert "TURSO_AUTH_TOKEN" not in repr(settings)


def sections(text: str, mark: str) -> dict[str, str]:
    """What stands below each heading of a level, up to the next of the same level or a higher one."""
    found = re.split(rf"^{mark} (.*)\n", text, flags=re.MULTILINE)
    higher = rf"^#{{1,{len(mark)}}} "
    return {
        heading: re.split(higher, below, flags=re.MULTILINE)[0] for heading, below in zip(found[1::2], found[2::2], strict=True)
    }


def first_cells(text: str) -> set[str]:
    """The names in the first column of tables."""
    return {
        name for line in text.splitlines() if line.startswith("| `") for name in re.findall(r"`([^`]+)`", line.split(" | ")[0])
    }


def test_every_table_and_column_is_documented_and_no_other(tmp_path: Path) -> None:
    database = EmbeddedDatabase(tmp_path / "a.db")
    prepare_schema(database)
    tables = {
        table: {column for (column,) in database.execute(f"SELECT name FROM pragma_table_info('{table}')").rows}
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").rows
    }
    database.close()
    described = {heading.strip("`"): first_cells(text) for heading, text in sections(REFERENCE["schema"], "###").items()}
    assert {name for name in described if name.islower()} <= tables.keys()
    for table, columns in tables.items():
        assert f"`{table}`" in REFERENCE["schema"]
        if table in described:
            assert described[table] == columns, table
        for column in columns:
            assert f"`{column}`" in REFERENCE["schema"], f"{table}.{column}"


def test_every_event_and_field_is_documented_and_no_other() -> None:
    text = REFERENCE["hooks"]
    common = first_cells(sections(text, "##")["Fields of every event"])
    described = sections(text, "###")
    assert {name for heading in described for name in re.findall(r"`(\w+)\(event", heading)} == {
        hook_name(kind) for kind in EVENT_TYPES
    }
    for kind in EVENT_TYPES:
        ((heading, below),) = [(heading, below) for heading, below in described.items() if f"`{hook_name(kind)}(" in heading]
        assert f"(event: {kind.__name__})" in heading
        for field in set(kind.__struct_fields__) - common:
            assert f"`{field}`" in below, f"{kind.__name__}.{field}"
        assert common <= set(kind.__struct_fields__)
        kinds = [one for one in EVENT_TYPES if f"`{hook_name(one)}(" in heading]
        parts = {
            name for line in below.splitlines() if re.match(r"\| `\w+Part`", line) for name in re.findall(r"`(\w+)`", line)
        }
        known = {field for one in kinds for field in one.__struct_fields__}
        assert first_cells(below) - parts <= known


def all_commands() -> dict[str, click.Command]:
    """Each command by its words."""
    context = click.Context(commands)
    found: dict[str, click.Command] = {}
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        assert command is not None
        inner = {f"{name} {inner}": one for inner, one in command.commands.items()} if isinstance(command, click.Group) else {}
        found |= inner or {name: command}
    return found


OF_ALL = {"--help", "--json", "--jsonl", "--db", "--version"}
FILTERS = {"--agent", "--model", "--provider", "--project", "--user", "--runner", "--status", "--parent", "--since", "--until"}


def options_of(command: click.Command) -> set[str]:
    return {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }


def test_every_command_and_option_is_documented_where_it_belongs() -> None:
    described = sections(REFERENCE["commands"], "##")
    for name, command in all_commands().items():
        headings = [heading for heading in described if re.search(rf"`turso-hooks {name}[ `]", heading)]
        assert len(headings) == 1, f"{name} has {len(headings)} headings"
        text = headings[0] + described[headings[0]]
        for option in options_of(command) - OF_ALL - (FILTERS if "FILTERS" in text else set()):
            assert re.search(rf"{option}(?![\w-])", text), f"{name} {option}"


def test_every_command_and_option_that_is_named_is_there() -> None:
    """In whatever page, and in what the commands say themselves: each command line in backticks could be typed."""
    known = all_commands()
    groups = {name.split()[0] for name in known if " " in name}
    texts = {**DOCS, "CHANGELOG": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")}
    texts |= {name: command.help or "" for name, command in known.items()}
    texts |= {str(path): path.read_text(encoding="utf-8") for path in (ROOT / "turso_hooks").rglob("*.py")}
    for page, text in texts.items():
        for line in re.findall(r"`turso-hooks ([a-z][^`\n]*)`", text):
            words = line.split(" -- ")[0].split()
            name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
            assert name in known or words in [[group] for group in groups], f"{page}: turso-hooks {line}"
            if name in known:
                given = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", line.split(" -- ")[0]))
                assert given <= options_of(known[name]) | OF_ALL, f"{page}: turso-hooks {line}"


def test_every_public_name_is_documented() -> None:
    text = "\n".join(DOCS.values())
    for name in turso_hooks.__all__:
        assert re.search(rf"\b{name}\b", text), name
    for name in testing.__all__:
        assert re.search(rf"\b{name}\b", DOCS["extending/testing"]), name
    for name in query.__all__:
        assert re.search(rf"\b{name}\b", REFERENCE["reading"]), name


def test_every_way_to_read_is_documented_as_it_is_called_and_no_other() -> None:
    methods = {shown(name, method) for name, method in vars(query.Reader).items() if not name.startswith("_")}
    assert first_cells(sections(REFERENCE["reading"], "##")["Methods"]) == methods


def shown(name: str, method: Callable[..., object]) -> str:
    """A call of a method, with its defaults and without types."""
    pieces: list[str] = []
    for parameter in list(inspect.signature(method).parameters.values())[1:]:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in pieces:
            pieces.append("*")
        default = "" if parameter.default is parameter.empty else f"={json.dumps(parameter.default, default=list)}"
        prefix = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        pieces.append(f"{prefix}{parameter.name}{default}".replace("=null", "=None").replace("=[]", "=()"))
    return f"{name}({', '.join(pieces)})"


def test_every_result_and_its_fields_are_documented_and_no_other() -> None:
    described = {}
    for line in sections(REFERENCE["reading"], "##")["Results"].splitlines():
        if line.startswith("| `"):
            name, _, fields = line.strip("| ").split(" | ")
            described[name.strip("`")] = re.findall(r"`(\w+)`", fields)
    results = {name: fields_of(getattr(query, name)) for name in query.__all__}
    assert described == {name: fields for name, fields in results.items() if fields}


def fields_of(kind: Any) -> list[str]:
    if dataclasses.is_dataclass(kind):
        return [entry.name for entry in dataclasses.fields(kind)]
    return list(getattr(kind, "__struct_fields__", getattr(kind, "_fields", ())))


def test_a_segment_is_read_with_nothing_but_what_its_page_says(tmp_path: Path) -> None:
    """By a reader made of the table of a record's bytes, and of the salt and the encoding that are told below it."""
    recorder = Recorder(Settings(database_url=f"file:{tmp_path}/nowhere/a.db", state_folder=tmp_path / "state"))
    for n in range(3):
        recorder.record(MessageAdded(session_id="s", role="user", content=f"Hello {n}"))
    recorder.close(0)
    page = sections(REFERENCE["journal"], "##")["Format of a record"]
    rows = {
        what: (int(first), int(last or 0))
        for first, last, what in re.findall(r"^\| (\d+)-(\d*) \| (.*) \|$", page, re.MULTILINE)
    }
    (segment,) = (tmp_path / "state").rglob("*.segment")
    salt = zlib.crc32(segment.name[:32].encode())
    raw, at, records = segment.read_bytes(), 0, []

    def piece(begin: str) -> bytes:
        ((first, last),) = [place for what, place in rows.items() if what.startswith(begin)]
        return raw[at + first : at + last + 1]

    def number(begin: str) -> int:
        return int.from_bytes(piece(begin), "little")

    ((header_bytes, _),) = [place for what, place in rows.items() if what == "the payload"]
    while at < len(raw):
        payload = raw[at + header_bytes : at + header_bytes + number("length of the payload")]
        assert f"`{piece('the marker').hex(' ').upper()}`" in page
        assert number("CRC-32 of bytes 0-15") == zlib.crc32(raw[at : at + 16], salt)
        assert number("CRC-32 of the payload") == zlib.crc32(payload)
        records.append((number("number"), msgspec.msgpack.decode(payload)))
        at += header_bytes + len(payload)
    assert [n for n, _ in records] == list(range(len(records)))
    assert [event["content"] for _, event in records if event["type"] == "message_added"] == [f"Hello {n}" for n in range(3)]


def test_every_reason_of_a_count_is_documented_and_no_other() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "turso_hooks").rglob("*.py"))
    documented = first_cells(sections(REFERENCE["journal"], "##")["Counts"])
    for reason in documented:
        assert re.search(rf'"{reason}"', code), f"{reason} is counted nowhere"
    counted = set(re.findall(r'counts?(?:\.add)?\("([a-z_]+)"', code)) | set(
        re.findall(r'^    reason = "([a-z_]+)"', code, re.MULTILINE)
    )
    counted |= REFUSED | KEPT_OTHERWISE | NO_EVENTS
    assert counted - {"journal_failed"} <= documented  # the class above those that are raised


def test_the_layers_that_are_shown_are_those_that_hold() -> None:
    listed = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("layers = [")[1].split("]")[0]
    layers = re.findall(r'^    "([a-z_ |]+)",$', listed, re.MULTILINE)
    rows = sections(DOCS["architecture"], "##")["Modules"].splitlines()
    shown = [set(re.findall(r"`(\w+)`", row.split(" | ")[0])) for row in rows if row.startswith("| `")]
    assert shown == [set(layer.split(" | ")) for layer in layers]


def test_every_test_that_a_guarantee_names_is_there() -> None:
    text = DOCS["guarantees"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in code, name
    for path in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path


def test_links_lead_somewhere() -> None:
    """Those of the site are checked when it is built; those of the README, and all in a checkout, here."""
    pages = {**PAGES, "CHANGELOG": ROOT / "CHANGELOG.md", "custom_plugin": ROOT / "examples" / "custom_plugin" / "README.md"}
    for path in pages.values():
        for link in re.findall(r"\]\(([\w./-]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path}: {link}"


def test_the_site_is_built_without_warnings(tmp_path: Path) -> None:
    """Links and anchors that lead nowhere, and pages that are in no menu, are warnings."""
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.parent.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("index.html")}
    assert set(DOCS) - {"index", "README"} <= pages


def test_every_rule_of_conformance_is_documented_as_it_is() -> None:
    for name, what in RULES.items():
        assert f"| `{name}` | {what} |" in DOCS["extending/testing"]
