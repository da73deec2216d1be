from __future__ import annotations

from pathlib import Path

import pytest

from turso_hooks.drivers import parse_database_url, target_of_name
from turso_hooks.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:agents.db", "agents.db"),
        ("file:./a/../agents.db", "agents.db"),
        ("file:my%20agents.db", "my agents.db"),
        ("file:my agents.db", "my agents.db"),
        ("file:100%.db", "100%.db"),
        ("file:what%3F.db", "what?.db"),
        ("file:ümlaut.db", "ümlaut.db"),
        ("FILE:agents.db", "agents.db"),
    ],
)
def test_a_relative_file_is_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_database_url(url).path == tmp_path / path


@pytest.mark.parametrize("url", ["file:/x/agents.db", "file:///x/agents.db", "file://localhost/x/agents.db"])
def test_an_absolute_file_may_be_written_in_three_ways(url: str) -> None:
    target = parse_database_url(url)
    assert (target.path, target.name) == (Path("/x/agents.db"), "file:/x/agents.db")


def test_two_ways_to_one_file_are_one_database(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert parse_database_url(f"file:{tmp_path}/link/a.db") == parse_database_url(f"file:{tmp_path}/a.db")


def test_a_server_is_named_without_its_secrets() -> None:
    target = parse_database_url("libsql://db.example.io:8080/path/?authToken=secret")
    assert (target.path, target.name, target.auth_token) == (None, "libsql://db.example.io:8080/path", "secret")
    assert "secret" not in repr(target)


@pytest.mark.parametrize(
    ("url", "name", "reached_at"),
    [
        ("libsql://db.example.io", "libsql://db.example.io", "https://db.example.io"),
        ("turso://DB.example.io/", "libsql://db.example.io", "https://db.example.io"),
        ("https://db.example.io:443", "libsql://db.example.io", "https://db.example.io"),
        ("libsql://db.example.io:8080?tls=1", "libsql://db.example.io:8080", "https://db.example.io:8080"),
        ("libsql://db.example.io:8080?tls=0", "http://db.example.io:8080", "http://db.example.io:8080"),
        ("http://db.example.io:80?tls=0", "http://db.example.io", "http://db.example.io"),
        ("http://[::1]:8080", "http://[::1]:8080", "http://[::1]:8080"),
        ("wss://db.example.io/path?authToken=", "wss://db.example.io/path", "wss://db.example.io/path"),
        ("ws://db.example.io", "ws://db.example.io", "ws://db.example.io"),
        ("http://db.example.io/a b/é%20", "http://db.example.io/a%20b/%C3%A9%20", "http://db.example.io/a%20b/%C3%A9%20"),
    ],
)
def test_each_way_to_write_a_server_is_one_database(url: str, name: str, reached_at: str) -> None:
    target = parse_database_url(url)
    assert target.server is not None
    assert (target.name, target.server.url) == (name, reached_at)
    assert target_of_name(target.name) == target


def test_a_name_that_is_no_url_is_a_database_of_which_only_the_name_is_known() -> None:
    target = target_of_name("unknown:0123")
    assert (target.name, target.path, target.server) == ("unknown:0123", None, None)


@pytest.mark.parametrize(
    "host",
    ["agents..turso.io", ".turso.io", ".", f"{'a' * 64}.turso.io", f"{'ü' * 60}.example", "exa mple", "*", "a%20b", "[v1.a:b]"],
)
def test_a_host_name_that_cannot_be_one_is_found_before_it_is_asked_for(host: str) -> None:
    with pytest.raises(SettingsError, match="has a host name that cannot be one|cannot be read: write libsql://HOST"):
        parse_database_url(f"http://{host}:1")


@pytest.mark.parametrize(
    "host", ["a_b.example", "db", "db.example.", "10.0.0.1", "[fe80::1%eth0]", f"{'a' * 63}.io", "münchen.io"]
)
def test_a_host_name_that_can_be_one_is_left_to_the_resolver(host: str) -> None:
    server = parse_database_url(f"http://{host}:1").server
    assert server is not None
    assert server.url == f"http://{host}:1"


def test_a_relative_file_without_a_working_folder_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(SettingsError, match=r"leads to no file \(No such file or directory\): write an absolute one"):
        parse_database_url("file:agents.db")


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("localhost", True),
        ("db.localhost", False),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("localhost.example.io", False),
        ("10.0.0.1", False),
        ("127.0.0.1.example.io", False),
    ],
)
def test_this_machine_is_told_from_others_by_name(host: str, is_here: bool) -> None:
    server = parse_database_url(f"http://{host}:8080").server
    assert server is not None
    assert server.is_here is is_here


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("agents.db", "did you mean file:agents.db"),
        ("C:/agents.db", "no scheme"),
        ("postgres://x:secret@y/z", "unknown scheme 'postgres'"),
        ("file:", "names no file"),
        ("file:folder/", "names no file"),
        ("file::memory:", "no file that lasts"),
        ("file:a.db?mode=ro", "%3F"),
        ("file://host/a.db", "names the host 'host'"),
        ("libsql://", "names no host"),
        ("libsql://user:secret@db.example.io", "goes into TURSO_AUTH_TOKEN"),
        ("libsql://db.example.io?tls=1#fragment", "goes into TURSO_AUTH_TOKEN"),
        ("libsql://db.example.io?tls=0", "must name a port"),
        ("libsql://db.example.io?tls=secret", "tls=0 or tls=1"),
        ("libsql://db.example.io?token=secret", "authToken and tls"),
        ("https://db.example.io?tls=0", "contradicts its tls=0"),
        ("libsql://db.example.io&authToken=secret", "begin with a question mark"),
        ("libsql://db.example.io/&authToken=secret", "begin with a question mark"),
        ("libsql://db.example.io#authToken=secret", "goes into TURSO_AUTH_TOKEN"),
        ("libsql://db.example.io:eyJsecret.eyJsecret.secret", "cannot be read"),
        ("eyJsecret.eyJsecret.secret", "has no scheme"),
        ("ws://db.example.io?tls=1", "contradicts its tls=1"),
        ("libsql://x:port?authToken=secret", "cannot be read"),
        ("https:user:secret@db.example.io", "names no host"),
        ("odd:user:secret@db.example.io", "unknown scheme 'odd'"),
        ("libsql://user:pass?secret@db.example.io", "cannot be read"),
        ("libsql://db.example.io:secret", "cannot be read"),
        ("libsql://db.example.io:secret/path", "cannot be read"),
        ("libsql://[::1]:secret", "cannot be read"),
        ("libsql://db.example.io:0", "cannot be read"),
        ("file:/a@b/?token=secret", "'file:/a@b/'"),
        ("libsql://db.example.io authtoken=secret", "begin with a question mark"),
        ("127.0.0.1:18480", "did you mean http://127.0.0.1:18480"),
        ("localhost:8080/path?authToken=secret", "did you mean http://localhost:8080"),
        ("[::1]:8080", r"did you mean http://\[::1\]:8080"),
        ("agents-acme.turso.io:443", "did you mean libsql://agents-acme.turso.io:443"),
        ("user:1234/secret@db.example.io", "unknown scheme 'user'"),
        ("eyJsecret.eyJsecret.secret:8080", "unknown scheme"),
    ],
)
def test_a_wrong_url_is_refused_with_what_to_write_instead(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        parse_database_url(url)
    assert "secret" not in str(caught.value)
