"""What type checkers are told is what there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]

CHECKS = {
    "mypy": ["mypy", "python"],
    "stubtest": ["mypy.stubtest", "structchunk", "--allowlist", "stubtest-allowed.txt"],
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
def test_types_are_as_they_are_said_to_be(check: list[str]) -> None:
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", *check], cwd=HERE, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout
