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


def test_views_as_classes_and_as_dtypes_pass_a_strict_check(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(
        "import ctypes\nimport numpy as np\nimport structchunk\n"
        "class Point(ctypes.Structure):\n    _fields_ = [('x', ctypes.c_double)]\n"
        "def look(store: structchunk.Store) -> None:\n"
        "    point: Point = store.view('p', Point)\n    made: Point = store.require('q', Point, x=point.x)\n"
        "    print(store.view('a', 'f8').sum(), store.view('a', np.dtype('f8')).shape, made)\n"
        "    print(store.require('b', np.dtype('f8'), 1.5).shape, store.create('c', 'u4').shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
