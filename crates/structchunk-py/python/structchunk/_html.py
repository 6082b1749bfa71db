"""How notebooks show a store."""

from __future__ import annotations

from html import escape
from itertools import islice
from typing import TYPE_CHECKING

from ._objects import Place

if TYPE_CHECKING:
    from ._store import Store

#: So many objects, and so many characters of each, are shown.
_ROWS, _CHARACTERS = 10, 80
#: Larger objects are not looked into.
_BYTES = 4096


def _value(store: Store, key: str | bytes, place: Place) -> str:
    if place.bytes > _BYTES:
        return f"{place.bytes:,} bytes"
    value = store.load(key)
    names = [field[0] for field in place.layout.fields] if place.layout.code is None else []
    if place.shape is None and names and not hasattr(value, "dtype"):
        shown = ", ".join(f"{name}={getattr(value, name, '?')}" for name in names)
    elif hasattr(value, "tolist"):
        shown = str(value.tolist())
    else:
        shown = str(getattr(value, "value", value))
    return shown if len(shown) <= _CHARACTERS else shown[: _CHARACTERS - 3] + "..."


def _row(store: Store, key: str | bytes) -> str:
    place = store._peeked(key)
    shape = "" if place.shape is None else str(list(place.shape))
    shown = key if isinstance(key, str) else repr(key)
    cells = (shown.encode("utf-8", "replace").decode(), place.layout.name + shape, _value(store, key, place))
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def show_html(store: Store) -> str:
    """A table of the first objects."""
    head = escape(repr(store))
    if store.closed:
        return f"<p>{head}</p>"
    rows = []
    for key in islice(store.keys(), _ROWS):
        try:
            rows.append(_row(store, key))
        except KeyError:
            continue
    more = "<p>...</p>" if len(store) > len(rows) else ""
    titles = "<tr><th>key</th><th>type</th><th>object</th></tr>"
    return f"<p>{head}</p><table><thead>{titles}</thead><tbody>{''.join(rows)}</tbody></table>{more}"
