"""Every example runs and shows what it promises; so does the benchmark."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[1]
ROOT = HERE.parents[1]


def run(program: str, *arguments: object) -> str:
    """What a program of the package prints."""
    command = [sys.executable, str(HERE / program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_quickstart_shows_what_it_promises(tmp_path: Path) -> None:
    lines = run("examples/quickstart.py", tmp_path).splitlines()
    assert lines[0] == "stored: 1.5 0.5"
    assert lines[1] == "objects: 1001 sum of ids: 499542"
    assert lines[2] == "in order: [('p/00042', 42), ('p/00043', 43)]"
    assert lines[3] == "grid: 40 GB, of which 3 numbers are set"
    assert lines[4].startswith("later: 1.5 <Layout")


def test_the_counters_of_all_workers_are_exact(tmp_path: Path) -> None:
    assert run("examples/shared_counters.py", tmp_path) == (
        "requests: 40000, bytes: 4060000, by worker: [10000, 10000, 10000, 10000]\n"
    )


def check_board(said: str) -> None:
    first, *readers = said.splitlines()
    killed_at = re.fullmatch(r"the first feed was killed; the board is still there, at quote (\d+)", first)
    assert killed_at is not None
    assert int(killed_at[1]) >= 1000
    assert len(readers) == 2
    for reader in readers:
        assert re.fullmatch(
            r"reader: 4 symbols, \d+ looks, never half a quote, the last one at least 4000", reader
        )


def test_a_board_goes_on_when_its_feed_is_killed(tmp_path: Path) -> None:
    check_board(run("examples/quote_board.py", tmp_path))


def rust_example(name: str) -> Path:
    """The program of an example in Rust."""
    assert shutil.which("cargo"), "this test builds a program in Rust: cargo is wanted on the PATH"
    build = ["cargo", "build", "--quiet", "--locked", "--package", "structchunk", "--example", name]
    subprocess.run([*build, "--target-dir", str(ROOT / "target")], cwd=ROOT, check=True, timeout=1200)
    return ROOT / "target/debug/examples" / name


def test_rust_and_python_feed_and_read_one_board(tmp_path: Path) -> None:
    check_board(run("examples/quote_board.py", tmp_path, rust_example("quote_board")))


def test_rust_and_python_add_to_the_same_counters_and_watch_each_other(tmp_path: Path) -> None:
    assert run("examples/shared_counters.py", tmp_path, rust_example("mixed_counters")) == (
        "requests: 80000, bytes: 8120000, by worker: [20000, 20000, 20000, 20000]\n"
    )


def test_the_benchmark_compares_what_is_installed(tmp_path: Path) -> None:
    table = run("benchmarks/compare.py", "--quick", "--json", tmp_path / "numbers.json")
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert (numbers["objects"], numbers["rounds"]) == (2000, 1)
    medians = numbers["medians"]
    assert set(medians) == {
        "bulk load",
        "bulk load in any order",
        "open and get one",
        "get a field",
        "update in place",
        "add, all processes",
    }
    for work, by_engine in medians.items():
        others = (
            {"multiprocessing.Lock"}
            if work.startswith("add")
            else {"dict + numpy.memmap", "sqlite3", "shelve"}
        )
        assert others | {"structchunk"} <= set(by_engine)
        assert all(value > 0 for value in by_engine.values())
    assert all(engine in table for engine in medians["get a field"])
