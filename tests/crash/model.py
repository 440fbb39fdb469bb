"""What the registry has acknowledged, and what it may hold after it was killed.

A fact is a key and a value: a blob or a manifest of a namespace is there or not, a tag points to a
digest or to nothing. Every request that changes facts is a change with a beginning and, once it was
acknowledged, an end. What a key may hold is the value of any change that no acknowledged one
followed; a change without an answer may have happened or not.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.crash.client import Content

BLOB, MANIFEST, TAG = "blob", "manifest", "tag"
Key = tuple[str, str, str]
"""Kind, namespace, and digest or tag."""
Value = str | None
"""A digest; None for what is not there."""


@dataclass(eq=False)
class Change:
    """One request's effect; `ended` is None while there is no acknowledgement."""

    values: Mapping[Key, Value]
    begun: int
    before: Mapping[Key, frozenset[Value]]
    ended: int | None = None


@dataclass
class Upload:
    """An upload session: `acknowledged` bytes are there, no more than `sent` can be."""

    namespace: str
    location: str
    content: Content
    acknowledged: int = 0
    sent: int = 0
    finishing: Change | None = None
    is_cancelled: bool = False
    """Whether a client has asked for that, with or without an answer."""


@dataclass
class Counts:
    """Acknowledgements since the beginning."""

    blobs: int = 0
    manifests: int = 0
    deletes: int = 0
    chunks: int = 0
    resumed: int = 0
    broken: int = 0
    """Changing requests that got no answer."""

    def add(self, other: Counts) -> None:
        """Sum up."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class Model:
    """Facts of one data directory. Every method may be called from any thread."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    """Manifest bodies by digest."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Sizes of blobs by digest, in bytes."""
    uploads: dict[str, Upload] = field(default_factory=dict)
    touched: set[Key] = field(default_factory=set)
    _settled: dict[Key, Value] = field(default_factory=dict)
    _open: dict[Key, list[Change]] = field(default_factory=dict)
    _known: dict[str, dict[Key, None]] = field(default_factory=dict)
    _clock: int = 0
    _is_deaf: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def begin(self, values: Mapping[Key, Value]) -> Change:
        """A request that will make these facts true is about to be sent."""
        with self._lock:
            before = {key: self.possible(key) for key in values}
            change = Change(values, self._tick(), before)
            for key in values:
                self._open.setdefault(key, []).append(change)
                self._known.setdefault(key[1], {})[key] = None
                self.touched.add(key)
            return change

    def acknowledge(self, change: Change) -> None:
        """The registry said that it is so."""
        with self._lock:
            if self._is_deaf:
                return
            change.ended = self._tick()
            for key in change.values:
                self._settle_if_alone(key)

    def believe(self, *, is_deaf: bool) -> None:
        """Leave changes in doubt from now on, or no longer, whatever the registry says of them."""
        with self._lock:
            self._is_deaf = is_deaf

    def refuse(self, change: Change) -> None:
        """The registry said that it is not so."""
        with self._lock:
            for key in change.values:
                self._open[key].remove(change)
                self._settle_if_alone(key)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _settle_if_alone(self, key: Key) -> None:
        """Forget what cannot matter any more: once nothing is under way, only the outcome does."""
        changes = self._open.get(key, [])
        if any(change.ended is None for change in changes):
            return
        possible = self.possible(key)
        if len(possible) == 1:
            self._settled[key] = next(iter(possible))
            self._open.pop(key, None)

    def possible(self, key: Key) -> frozenset[Value]:
        """What the key may hold now."""
        with self._lock:
            changes = self._open.get(key, [])
            followed = max((item.begun for item in changes if item.ended is not None), default=0)
            found = {
                item.values[key] for item in changes if item.ended is None or item.ended >= followed
            }
            if followed == 0:
                found.add(self._settled.get(key))
            return frozenset(found)

    def observe(self, key: Key, value: Value) -> bool:
        """Nothing is under way and this is what the key holds; whether it may."""
        with self._lock:
            is_possible = value in self.possible(key)
            self._settled[key] = value
            self._open.pop(key, None)
            return is_possible

    def in_doubt(self) -> list[Change]:
        """Changes without an answer, each once."""
        with self._lock:
            found = {id(item): item for changes in self._open.values() for item in changes}
            return [item for item in found.values() if item.ended is None]

    def is_alone(self, change: Change) -> bool:
        """Whether no other change is open for any key of this one."""
        with self._lock:
            return all(self._open.get(key) == [change] for key in change.values)

    def value(self, key: Key) -> Value:
        """What a settled key holds."""
        with self._lock:
            return self._settled.get(key)

    def keys(self) -> list[Key]:
        """Every key that was ever spoken of."""
        with self._lock:
            return [key for keys in self._known.values() for key in keys]

    def settled_in(self, namespace: str) -> list[tuple[Key, str]]:
        """What is surely there in a namespace whose one client asks between its own requests."""
        with self._lock:
            known = [
                (key, self._settled.get(key))
                for key in self._known.get(namespace, ())
                if key not in self._open
            ]
        return [(key, value) for key, value in known if value is not None]
