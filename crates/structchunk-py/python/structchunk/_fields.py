"""Single integers of objects, changed by one instruction each."""

from __future__ import annotations

from . import _native
from ._base import Base, Key


class Fields(Base):
    """The part of a store that changes integers for threads and processes that share them.

    A field is a path: ``"hits"``, ``"slots[3].state"``, ``"grid[1, 2]"``; ``""`` is an object that is one integer. It is an integer of 1, 2, 4 or 8
    bytes, of either byte order, and aligned; else a `TypeError` says what it is. `AttributeError` and `IndexError` for a path that leads
    nowhere, `KeyError` for a missing object. Operands of any size wrap around, values that are set have to fit (`OverflowError`).

    Others see each change at once and as a whole. What ``update`` writes back meanwhile takes the place of it, as of any other field. (In a store with
    ``shared=True`` the writer's own ``update`` waits for the end of its own `Atomic`s of the object instead: `Busy`.)
    """

    def atomic(self, key: Key, field: str) -> _native.Atomic:
        """The integer itself, for many changes: no look-up for each, and ``hits += 1`` changes it in the file. Forked children go on with it, as
        long as the parent keeps its own.

        It belongs to the object that is there now: after a put or remove its changes go nowhere. It keeps the object mapped and in its place.
        """
        found = self._atomic(key, field)
        if found is None:
            raise KeyError(key)
        return found

    def add(self, key: Key, field: str, value: int = 1) -> int:
        """Adds; gives the number before."""
        return self.atomic(key, field).add(value)

    def sub(self, key: Key, field: str, value: int = 1) -> int:
        """Subtracts; gives the number before."""
        return self.atomic(key, field).sub(value)

    def and_(self, key: Key, field: str, value: int) -> int:
        """Leaves the bits that are set in both; gives the number before."""
        return self.atomic(key, field).and_(value)

    def or_(self, key: Key, field: str, value: int) -> int:
        """Sets bits; gives the number before."""
        return self.atomic(key, field).or_(value)

    def xor(self, key: Key, field: str, value: int) -> int:
        """Turns bits; gives the number before."""
        return self.atomic(key, field).xor(value)

    def exchange(self, key: Key, field: str, value: int) -> int:
        """Sets the number; gives the one before."""
        return self.atomic(key, field).exchange(value)

    def compare_exchange(self, key: Key, field: str, expected: int, value: int) -> bool:
        """Sets the number to `value` if it is `expected`; whether it was."""
        return self.atomic(key, field).compare_exchange(expected, value)
