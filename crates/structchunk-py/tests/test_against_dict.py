"""Random sequences of operations on a store and on a dict give the same."""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

import structchunk
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from types_table import Point

KEYS = st.sampled_from(["a", "b", "ba", "bb", "c", "é", "\udcff"])
NUMBERS = st.integers(0, 1000)


class AgainstDict(RuleBasedStateMachine):
    """A store, and a dict of the same."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.store = structchunk.open(self.folder + "/store", "x", chunk_capacity=256 << 10)
        self.model: dict[str, float] = {}

    @staticmethod
    def ordered(keys: Any) -> list[str]:
        return sorted(keys, key=lambda key: key.encode("utf-8", "surrogateescape"))

    @rule(key=KEYS, number=NUMBERS)
    def put(self, key: str, number: int) -> None:
        self.store[key] = Point(number, 0)
        self.model[key] = number

    @rule(key=KEYS, number=NUMBERS)
    def write(self, key: str, number: int) -> None:
        if key in self.model:
            self.store[key].x = number
            self.model[key] = number

    @rule(key=KEYS, number=NUMBERS)
    def update(self, key: str, number: int) -> None:
        if key in self.model:
            with self.store.update(key) as point:
                point.x += number
            self.model[key] += number

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        popped = self.store.pop(key, None)
        assert (None if popped is None else popped.x) == self.model.pop(key, None)

    @rule(key=KEYS, number=NUMBERS)
    def set_default(self, key: str, number: int) -> None:
        assert self.store.setdefault(key, Point(number, 0)).x == self.model.setdefault(key, number)

    @rule(numbers=st.dictionaries(KEYS, NUMBERS))
    def batch(self, numbers: dict[str, int]) -> None:
        self.store.update({key: Point(number, 0) for key, number in numbers.items()})
        self.model.update(numbers)

    @rule()
    def clear(self) -> None:
        self.store.clear()
        self.model.clear()

    @rule()
    def sync_and_compact(self) -> None:
        self.store.sync()
        self.store.compact()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = structchunk.open(self.folder + "/store", "r+")

    @rule(prefix=KEYS)
    def ranges(self, prefix: str) -> None:
        assert list(self.store.keys(prefix=prefix)) == self.ordered(
            key for key in self.model if key.startswith(prefix)
        )

    @rule(key=KEYS)
    def look(self, key: str) -> None:
        found = self.store.get(key)
        assert (None if found is None else found.x) == self.model.get(key)
        assert (key in self.store) == (key in self.model)

    @invariant()
    def same(self) -> None:
        assert len(self.store) == len(self.model)
        assert list(self.store) == self.ordered(self.model)

    def teardown(self) -> None:
        assert {key: value.x for key, value in self.store.items()} == self.model
        self.store.close()
        shutil.rmtree(self.folder)


TestAgainstDict = AgainstDict.TestCase
TestAgainstDict.settings = settings(max_examples=20, stateful_step_count=25, deadline=None, derandomize=True)
