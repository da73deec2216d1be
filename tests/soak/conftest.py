"""How long a soak lasts, what happens in it, and where its report goes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

SOAK_S = {"short": 120.0, "long": 1800.0}


@pytest.fixture
def duration_s(pytestconfig: pytest.Config) -> float:
    asked = pytestconfig.getoption("soak")
    return SOAK_S.get(asked) or float(asked)


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    asked: int | None = pytestconfig.getoption("soak_seed")
    return random.randrange(10**6) if asked is None else asked


@pytest.fixture
def report_path(pytestconfig: pytest.Config, tmp_path: Path) -> Path:
    asked: Path | None = pytestconfig.getoption("soak_report")
    return asked or tmp_path / "soak.md"
