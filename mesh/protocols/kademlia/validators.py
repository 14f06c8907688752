"""Who says whether a value record is valid, and which of several is best, by the namespace of its key.

The public DHT has `/pk/` and `/ipns/` and nothing else; networks with a prefix of their own register more (libp2p
digest, section 14).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from mesh.errors import DecodeError, UsageError
from mesh.identity.keys import PublicKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.kademlia import record_key
from mesh.protocols.kademlia.ipns import IpnsValidator
from mesh.protocols.kademlia.record_key import InvalidRecordError

__all__ = ["InvalidRecordError", "PublicKeyValidator", "Validator", "Validators"]


class Validator(Protocol):
    """The rules of one namespace. Both see the whole key, namespace included."""

    def validate(self, key: bytes, value: bytes, now: float) -> None:
        """Return when the value may stand under the key at `now` (Unix seconds); else raise InvalidRecordError."""
        ...

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """The index of the best of `values`, the first of equals; they were validated, though maybe earlier.

        Raises InvalidRecordError when none can be used; UsageError when there is none.
        """
        ...


class Validators:
    """The namespaces of a network; itself a `Validator` that hands on to the key's.

    A key without a known namespace is refused by `validate` and `select`; `knows` asks beforehand.
    """

    def __init__(self, namespaces: Mapping[str, Validator] | None = None) -> None:
        self._namespaces: dict[str, Validator] = {}
        for namespace, validator in (namespaces or {}).items():
            self.register(namespace, validator)

    @classmethod
    def public(cls) -> Validators:
        """Those of the public DHT: `/pk/` and `/ipns/`."""
        return cls({"pk": PublicKeyValidator(), "ipns": IpnsValidator()})

    @property
    def namespaces(self) -> tuple[str, ...]:
        return tuple(self._namespaces)

    def register(self, namespace: str, validator: Validator) -> None:
        """Add a namespace, written without slashes. Raises UsageError for one that exists or cannot be a key's."""
        if not namespace or "/" in namespace or not namespace.isascii():
            raise UsageError(
                f"{namespace!r} cannot be a namespace: ASCII without slashes, at least one character"
            )
        if namespace in self._namespaces:
            raise UsageError(f"the namespace {namespace!r} has a validator already")
        self._namespaces[namespace] = validator

    def remove(self, namespace: str, validator: Validator) -> None:
        """Judge a namespace no more; nothing happens unless this very validator does."""
        if self._namespaces.get(namespace) is validator:
            del self._namespaces[namespace]

    def knows(self, key: bytes) -> bool:
        """Whether the key is well formed and has a namespace that is registered."""
        try:
            return record_key.split(key)[0] in self._namespaces
        except InvalidRecordError:
            return False

    def validate(self, key: bytes, value: bytes, now: float) -> None:
        """See `Validator.validate`."""
        self._of(key).validate(key, value, now)

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """See `Validator.select`."""
        if not values:
            raise UsageError("there is nothing to select from")
        return self._of(key).select(key, values)

    def _of(self, key: bytes) -> Validator:
        namespace, _ = record_key.split(key)
        validator = self._namespaces.get(namespace)
        if validator is None:
            known = ", ".join(self._namespaces) or "none"
            raise InvalidRecordError(f"no validator for the namespace {namespace[:40]!r} (known: {known})")
        return validator


class PublicKeyValidator:
    """`/pk/<peer id in binary>`: the public key protobuf of that peer. There is one such key, so all values are equal."""

    def validate(self, key: bytes, value: bytes, now: float) -> None:
        """See `Validator.validate`; `now` does not matter."""
        _, name = record_key.split(key)
        try:
            peer = PeerId.from_bytes(name)
            public_key = PublicKey.from_protobuf(value)
        except DecodeError as error:
            raise InvalidRecordError(f"/pk/: {error}") from None
        if not peer.matches(public_key):
            raise InvalidRecordError(f"/pk/: the key is not that of {peer}")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """See `Validator.select`."""
        if not values:
            raise UsageError("there is nothing to select from")
        return 0
