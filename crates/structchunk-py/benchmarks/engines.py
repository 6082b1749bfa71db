"""The engines that `compare.py` compares. Each does what its documentation says is fast."""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
import pickle
import shelve
import sqlite3
import struct
from pathlib import Path
from typing import Any

import numpy as np
import structchunk

FORMAT = struct.Struct("<Qd12f")
RECORD = np.dtype([("id", "<u8"), ("price", "<f8"), ("rest", "<f4", 12)], align=True)


class Record(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint64), ("price", ctypes.c_double), ("rest", ctypes.c_float * 12)]


# As the dtype is called: so the class serves what an array has loaded.
Record.__name__ = "record"


class Engine:
    """A store of records under keys, in a file or folder."""

    name: str
    #: The module that it takes.
    module = "sys"
    #: Looks are so many times fewer, where each takes so long.
    slower = 1
    #: With more objects it takes too long.
    most = 10**9
    #: The keys of `load_all` are sorted: LMDB need not look where each belongs.
    in_order = True

    def __init__(self, path: Path) -> None:
        self.path, self.handle = path, None
        path.mkdir()

    def open(self) -> Any:
        """The handle, opened where it is not."""
        raise NotImplementedError

    def close(self) -> None:
        if self.handle is not None:
            self.handle.close()
        self.handle = None

    def load_all(self, keys: list[str], records: np.ndarray[Any, Any]) -> None:
        raise NotImplementedError

    def get_fields(self, keys: list[str]) -> float:
        """The sum of their ids."""
        raise NotImplementedError

    def update_fields(self, keys: list[str]) -> None:
        """Adds to their prices."""
        raise NotImplementedError

    def open_and_get(self, key: str) -> None:
        """Opens it, to read if there is such a way, gets one record and closes it."""
        self.open()
        self.get_fields([key])
        self.close()


class Structchunk(Engine):
    name = "structchunk"

    def open(self) -> structchunk.Store:
        if self.handle is None:
            self.handle = structchunk.open(self.path / "store", "a")
        return self.handle

    def load_all(self, keys: list[str], records: np.ndarray[Any, Any]) -> None:
        self.open().put_many(keys, records)

    def open_and_get(self, key: str) -> None:
        with structchunk.open(self.path / "store", "r") as store:
            store.load(key, Record)

    def get_fields(self, keys: list[str]) -> float:
        store, view, total = self.open(), self.open().view, 0
        view(keys[0], Record)
        for key in keys:
            total += store[key].id
        return total

    def update_fields(self, keys: list[str]) -> None:
        store = self.open()
        store.view(keys[0], Record)
        for key in keys:
            store[key].price += 1


class Lmdb(Engine):
    name, module = "lmdb", "lmdb"

    def open(self) -> Any:
        import lmdb

        if self.handle is None:
            self.handle = lmdb.open(str(self.path / "db"), map_size=1 << 36, sync=False, writemap=False)
        return self.handle

    def open_and_get(self, key: str) -> None:
        import lmdb

        with lmdb.open(str(self.path / "db"), readonly=True, map_size=1 << 36) as self.handle:
            self.get_fields([key])
        self.handle = None

    def load_all(self, keys: list[str], records: np.ndarray[Any, Any]) -> None:
        size, data = RECORD.itemsize, records.tobytes()
        pairs = ((key.encode(), data[at * size : (at + 1) * size]) for at, key in enumerate(keys))
        with self.open().begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti(pairs, append=self.in_order)

    def get_fields(self, keys: list[str]) -> float:
        unpack, total = FORMAT.unpack_from, 0
        with self.open().begin(buffers=True) as transaction:
            get = transaction.get
            for key in keys:
                total += unpack(get(key.encode()))[0]
        return total

    def update_fields(self, keys: list[str]) -> None:
        with self.open().begin(write=True) as transaction:
            for key in keys:
                name = key.encode()
                values = list(FORMAT.unpack(transaction.get(name)))
                values[1] += 1
                transaction.put(name, FORMAT.pack(*values))


class Plyvel(Engine):
    name, module = "plyvel", "plyvel"

    def open(self) -> Any:
        import plyvel

        if self.handle is None:
            self.handle = plyvel.DB(str(self.path / "db"), create_if_missing=True)
        return self.handle

    def load_all(self, keys: list[str], records: np.ndarray[Any, Any]) -> None:
        size, data = RECORD.itemsize, records.tobytes()
        with self.open().write_batch() as batch:
            for at, key in enumerate(keys):
                batch.put(key.encode(), data[at * size : (at + 1) * size])

    def get_fields(self, keys: list[str]) -> float:
        get, unpack, total = self.open().get, FORMAT.unpack_from, 0
        for key in keys:
            total += unpack(get(key.encode()))[0]
        return total

    def update_fields(self, keys: list[str]) -> None:
        database = self.open()
        with database.write_batch() as batch:
            for key in keys:
                name = key.encode()
                values = list(FORMAT.unpack(database.get(name)))
                values[1] += 1
                batch.put(name, FORMAT.pack(*values))


class Memmap(Engine):
    """A dictionary of positions in a numpy array over a file; the dictionary is pickled."""

    name = "dict + numpy.memmap"

    def open(self) -> Any:
        if self.handle is None:
            with (self.path / "keys").open("rb") as file:
                self.keys = pickle.load(file)
            self.handle = np.memmap(self.path / "records", RECORD, "r+")
        return self.handle

    def close(self) -> None:
        self.handle = None

    def load_all(self, keys: list[str], records: np.ndarray[Any, Any]) -> None:
        target = np.memmap(self.path / "records", RECORD, "w+", shape=len(keys))
        target[:] = records
        with (self.path / "keys").open("wb") as file:
            pickle.dump({key: at for at, key in enumerate(keys)}, file, pickle.HIGHEST_PROTOCOL)

    def get_fields(self, keys: list[str]) -> float:
        self.open()
        ids, places, total = self.handle["id"].view(np.ndarray), self.keys, 0
        for key in keys:
            total += int(ids[places[key]])
        return total

    def update_fields(self, keys: list[str]) -> None:
        prices, places = self.open()["price"].view(np.ndarray), self.keys
        for key in keys:
            prices[places[key]] += 1


class Sqlite(Engine):
    name, slower = "sqlite3", 4

    def open(self) -> Any:
        if self.handle is None:
            self.handle = sqlite3.connect(self.path / "db")
            self.handle.execute("pragma journal_mode = wal")
            self.handle.execute("pragma synchronous = off")
            self.handle.execute(f"pragma mmap_size = {mmap.PAGESIZE << 20}")
        return self.handle

    def load_all(self, keys: list[str], records: np.ndarray[Any, Any]) -> None:
        database = self.open()
        database.execute("create table records (key text primary key, id, price, rest) without rowid")
        rows = zip(
            keys, records["id"].tolist(), records["price"].tolist(), map(bytes, records["rest"]), strict=True
        )
        database.executemany("insert into records values (?, ?, ?, ?)", rows)
        database.commit()

    def get_fields(self, keys: list[str]) -> float:
        execute, total = self.open().execute, 0
        for key in keys:
            total += execute("select id from records where key = ?", (key,)).fetchone()[0]
        return total

    def update_fields(self, keys: list[str]) -> None:
        database = self.open()
        for key in keys:
            database.execute("update records set price = price + 1 where key = ?", (key,))
        database.commit()


class Shelve(Engine):
    name, slower, most = "shelve", 20, 50_000

    def open(self) -> Any:
        if self.handle is None:
            self.handle = shelve.open(str(self.path / "db"))  # noqa: SIM115
        return self.handle

    def load_all(self, keys: list[str], records: np.ndarray[Any, Any]) -> None:
        self.open().update(zip(keys, records.tolist(), strict=True))

    def get_fields(self, keys: list[str]) -> float:
        shelf = self.open()
        return float(sum(shelf[key][0] for key in keys))

    def update_fields(self, keys: list[str]) -> None:
        shelf = self.open()
        for key in keys:
            number, price, rest = shelf[key]
            shelf[key] = (number, price + 1, rest)


def installed() -> list[type[Engine]]:
    """The engines that are there."""
    every = [Structchunk, Lmdb, Plyvel, Memmap, Sqlite, Shelve]
    return [engine for engine in every if importlib.util.find_spec(engine.module) is not None]
