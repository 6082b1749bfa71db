"""Runs CPython's own tests of ctypes with the instances of their structures and unions in objects of a store; prints what came out, as JSON.

python ctypes_on_a_store.py STORE [TEST ...]

Every class with fields gets a `__new__` that makes an object in the store and gives its live view, which `__init__` then fills. What a store refuses
(pointers, functions, long doubles, which mean nothing to another process) lies in an object of bytes instead: it is memory of the file as any other.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import io
import itertools
import json
import sys
import unittest
from collections import Counter
from typing import Any

import structchunk

#: Where the interpreter has them: until 3.11, and from 3.12 on.
SUITES = ("ctypes.test", "test.test_ctypes")

_numbers = itertools.count()
#: Instances in objects of their own types, in objects of bytes, and left where ctypes puts them (they have no bytes, or no class with fields).
placed: Counter[str] = Counter()


def suite_name() -> str | None:
    """The package of the tests, if this interpreter has it, and what they call in C."""
    if importlib.util.find_spec("_ctypes_test") is None:
        return None
    for name in SUITES:
        try:
            if importlib.util.find_spec(name) is not None:
                return name
        except ModuleNotFoundError:
            continue
    return None


def place(store: structchunk.Store, cls: Any) -> Any:
    """A zeroed instance in a new object of the store, or `None` where there is nothing to place."""
    try:
        size = ctypes.sizeof(cls)
    except TypeError:
        size = 0
    if size == 0:
        placed["not placed"] += 1
        return None
    key = f"o/{next(_numbers)}"
    try:
        described = structchunk._objects.kind_of(cls).described
    except TypeError:
        store[key] = (ctypes.c_uint8 * size)()
        placed["bytes"] += 1
        # (By the method of the metaclass: the tests' classes have the one below.)
        return type(cls).from_buffer(cls, store[key])
    store._put(key, described, bytes(size))
    placed["typed"] += 1
    made = store.view(key, cls)
    if type(made) is not cls or not structchunk.is_live(made):
        raise SystemExit(f"{made!r} does not lie in the store")
    return made


def placing(base: Any, store: structchunk.Store) -> Any:
    """A base class in place of one of ctypes, whose instances lie in the store."""

    def new(cls: Any, *arguments: Any, **fields: Any) -> Any:
        made = place(store, cls)
        return base.__new__(cls, *arguments, **fields) if made is None else made

    def from_buffer_copy(cls: Any, source: Any, offset: int = 0) -> Any:
        copy = type(cls).from_buffer_copy(cls, source, offset)
        made = place(store, cls)
        if made is None:
            return copy
        ctypes.memmove(ctypes.addressof(made), ctypes.addressof(copy), ctypes.sizeof(cls))
        return made

    body = {
        # Without fields it is as abstract as the one of ctypes.
        "_abstract_": 0,
        "__slots__": (),
        "__new__": new,
        "from_buffer_copy": classmethod(from_buffer_copy),
        "__module__": base.__module__,
    }
    return type(base)(base.__name__, (base,), body)


def take_over(store: structchunk.Store) -> None:
    """Whoever imports `Structure` and the others from now on gets those that place."""
    from ctypes import _endian

    ctypes.Structure = placing(ctypes.Structure, store)  # type: ignore[misc]
    ctypes.Union = placing(ctypes.Union, store)  # type: ignore[misc]
    importlib.reload(_endian)
    for name in ("BigEndianStructure", "LittleEndianStructure", "BigEndianUnion", "LittleEndianUnion"):
        setattr(ctypes, name, getattr(_endian, name))


def main(path: str, names: list[str]) -> None:
    suite = suite_name()
    if suite is None:
        raise SystemExit("this interpreter has no tests of ctypes")
    with structchunk.open(path, "w") as store:
        take_over(store)
        tests = unittest.defaultTestLoader.loadTestsFromNames(names or [suite])
        said, printed = io.StringIO(), sys.stdout
        sys.stdout = io.StringIO()
        try:
            result = unittest.TextTestRunner(said, verbosity=0).run(tests)
        finally:
            sys.stdout = printed
        failed = {
            test.id().removeprefix(suite + "."): error.strip().splitlines()[-1]
            for test, error in result.failures + result.errors
        }
        facts = {
            "run": result.testsRun,
            "skipped": len(result.skipped),
            "failed": failed,
            "placed": dict(placed),
            "objects": len(store),
            "damage": store.check(),
        }
    if names:
        print(said.getvalue(), file=sys.stderr)
    print(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
