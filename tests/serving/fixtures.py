"""Fixtures that start the servers and end them, whatever becomes of the test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.proxy import Proxy
from serving.servers import Certificates, LibsqlServer, Missing, Nginx, Server, TursoServer


@contextlib.contextmanager
def skipping() -> Iterator[None]:
    """Skip the test where a program is missing; .ci/run takes no such excuse."""
    try:
        yield
    except Missing as error:
        pytest.skip(str(error))


@contextlib.contextmanager
def running(server: Server) -> Iterator[None]:
    try:
        with skipping():
            server.start()
        yield
    finally:
        server.kill()


@pytest.fixture
def turso_server(tmp_path: Path) -> Iterator[TursoServer]:
    """A Turso server with a file of its own."""
    server = TursoServer(tmp_path / "turso" / "served.db")
    with running(server):
        yield server


@pytest.fixture
def libsql_server(tmp_path: Path) -> Iterator[LibsqlServer]:
    """A libSQL server with nothing in it."""
    server = LibsqlServer(tmp_path / "libsql")
    with running(server):
        yield server


@pytest.fixture
def guarded_libsql_server(tmp_path: Path) -> Iterator[LibsqlServer]:
    """A libSQL server that wants a token."""
    with skipping():
        server = LibsqlServer(tmp_path / "guarded", with_token=True)
    with running(server):
        yield server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    with skipping():
        return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def nginx(tmp_path: Path, certificates: Certificates) -> Iterator[Callable[[str], Nginx]]:
    """Start nginx before a server: `nginx(libsql_server.url)`."""
    with contextlib.ExitStack() as stack:

        def start(upstream_url: str) -> Nginx:
            folder = tmp_path / f"nginx{len(list(tmp_path.glob('nginx*')))}"
            server = Nginx(folder, upstream_url, certificates)
            stack.enter_context(running(server))
            return server

        yield start


@pytest.fixture
def proxy() -> Iterator[Callable[[int], Proxy]]:
    """Put a network before a server: `proxy(libsql_server.port)`."""
    with contextlib.ExitStack() as stack:

        def start(upstream_port: int) -> Proxy:
            made = Proxy(upstream_port)
            stack.callback(made.close)
            return made

        yield start
