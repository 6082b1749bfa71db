"""structchunk beside what a Python user would take instead: the same work, in rounds that take turns, as medians.

    python benchmarks/compare.py --n 1000000 --json numbers.json

Objects are structures of 64 bytes under keys such as ``key:0000000042``. An engine that is not installed is left out. Numbers of a debug build
mean nothing: install the package with ``pip install .`` first.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import engines
import numpy as np
import structchunk

#: What is measured, and in what unit: seconds are multiplied by the first and divided by the number of operations.
WORK = {
    "bulk load": "us per object",
    "bulk load in any order": "us per object",
    "open and get one": "ms",
    "get a field": "us per get",
    "update in place": "us per update",
}


#: On a busy machine the time of this process says more than the time that passes, but for what waits for others.
clock = perf_counter


def timed(work: Callable[[], Any], now: Callable[[], float] | None = None) -> float:
    """Seconds."""
    now = now or clock
    gc.collect()
    gc.disable()
    try:
        start = now()
        work()
        return now() - start
    finally:
        gc.enable()


def measure(count: int, looks: int, rounds: int, folder: Path, seed: int) -> dict[str, dict[str, float]]:
    """By work and engine: the median over all rounds."""
    chance = random.Random(seed)
    keys = [f"key:{number:010}" for number in range(count)]
    shuffled = chance.sample(keys, count)
    records = np.zeros(count, engines.RECORD)
    records["id"], records["price"] = np.arange(count), np.arange(count) / 2
    samples: dict[str, dict[str, list[float]]] = {work: {} for work in WORK}
    made: list[engines.Engine] = []

    def note(work: str, engine: engines.Engine, value: float) -> None:
        samples[work].setdefault(engine.name, []).append(value)

    for cls in engines.installed():
        if count > cls.most:
            print(f"{cls.name}: left out above {cls.most} objects", file=sys.stderr)
            continue
        any_order = cls(folder / f"{cls.__name__} in any order")
        any_order.in_order = False
        for work, engine, some in (
            ("bulk load in any order", any_order, shuffled),
            ("bulk load", cls(folder / cls.__name__), keys),
        ):
            seconds = timed(lambda engine=engine, some=some: engine.load_all(some, records))
            note(work, engine, 1e6 * seconds / count)
            engine.close()
        made.append(engine)
    for _ in range(rounds):
        # Made anew, as keys are that come from elsewhere: to look through a million old strings takes as long as what is to be measured.
        asked, others = ([f"key:{chance.randrange(count):010}" for _ in range(looks)] for _ in range(2))
        chance.shuffle(made)
        for engine in made:
            first = asked[0]
            note(
                "open and get one",
                engine,
                1e3 * timed(lambda engine=engine, first=first: engine.open_and_get(first)),
            )
            some = asked[: max(1, looks // engine.slower)]
            engine.get_fields(some[: len(some) // 10 + 1])
            seen: list[float] = []
            seconds = timed(lambda engine=engine, some=some, seen=seen: seen.append(engine.get_fields(some)))
            wanted = sum(int(key[4:]) for key in some)
            if seen[0] != wanted:
                raise SystemExit(f"{engine.name} has found {seen[0]} and not {wanted}")
            note("get a field", engine, 1e6 * seconds / len(some))
            # In a store that is in use: the kernel looks at each page that is written to for the first time since it was opened.
            engine.update_fields(others[: len(some)])
            seconds = timed(lambda engine=engine, some=some: engine.update_fields(some))
            note("update in place", engine, 1e6 * seconds / len(some))
            engine.close()
    return {work: {name: median(values) for name, values in by.items()} for work, by in samples.items()}


class Adder:
    """A process that adds when it is told to."""

    def __init__(self, add: Callable[[int], None], times: int) -> None:
        context = multiprocessing.get_context("fork")
        self.ready, self.go, self.done = context.Event(), context.Event(), context.Event()
        self.process = context.Process(target=self.run, args=(add, times))
        self.process.start()

    def run(self, add: Callable[[int], None], times: int) -> None:
        self.ready.set()
        self.go.wait()
        add(times)
        self.done.set()


def together(add: Callable[[int], None], times: int, processes: int) -> float:
    """Seconds until all processes have added so often."""
    adders = [Adder(add, times) for _ in range(processes)]
    for adder in adders:
        adder.ready.wait()

    def run() -> None:
        for adder in adders:
            adder.go.set()
        for adder in adders:
            adder.done.wait()

    seconds = timed(run, perf_counter)
    for adder in adders:
        adder.process.join()
    return seconds


def adds(times: int, rounds: int, processes: int, folder: Path) -> dict[str, float]:
    """Microseconds for one addition by one of several processes that share a counter."""
    store = structchunk.open(folder / "counters", "w")
    store["c"] = engines.Record()
    atomic, shared, lock = (
        store.atomic("c", "id"),
        multiprocessing.Value("Q", lock=False),
        multiprocessing.Lock(),
    )

    def by_atomic(times: int) -> None:
        counter = atomic
        for _ in range(times):
            counter += 1

    def by_lock(times: int) -> None:
        counter = shared
        for _ in range(times):
            with lock:
                counter.value += 1

    samples: dict[str, list[float]] = {"structchunk": [], "multiprocessing.Lock": []}
    for _ in range(rounds):
        for name, add in (("structchunk", by_atomic), ("multiprocessing.Lock", by_lock)):
            seconds = together(add, times, processes)
            samples[name].append(1e6 * seconds / (times * processes))
    total = times * processes * rounds
    if (store["c"].id, shared.value) != (total, total):
        raise SystemExit(f"additions were lost: {store['c'].id} and {shared.value} of {total}")
    store.close()
    return {name: median(values) for name, values in samples.items()}


def show(numbers: dict[str, dict[str, float]], units: dict[str, str]) -> None:
    """A table."""
    names = list(dict.fromkeys(name for by in numbers.values() for name in by))
    width = max(map(len, names)) + 2
    print("".ljust(width) + "".join(f"{work} [{units[work]}]".rjust(34) for work in numbers))
    for name in names:
        cells = []
        for by in numbers.values():
            value, own = by.get(name), by.get("structchunk")
            ratio = "" if value is None or own is None or name == "structchunk" else f" ({value / own:.1f}x)"
            cells.append(("-" if value is None else f"{value:.3g}{ratio}").rjust(34))
        print(name.ljust(width) + "".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=1_000_000, help="how many objects")
    parser.add_argument(
        "--looks", type=int, default=100_000, help="how many of them are looked at in a round"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=8, help="how many of them add to one counter")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a second's work, to see that it runs")
    parser.add_argument(
        "--cpu", action="store_true", help="count the time of the process, not that of the clock"
    )
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--folder", type=Path, help="on which file system; default: that of temporary files")
    options = parser.parse_args()
    if options.cpu:
        global clock
        clock = process_time
    if options.quick:
        options.n, options.looks, options.rounds, options.processes = 2000, 500, 1, 2
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        numbers = measure(options.n, options.looks, options.rounds, folder, options.seed)
        times = max(100, options.looks)
        numbers["add, all processes"] = adds(times, options.rounds, options.processes, folder)
    show(numbers, {**WORK, "add, all processes": "us per add"})
    if options.json:
        facts = {
            "objects": options.n,
            "clock": clock.__name__,
            "looks": options.looks,
            "rounds": options.rounds,
            "seed": options.seed,
        }
        options.json.write_text(
            json.dumps({**facts, "processes": options.processes, "medians": numbers}, indent=1)
        )


if __name__ == "__main__":
    main()
