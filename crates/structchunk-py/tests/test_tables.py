"""Tables: the same as those of Rust."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import structchunk
from hypothesis import given
from hypothesis import strategies as st
from structchunk import _native


class Rate(ctypes.Structure):
    _fields_ = [("rate", ctypes.c_double), ("year", ctypes.c_uint32), ("_pad", ctypes.c_uint32)]


def test_a_table_is_a_mapping_in_the_order_of_its_keys(store: structchunk.Store) -> None:
    rates = store.table("rates/", Rate, (str, "u4"))
    store["rates"] = store["rates0"] = Rate(9)
    for year in (2024, 300, 70_000):
        for money in ("EUR", "USD", "EU"):
            rates[money, year] = Rate(year / 2, year)
    years = [300, 2024, 70_000]
    assert list(rates) == [(money, year) for money in ("EU", "EUR", "USD") for year in years]
    assert next(reversed(rates)) == ("USD", 70_000)
    assert (len(rates), len(store), ("EUR", 300) in rates, ("EUR", 301) in rates) == (9, 11, True, False)
    assert rates["EUR", 300].rate == 150
    rates["EUR", 300].rate = 1.5
    assert rates.load(("EUR", 300)).rate == 1.5
    assert [key for key, _ in rates.within("EUR")] == [("EUR", year) for year in years]
    assert [key[1] for key, _ in rates.range(("EUR", 301), ("EUR", 70_000))] == [2024]
    assert [key for key, _ in rates.range(("USD",), reverse=True)] == [
        ("USD", year) for year in reversed(years)
    ]
    assert [value.year for value in rates.values()][:3] == years
    del rates["EUR", 300]
    assert rates.get(("EUR", 300)) is None
    assert rates.pop(("EUR", 2024)).year == 2024
    assert rates.require(("EUR", 1), year=1).year == rates["EUR", 1].year == 1
    with pytest.raises(FileExistsError):
        rates.create(("EUR", 1))
    with pytest.raises(KeyError, match="JPY"):
        rates["JPY", 1]
    with pytest.raises(KeyError, match="JPY"):
        del rates["JPY", 1]
    # The key that Rust's table of the same types makes, as FORMAT.md shows.
    assert rates.key(("a\0b", 258)) == b"rates/a\0\xffb\0\x01\0\0\x01\x02"
    rates.clear()
    assert (len(rates), sorted(store)) == (0, ["rates", "rates0"])


def test_a_table_takes_its_class_only(store: structchunk.Store) -> None:
    table = store.table(b"t/", np.dtype([("a", "i4")]), "i2")
    table[-3] = np.zeros((), table._cls)
    assert table[-3]["a"] == 0
    for value in (Rate(), np.zeros(2, table._cls), ctypes.c_int(1)):
        with pytest.raises(structchunk.LayoutMismatch, match="-3"):
            table[-3] = value
    store[table.key(5)] = Rate()
    with pytest.raises(structchunk.LayoutMismatch):
        table[5]
    store[b"t/\x80"] = Rate()
    with pytest.raises(structchunk.CorruptError, match="too short"):
        list(table)


@pytest.mark.parametrize(
    ("spec", "key", "error"),
    [
        ("u1", 256, OverflowError),
        ("u8", -1, OverflowError),
        ("i1", 128, OverflowError),
        ("u4", "1", TypeError),
        (str, b"a", TypeError),
        (bytes, "a", TypeError),
        ("S4", b"abc", ValueError),
        ("char", "ab", ValueError),
        ((str, "u1"), "a", TypeError),
        ((str, "u1"), ("a",), ValueError),
        ((str, "u1"), ("a", 1, 2), ValueError),
    ],
)
def test_what_is_no_key_of_a_table_is_refused(
    spec: object, key: object, error: type[Exception], store: structchunk.Store
) -> None:
    table = store.table("t/", Rate, spec)
    with pytest.raises(error):
        table[key] = Rate()
    assert len(store) == 0


def test_what_is_no_table_is_refused(store: structchunk.Store) -> None:
    for prefix in ("", "a" * 256):
        with pytest.raises(ValueError, match="prefix"):
            store.table(prefix, Rate)
    for spec in ("u3", "x", "S", "S-1", ()):
        with pytest.raises(ValueError, match="part"):
            store.table("t/", Rate, spec)
    for other in (int, 4, None):
        with pytest.raises(TypeError):
            store.table("t/", Rate, other)


PARTS = {
    "u2": st.integers(0, 2**16 - 1),
    "u16": st.integers(0, 2**128 - 1),
    "i4": st.integers(-(2**31), 2**31 - 1),
    "i16": st.integers(-(2**127), 2**127 - 1),
    "bool": st.booleans(),
    "str": st.text("a\0b\x01\u00ff\u20ac", max_size=4),
    "bytes": st.binary(max_size=4),
    "S2": st.binary(min_size=2, max_size=2),
    "char": st.characters(exclude_categories=["Cs"]),
}
KEYS = st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=3).flatmap(
    lambda parts: st.tuples(st.just(parts), *[st.tuples(PARTS[part], PARTS[part]) for part in parts])
)


@given(KEYS)
def test_encoded_keys_have_the_order_of_their_values_and_come_back(drawn: tuple) -> None:  # type: ignore[type-arg]
    parts, *pairs = drawn
    keys = _native.TableKeys(list(b"t/"), parts, True)
    one, other = (tuple(pair[index] for pair in pairs) for index in (0, 1))
    # Text is ordered by its bytes.
    order = lambda key: tuple(part.encode() if isinstance(part, str) else part for part in key)
    assert keys.decode(keys.encode(one)) == one
    assert (keys.encode(one) < keys.encode(other)) == (order(one) < order(other))


def test_a_table_gives_what_a_store_gives(store: structchunk.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    table = store.table("t/", Rate, "u2")
    store["u"] = Rate(7)
    live = table.setdefault(1, Rate(1, 1))
    live.year = 5
    assert (table[1].year, table.setdefault(1, Rate(9)).rate) == (5, 1)
    removed = table.pop(1)
    assert not structchunk.is_live(removed)
    table[1] = Rate(3, 3)
    assert (removed.year, removed._b_base_, table.pop(2, None)) == (5, None, None)
    with pytest.raises(KeyError, match="2"):
        table.pop(2)
    key, value = table.popitem()
    assert (key, value.rate, len(table), len(store)) == (1, 3, 0, 1)
    with pytest.raises(KeyError, match="empty"):
        table.popitem()
    batches = []
    commit = structchunk.Store._commit
    monkeypatch.setattr(
        structchunk.Store, "_commit", lambda store, batch: (batches.append(len(batch)), commit(store, batch))
    )
    table.update({1: Rate(1), 2: Rate(2)})
    table.update([(3, Rate(3))])
    assert [(key, rate.rate) for key, rate in table.items()] == [(1, 1), (2, 2), (3, 3)]
    with pytest.raises(structchunk.LayoutMismatch, match="5"):
        table.update({4: Rate(4), 5: ctypes.c_int(5)})
    table.clear()
    assert (batches, list(table), list(store)) == ([2, 1, 3], [], ["u"])


def test_what_can_be_no_key_of_a_table_is_not_in_it(store: structchunk.Store) -> None:
    numbers, pairs = store.table("n/", Rate, "u1"), store.table("p/", Rate, (str, "S2"))
    numbers[3], pairs["a", b"bc"] = Rate(), Rate()
    assert [key in numbers for key in (3, "x", 300, -1, None, 3.5, (3,))] == [True] + [False] * 6
    assert [key in pairs for key in (("a", b"bc"), ("a", b"b"), ("a",), 7, "ab")] == [True] + [False] * 4


def test_a_part_of_a_key_that_nobody_knows_is_refused(store: structchunk.Store) -> None:
    for part in ("é", "", "u", "u3", "S", "Sé", "x8", "ué"):
        with pytest.raises(ValueError, match="is no part of a key"):
            store.table("t/", Rate, part)
