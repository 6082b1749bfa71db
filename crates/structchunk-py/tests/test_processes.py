"""Handles in other processes: pickled, inherited, in pools and data loaders."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import structchunk
from workers import Sample, Samples, label, total, use, write

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture
def filled(path: Path) -> Path:
    """A store with samples."""
    with structchunk.open(path, "x") as store:
        for index in range(100):
            sample = Sample(label=index)
            sample.features[0] = index
            store[f"s{index:06}"] = sample
    return path


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_of_processes_reads_through_a_pickled_handle(method: str, filled: Path) -> None:
    with structchunk.open(filled, "r") as store:
        with multiprocessing.get_context(method).Pool(2) as pool:
            seen = pool.map(partial(label, Samples(store)), range(100), chunksize=10)
        assert [number for number, _ in seen] == list(range(100))
        assert os.getpid() not in {pid for _, pid in seen}


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_futures_read_while_the_parent_writes(method: str, filled: Path) -> None:
    context = multiprocessing.get_context(method)
    with (
        structchunk.open(filled, "r+") as store,
        structchunk.open(filled, "r") as reading,
        ProcessPoolExecutor(2, mp_context=context) as workers,
    ):
        assert workers.submit(label, Samples(reading), 7).result(60)[0] == 7
        store["n"] = np.arange(10)
        assert workers.submit(total, reading, ["n", "n"]).result(60) == 90
        store["n"] = np.ones(10)
        assert workers.submit(total, reading, ["n"]).result(60) == 10


def loader(samples: Samples, tasks: multiprocessing.Queue, batches: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    """A worker of a data loader: batches of what it is asked for, until there is nothing more."""
    for indices in iter(tasks.get, None):
        batches.put((indices[0], np.array([samples[index][1] for index in indices])))


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_a_data_loader_give_batches(method: str, filled: Path) -> None:
    context = multiprocessing.get_context(method)
    with structchunk.open(filled, "r") as store:
        # Under fork the handle is inherited, else pickled.
        store["s000000"]
        tasks, batches = context.Queue(), context.Queue()
        arguments = (Samples(store), tasks, batches)
        workers = [context.Process(target=loader, args=arguments) for _ in range(2)]
        for worker in workers:
            worker.start()
        for first in range(0, 100, 10):
            tasks.put(range(first, first + 10))
        got = dict(batches.get(timeout=60) for _ in range(10))
        for _ in workers:
            tasks.put(None)
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
        assert np.concatenate([got[first] for first in range(0, 100, 10)]).tolist() == list(range(100))


@pytest.mark.parametrize("method", METHODS)
def test_a_second_writer_is_told_the_pid_of_the_first_one(method: str, filled: Path) -> None:
    with multiprocessing.get_context(method).Pool(1) as pool:
        with structchunk.open(filled, "r+"):
            assert pool.apply(write, (os.fspath(filled),)) == os.getpid()
        assert pool.apply(write, (os.fspath(filled),)) is None


def test_the_handle_of_a_writer_is_no_second_writer_elsewhere(filled: Path) -> None:
    with structchunk.open(filled, "r+") as store:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply(use_pickled, (pickle.dumps(store),)) == "Locked"
        child = os.fork()
        if child == 0:
            os._exit(0 if use(store, "k") == "Forked" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert "k" not in store


def use_pickled(handle: bytes) -> str:
    try:
        return use(pickle.loads(handle), "k")
    except structchunk.Locked as refusal:
        return "nobody" if refusal.pid is None else "Locked"


def test_a_handle_that_was_pickled_reads_keys_as_the_first_one(filled: Path) -> None:
    with structchunk.open(filled, "r", keys="bytes") as store:
        again = pickle.loads(pickle.dumps(store))
        assert (next(iter(again)), again.mode, again.path) == (b"s000000", "r", os.fspath(filled))
    assert not again.closed
    again.close()


def test_an_inherited_reader_sees_what_is_written_after_the_fork(filled: Path) -> None:
    with structchunk.open(filled, "r+") as store, structchunk.open(filled, "r") as reading:
        view = reading.array("s000001")
        ask, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(ask, 1)
            fine = reading["late"].label == 5 and view["label"] == 1 and len(reading) == 101
            del view
            os._exit(0 if fine else 1)
        store["late"] = Sample(label=5)
        os.write(tell, b"!")
        assert os.waitpid(child, 0)[1] == 0
        assert view["label"] == 1


def test_a_handle_that_was_pickled_opens_the_store_in_the_same_way_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with structchunk.open("a.store", "a", "bytes", index=False, busy_timeout=0.01) as store:
        store["k"] = Sample(label=7)
        assert store.path == os.fspath(tmp_path / "a.store")
        monkeypatch.chdir(tmp_path / "elsewhere")
        pickled = pickle.dumps(store)
    with pickle.loads(pickled) as again:
        assert (list(again), again["k"].label) == ([b"k"], 7)
        assert not (tmp_path / "a.store" / "index").exists()
        refused = threading.Event()

        def change() -> None:
            with pytest.raises(structchunk.Busy), again.update("k"):
                pass
            refused.set()

        with again.update("k"):
            thread = threading.Thread(target=change)
            thread.start()
            assert refused.wait(5)
        thread.join()


def bump(store: structchunk.Store) -> str:
    """What comes of a writer's handle in a task."""
    shown = repr(store)
    try:
        store["k"] = Sample(label=1)
    except structchunk.Locked as refusal:
        return f"{type(refusal).__name__} {refusal.pid} {'Locked' in shown}"
    else:
        store.close()
        return "put"


@pytest.mark.parametrize("method", METHODS)
def test_the_handle_of_a_writer_in_a_pool_says_that_it_is_locked_out(method: str, filled: Path) -> None:
    with multiprocessing.get_context(method).Pool(1) as pool:
        with structchunk.open(filled, "r+") as store:
            assert pool.apply_async(bump, (store,)).get(60) == f"Locked {os.getpid()} True"
            pickled = pickle.dumps(store)
        # Whoever has it when nobody else writes does write.
        assert pool.apply_async(bump, (store,)).get(60) == "put"
    again = pickle.loads(pickled)
    assert again["k"].label == 1
    with pytest.raises(structchunk.Locked):
        structchunk.open(filled, "r+")
    again.close()
    structchunk.open(filled, "r+").close()


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_handle_that_was_pickled_tells_when_it_is_used_what_is_wrong(mode: str, filled: Path) -> None:
    with structchunk.open(filled, mode) as store:  # type: ignore[arg-type]
        pickled = pickle.dumps(store)
    filled.rename(filled.with_name("elsewhere"))
    again, closed = pickle.loads(pickled), pickle.loads(pickled)
    with pytest.raises(FileNotFoundError):
        len(again)
    filled.with_name("elsewhere").rename(filled)
    assert len(again) == 100
    again.close()
    closed.close()
    with pytest.raises(structchunk.Closed):
        closed.load("s000000")
