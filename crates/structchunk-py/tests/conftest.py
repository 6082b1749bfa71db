"""What the tests share: a store, and programs that run in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structchunk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be."""
    return tmp_path / "a.store"


@pytest.fixture
def store(path: Path) -> Iterator[structchunk.Store]:
    """A new store with small chunks."""
    with structchunk.open(path, "x", chunk_capacity=256 << 10) as store:
        yield store


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], str]:
    """Runs a program in a process of its own, with every check of Python's; what it prints."""

    def run_it(program: str) -> str:
        environment = {**os.environ, "PYTHONMALLOC": "debug", "PYTHONFAULTHANDLER": "1"}
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", textwrap.dedent(program), str(tmp_path)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_it
