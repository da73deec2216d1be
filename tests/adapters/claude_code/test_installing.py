"""Hooks in Claude Code's settings: put in and taken out, and nothing else touched."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from turso_hooks.adapters.claude_code.installing import hooked_events, with_hooks, without_hooks
from turso_hooks.errors import SettingsError
from turso_hooks.transcripts.claude_code_hooks import REGISTERED

COMMAND = "/home/ada/.venv/bin/turso-hooks hook claude-code"
OTHER = {"matcher": "Bash", "hooks": [{"type": "command", "command": "~/bin/check.sh"}]}


def ours(command: str = COMMAND) -> dict[str, Any]:
    return {"hooks": [{"type": "command", "command": command, "timeout": 10}]}


def commands(settings: dict[str, Any]) -> list[str]:
    return [hook["command"] for entries in settings["hooks"].values() for entry in entries for hook in entry["hooks"]]


def test_every_event_worth_a_hook_gets_one() -> None:
    settings = with_hooks({}, COMMAND)
    assert list(settings) == ["hooks"]
    assert list(settings["hooks"]) == list(REGISTERED) == hooked_events(settings)
    assert commands(settings) == [COMMAND] * len(REGISTERED)


def test_only_what_may_not_be_missed_is_waited_for() -> None:
    hooks = with_hooks({}, COMMAND)["hooks"]
    waited_for = [event for event, ((entry),) in hooks.items() if "async" not in entry["hooks"][0]]
    assert waited_for == ["SessionStart", "Stop", "SessionEnd"]
    assert {hook["timeout"] for (entry,) in hooks.values() for hook in entry["hooks"]} == {10}


def test_everything_else_stays_as_it_is_and_where_it_is() -> None:
    before = {
        "model": "opus",
        "hooks": {"Notification": [OTHER], "Stop": [OTHER, ours("~/bin/beep")], "PreToolUse": []},
        "env": {"TURSO_DATABASE_URL": "file:agents.db"},
        "permissions": {"allow": ["Bash(ls:*)"]},
    }
    kept = copy.deepcopy(before)
    after = with_hooks(before, COMMAND)
    assert before == kept
    assert list(after) == ["model", "hooks", "env", "permissions"]
    assert {key: after[key] for key in ("model", "env", "permissions")} == {
        key: before[key] for key in ("model", "env", "permissions")
    }
    assert list(after["hooks"])[:3] == ["Notification", "Stop", "PreToolUse"]
    assert after["hooks"]["Notification"] == [OTHER]
    assert after["hooks"]["Stop"] == [OTHER, ours("~/bin/beep"), ours()]
    assert len(after["hooks"]["PreToolUse"]) == 1
    assert hooked_events(before) == []
    assert sorted(hooked_events(after)) == sorted(REGISTERED)


def test_a_second_time_nothing_changes() -> None:
    once = with_hooks({"model": "opus", "hooks": {"Stop": [OTHER]}}, COMMAND)
    assert with_hooks(once, COMMAND) is once
    assert without_hooks(without_hooks(once)) == without_hooks(once)


OLDER = [
    "turso-hooks hook claude-code",
    "/old/venv/bin/turso-hooks hook claude-code",
    "'/old venv/bin/turso-hooks' hook claude-code",
    '"/old venv/bin/turso-hooks" hook claude-code',
    "C:\\venv\\Scripts\\turso-hooks.exe hook claude-code",
    '"C:\\my venv\\turso-hooks.exe" hook claude-code',
]


@pytest.mark.parametrize("older", OLDER)
def test_an_older_path_of_ours_is_replaced(older: str) -> None:
    settings = with_hooks({"hooks": {"Stop": [OTHER]}}, older)
    again = with_hooks(settings, COMMAND)
    assert [command for command in commands(again) if command != "~/bin/check.sh"] == [COMMAND] * len(REGISTERED)
    assert without_hooks(settings) == {"hooks": {"Stop": [OTHER]}}


def test_one_of_ours_where_we_put_none_is_taken_out_too() -> None:
    mixed = {"matcher": "*", "hooks": [{"type": "command", "command": "a"}, *ours()["hooks"]]}
    settings = {"hooks": {"Notification": [ours()], "PreToolUse": [mixed]}}
    assert hooked_events(settings) == ["Notification", "PreToolUse"]
    left = {"matcher": "*", "hooks": [{"type": "command", "command": "a"}]}
    assert without_hooks(settings) == {"hooks": {"PreToolUse": [left]}}


@pytest.mark.parametrize(
    "command",
    [
        "turso-hooks hook claude-code --verbose",
        "turso-hooks hook claude-code; beep",
        "my-turso-hooks-wrapper hook claude-code",
        "turso-hooks drain",
        "echo turso-hooks",
        "",
    ],
)
def test_what_only_resembles_ours_is_left_alone(command: str) -> None:
    settings = {"hooks": {"Stop": [ours(command)]}}
    assert (without_hooks(settings), hooked_events(settings)) == (settings, [])
    assert with_hooks(settings, COMMAND)["hooks"]["Stop"] == [ours(command), ours()]


def test_nothing_empty_is_left_and_nothing_empty_is_lost() -> None:
    assert without_hooks(with_hooks({}, COMMAND)) == {}
    assert without_hooks({"hooks": {}}) == {"hooks": {}}
    assert without_hooks({"hooks": {"Stop": []}}) == {"hooks": {"Stop": []}}
    assert without_hooks({"hooks": {"Stop": [{"hooks": []}]}}) == {"hooks": {"Stop": [{"hooks": []}]}}


@pytest.mark.parametrize("hooks", [None, [], "x", 7, True, {"Stop": {}}, {"Stop": None}, {"Stop": [], "PreToolUse": "ls"}])
@pytest.mark.parametrize("function", [lambda settings: with_hooks(settings, COMMAND), without_hooks, hooked_events])
def test_settings_of_another_form_are_refused_with_a_sentence(function: Any, hooks: Any) -> None:
    settings = {"hooks": hooks, "model": "opus"}
    kept = copy.deepcopy(settings)
    with pytest.raises(SettingsError, match=r'^"hooks" is not an object of lists, as Claude Code has it: mend that first$'):
        function(settings)
    assert settings == kept


@pytest.mark.parametrize("entry", [None, 7, "x", [], {}, {"hooks": None}, {"hooks": {}}, {"hooks": [None, 7, {"command": 7}]}])
def test_entries_of_another_form_are_left_alone(entry: Any) -> None:
    settings = {"hooks": {"Stop": [entry]}}
    assert without_hooks(with_hooks(settings, COMMAND)) == settings
    assert with_hooks(settings, COMMAND)["hooks"]["Stop"][0] == entry


# Whatever there is

names = st.sampled_from([*REGISTERED, "Notification", "PreCompact", "", "é"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
hook_objects = st.fixed_dictionaries(
    {"type": st.just("command"), "command": st.text(max_size=20) | st.just("turso-hooks drain")},
    optional={"timeout": st.integers(1, 60), "async": st.booleans()},
)
entries = st.fixed_dictionaries(
    {"hooks": st.lists(hook_objects | json_values, max_size=3)}, optional={"matcher": st.text(max_size=5)}
)
some_entries = st.lists((entries | json_values).filter(lambda entry: entry is not None), max_size=3)
hooks_objects = st.dictionaries(names, some_entries, max_size=5)
settings_objects = st.builds(
    lambda others, hooks, is_first: {**({"hooks": hooks} if is_first else {}), **others, "hooks": hooks},
    st.dictionaries(st.text(max_size=5).filter(lambda name: name != "hooks"), json_values, max_size=4),
    hooks_objects,
    st.booleans(),
) | st.dictionaries(st.text(max_size=5).filter(lambda name: name != "hooks"), json_values, max_size=4)


@given(settings_objects)
def test_what_was_put_in_can_be_taken_out_again(before: dict[str, Any]) -> None:
    assume(hooked_events(before) == [])
    text = json.dumps(before)
    after = with_hooks(before, COMMAND)
    assert json.dumps(before) == text
    assert sorted(hooked_events(after)) == sorted(REGISTERED)
    assert with_hooks(after, COMMAND) == after
    back = without_hooks(after)
    if before.get("hooks") == {}:
        before = {key: value for key, value in before.items() if key != "hooks"}  # what is empty then is taken out too
    hooks = {event: entries for event, entries in before.get("hooks", {}).items() if entries or event not in REGISTERED}
    assert back == ({**before, "hooks": hooks} if hooks else {key: before[key] for key in before if key != "hooks"})
    assert [key for key in back if key != "hooks"] == [key for key in before if key != "hooks"]


@given(settings_objects, st.sampled_from(OLDER))
def test_the_path_of_another_installation_is_replaced_wherever_it_is(before: dict[str, Any], older: str) -> None:
    assert with_hooks(with_hooks(before, older), COMMAND) == with_hooks(before, COMMAND)
