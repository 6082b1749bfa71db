"""The first steps: objects that are the file, arrays, batches, scans.

python examples/quickstart.py [DIRECTORY]
"""

from __future__ import annotations

import ctypes
import sys
import tempfile
from pathlib import Path

import numpy as np
import structchunk


class Particle(ctypes.Structure):
    _fields_ = [("position", ctypes.c_double * 3), ("charge", ctypes.c_float), ("id", ctypes.c_uint32)]


def main(folder: Path) -> None:
    with structchunk.open(folder / "galaxy.store", "a") as store:
        # Filled, stored and mapped: `particle` is the file.
        particle = store.create("p/00042", Particle, charge=0.5, id=42)
        particle.position[0] = 1.5
        print("stored:", store["p/00042"].position[0], store["p/00042"].charge)

        # Many at once, out of a structured array; each is an object by itself.
        many = np.zeros(1000, np.dtype([("position", "f8", 3), ("charge", "f4"), ("id", "u4")]))
        many["id"] = np.arange(1000)
        store.put_many([f"q/{number:05}" for number in range(1000)], many)
        print("objects:", len(store), "sum of ids:", int(store.column(Particle, "id").sum()))

        # As a whole or not at all.
        with store.update("p/00042") as changed:
            changed.charge += 1
            changed.position[2] = -1
        with store.batch() as batch:
            batch["p/00043"] = Particle(id=43)
            del batch["q/00000"]
        print("in order:", [(key, value.id) for key, value in store.prefix("p/")])

        # Larger than the memory: only what is touched takes space.
        grid = store.create_array("grid", "f4", (100_000, 100_000), sparse=True)
        grid[7, 7:10] = 1
        print(f"grid: {grid.nbytes / 1e9:.0f} GB, of which {grid[:100, :100].sum():.0f} numbers are set")
        store.sync()

    with structchunk.open(folder / "galaxy.store", "r") as store:
        print("later:", store.view("p/00042", Particle).charge, repr(store.types()[0]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name))
