"""The exceptions of structchunk, where Python has none of its own.

A missing key is a ``KeyError``, a key that is taken a ``FileExistsError``, a store that is not there a ``FileNotFoundError``, a value that
cannot be stored a ``TypeError``, a key or size out of bounds a ``ValueError``; what the system says is an ``OSError``.
"""

import io


class Error(Exception):
    """Whatever goes wrong with a store."""


class CorruptError(Error):
    """A file holds something that cannot be."""


class LayoutMismatch(Error, TypeError):
    """An object has another type than the one asked for; the message names the first field that differs."""


class NoSpace(Error, OSError):
    """The disk is full. Nothing was changed, the store stays usable."""


class Locked(Error, OSError):
    """Another process, or another handle of this one, has the store open."""

    pid: int | None = None


class NotAStore(Error, OSError):
    """What lies at the path is no store."""


class Busy(Error, TimeoutError):
    """Somebody else changes the object, and the busy timeout has passed."""


class Recovering(Error, TimeoutError):
    """Another process is recovering the store, and the busy timeout has passed."""


class Torn(Error):
    """The process that was changing the object in place died while it did.

    What a writer has left so, the next one makes whole as it is when it opens the store. What another process has left so (see
    `structchunk.attach`) stays so until ``Store.mend`` makes it whole, or the writer puts another object in its place.
    """


class Unsupported(Error, io.UnsupportedOperation):
    """The store, or the way in which it was opened, cannot do that; the message says what can."""


class NoWriter(Error, OSError):
    """Nobody has the store open to write it, so its objects cannot be changed in place now."""


class Closed(Error, ValueError):
    """The store was closed. Objects that were taken before stay readable."""


class ReadOnly(Error, PermissionError):
    """The store is open read-only."""


class Poisoned(Error, OSError):
    """An earlier sync failed: nothing more is written. Open the store again to go back to the last good sync."""


class Forked(Error, RuntimeError):
    """The handle belongs to the parent process. A child may ``load`` copies and look at keys; for more it opens the store by itself."""
