"""What other processes run: it has to be in a module that they can import."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import structchunk


class Sample(ctypes.Structure):
    _fields_ = [("features", ctypes.c_float * 8), ("label", ctypes.c_int32)]


class Counters(ctypes.Structure):
    _fields_ = [("hits", ctypes.c_uint64), ("low", ctypes.c_int16), ("pad", ctypes.c_uint8 * 6)]


class Samples:
    """A data set as data loaders want it: pickled to the workers, asked by number there."""

    def __init__(self, store: structchunk.Store) -> None:
        self.store = store

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: int) -> tuple[list[float], int]:
        sample = self.store[f"s{index:06}"]
        return list(sample.features), sample.label


def label(samples: Samples, index: int) -> tuple[int, int]:
    """Of a sample, and who has looked."""
    features, label = samples[index]
    assert features[0] == label
    return label, os.getpid()


def total(store: structchunk.Store, keys: list[str]) -> float:
    """Of arrays."""
    return float(sum(store[key].sum() for key in keys))


def write(path: str) -> Any:
    """Tries to write a store; who has it, if that is somebody else."""
    try:
        with structchunk.open(path, "r+") as store:
            store["written"] = Sample()
    except structchunk.Locked as refusal:
        return refusal.pid
    return None


def use(store: structchunk.Store, key: str) -> str:
    """What comes of a handle in here."""
    try:
        store[key] = Sample()
    except Exception as error:
        return type(error).__name__
    return "put"


def add(store: structchunk.Store, key: str, times: int) -> None:
    """Counts through a handle, looking the counter up each time."""
    for _ in range(times):
        store.add(key, "hits")


def append(store: structchunk.Store, key: str, value: int, times: int) -> None:
    """Appends to an array whose first element says how many there are."""
    for _ in range(times):
        with store.update(key) as numbers:
            numbers[0] += 1
            numbers[numbers[0]] = value
