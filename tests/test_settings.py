from __future__ import annotations

import logging
import os
import pwd
import re
import sys
import threading
from pathlib import Path

import pytest

from turso_hooks.errors import SettingsError
from turso_hooks.events import MessageAdded
from turso_hooks.plugin import Recorder
from turso_hooks.settings import LONGEST_S, Settings, default_of, load_settings, setting_fields

NUMBERS = {
    entry.metadata["variable"]: entry
    for entry in setting_fields()
    if isinstance(default_of(entry), (int, float)) and not isinstance(default_of(entry), bool)
}
LONG = "9" * 5000


def test_every_variable_is_read_and_an_empty_one_counts_as_unset() -> None:
    given = {
        "TURSO_DATABASE_URL": "file:a.db",
        "TURSO_AUTH_TOKEN": "t",
        "TURSO_HOOKS_STATE_FOLDER": "/s",
        "TURSO_HOOKS_MAX_EVENT_BYTES": "16_777_216",
        "TURSO_HOOKS_JOURNAL_MAX_BYTES": "0",
        "TURSO_HOOKS_SEGMENT_BYTES": "4096",
        "TURSO_HOOKS_FSYNC": "yes",
        "TURSO_HOOKS_SHIP_INTERVAL_S": "0.5",
        "TURSO_HOOKS_BATCH_EVENTS": "1",
        "TURSO_HOOKS_SEARCH_INDEX": "0",
        "TURSO_HOOKS_RETENTION_DAYS": "90",
        "TURSO_HOOKS_REQUEST_TIMEOUT_S": "2.5",
        "TURSO_HOOKS_ALLOW_UNENCRYPTED_TOKEN": "1",
        "TURSO_HOOKS_EXIT_TIMEOUT_S": "0",
    }
    assert set(given) == {entry.metadata["variable"] for entry in setting_fields()}
    assert load_settings(given) == Settings(
        "file:a.db",
        "t",
        Path("/s"),
        16_777_216,
        0,
        4096,
        fsync=True,
        ship_interval_s=0.5,
        batch_events=1,
        search_index=False,
        retention_days=90,
        request_timeout_s=2.5,
        allow_unencrypted_token=True,
        exit_timeout_s=0.0,
    )
    assert load_settings(dict.fromkeys(given, "")) == load_settings({}) == Settings()


@pytest.mark.parametrize("variable", NUMBERS)
@pytest.mark.parametrize(
    "wrong", ["many", "-1", "nan", "inf", "1e999", " ", "0x10", "1,000", "1 000", "-0.5", f"-{LONG}", f"{LONG}x"]
)
def test_a_wrong_number_gives_one_sentence_with_the_variable_and_what_it_may_be(variable: str, wrong: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({variable: wrong})
    sentence = str(caught.value)
    assert re.fullmatch(rf"{variable} must be a (whole )?number of at least [\d.]+( and at most \d+)?, not .+", sentence)
    assert len(sentence) < 200


@pytest.mark.parametrize("variable", NUMBERS)
def test_the_smallest_value_is_taken_and_the_next_below_is_not(variable: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({variable: "-1"})
    smallest = str(caught.value).split("at least ")[1].split()[0].rstrip(",")
    load_settings({variable: smallest})
    below = str(float(smallest) / 2) if "whole" not in str(caught.value) else str(int(smallest) - 1)
    if float(smallest):
        with pytest.raises(SettingsError, match=f"at least {smallest}.*, not '{below}'"):
            load_settings({variable: below})


@pytest.mark.parametrize("variable", [name for name, entry in NUMBERS.items() if entry.metadata["unit"] == "seconds"])
def test_the_longest_time_is_taken_and_a_longer_one_is_not(variable: str) -> None:
    load_settings({variable: str(LONGEST_S)})
    for longer in (str(LONGEST_S + 1), "1e12"):
        with pytest.raises(SettingsError, match=f"{variable} must be .* at most {LONGEST_S}, not '{re.escape(longer)}'"):
            load_settings({variable: longer})


def test_the_longest_time_is_one_that_everything_waits_for_and_is_documented() -> None:
    assert LONGEST_S * 1000 < 2**31  # poll counts milliseconds in a C int
    assert threading.TIMEOUT_MAX > LONGEST_S
    text = (Path(__file__).parents[1] / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert f"at most {LONGEST_S}" in text


@pytest.mark.parametrize(
    ("variable", "wrong", "said"),
    [
        ("TURSO_HOOKS_FSYNC", "maybe", "TURSO_HOOKS_FSYNC must be 1 or 0 (or true/false, yes/no, on/off), not 'maybe'"),
        ("TURSO_HOOKS_STATE_FOLDER", "~no-such-user/x", "TURSO_HOOKS_STATE_FOLDER must be a folder, not '~no-such-user/x'"),
    ],
)
def test_other_wrong_values_say_what_they_may_be(variable: str, wrong: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        load_settings({variable: wrong})


@pytest.mark.parametrize(
    ("variable", "wrong"), [("TURSO_HOOKS_BATCH_EVENTS", "0"), ("TURSO_HOOKS_STATE_FOLDER", "~no-such-user/x")]
)
def test_with_a_wrong_value_nothing_is_kept_it_is_said_once_and_the_agent_goes_on(
    variable: str, wrong: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, database: Path
) -> None:
    monkeypatch.setenv("TURSO_DATABASE_URL", f"file:{database}")
    monkeypatch.setenv(variable, wrong)
    recorder = Recorder()
    with caplog.at_level(logging.DEBUG, logger="turso_hooks"):
        for _ in range(3):
            recorder.record(MessageAdded(session_id="s", role="user"))
    (said,) = caplog.messages
    assert variable in said
    assert recorder.flush(1).is_complete
    assert not database.exists()


@pytest.mark.skipif(sys.platform == "darwin", reason="the folders are those of Linux")
@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, "/home/ada/.local/state/turso-hooks"),
        ({"XDG_STATE_HOME": "/xdg/state"}, "/xdg/state/turso-hooks"),
        ({"XDG_STATE_HOME": "xdg/state"}, "/home/ada/.local/state/turso-hooks"),
        ({"XDG_STATE_HOME": " /xdg/state"}, "/home/ada/.local/state/turso-hooks"),
        ({"XDG_STATE_HOME": ""}, "/home/ada/.local/state/turso-hooks"),
        ({"HOME": "ada"}, f"{pwd.getpwuid(os.getuid()).pw_dir}/.local/state/turso-hooks"),
        ({"HOME": ""}, f"{pwd.getpwuid(os.getuid()).pw_dir}/.local/state/turso-hooks"),
    ],
)
def test_the_state_folder_does_not_depend_on_where_a_process_runs(
    variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert load_settings({}).state_folder == Path(folder)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)  # as containers run programs under any number
    with pytest.raises(SettingsError, match="set TURSO_HOOKS_STATE_FOLDER"):
        load_settings({})
    monkeypatch.setenv("HOME", "/")
    assert str(load_settings({}).state_folder) == "/.local/state/turso-hooks"


def test_secrets_are_not_shown() -> None:
    shown = repr(load_settings({"TURSO_DATABASE_URL": "https://u:secret@h", "TURSO_AUTH_TOKEN": "secret"}))
    assert "secret" not in shown
    assert "batch_events=1000" in shown


def test_what_is_passed_wins_over_the_environment_but_none_does_not() -> None:
    found = load_settings({"TURSO_HOOKS_BATCH_EVENTS": "7", "TURSO_DATABASE_URL": "file:a"}, batch_events=9, database_url=None)
    assert (found.batch_events, found.database_url) == (9, "file:a")
