"""Where records stand in the DHT, and what services and names may be called (Beam digest, sections 2 and 3.2).

======================  ==============================================================================================
key                     value
======================  ==============================================================================================
``/beam/svc/ID``        the record of one provider of a service: the newest
``/beam/svc/ID/PEER``   the record of that provider
``/beam/name/NAME``     whose a name is
======================  ==============================================================================================

The providers of a service are those of the multihash that `providers_key` gives. A name is one label, such as `myapp`,
its service has a suffix, such as `myapp.local`.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from mesh.codecs.beam import MAX_ID_BYTES
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multihash import digest

NAMESPACE: Final = "beam"
SUFFIX: Final = ".local"
RESERVED: Final = frozenset({"www", "api", "admin", "root", "localhost"})
_NAME: Final = re.compile(r"[a-z0-9](?:-?[a-z0-9])*")
_SERVICE: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
_SHORTEST, _LONGEST = 3, 63


class RecordKey(NamedTuple):
    """What a key of the DHT names: ``kind`` is `svc` or `name`, ``peer`` the provider where the key names one."""

    kind: str
    subject: str
    peer: PeerId | None


class Target(NamedTuple):
    """What somebody wants to reach: a service, by its name if it has one, and at one provider if that was named."""

    service_id: str
    name: str
    provider: PeerId | None


def service_key(service_id: str, peer: PeerId | None = None) -> bytes:
    """The key of a service's newest record, or of that of one provider."""
    return f"/{NAMESPACE}/svc/{service_id}{f'/{peer}' if peer is not None else ''}".encode()


def name_key(name: str) -> bytes:
    """The key of a name's record."""
    return f"/{NAMESPACE}/name/{name}".encode()


def providers_key(service_id: str) -> bytes:
    """The multihash under which providers of a service announce themselves."""
    return digest(service_key(service_id)).to_bytes()


def read_key(key: bytes) -> RecordKey:
    """Raises `Malformed` for a key that no record stands under."""
    try:
        parts = key.decode("ascii").split("/")
    except UnicodeDecodeError:
        raise Malformed("key", None, "not ASCII") from None
    if parts[:2] != ["", NAMESPACE]:
        raise Malformed("key", None, f"not of /{NAMESPACE}/")
    match parts[2:]:
        case ["svc", subject]:
            return RecordKey("svc", check_service(subject), None)
        case ["svc", subject, text]:
            return RecordKey("svc", check_service(subject), _peer(text))
        case ["name", subject]:
            return RecordKey("name", check_name(subject), None)
    raise Malformed("key", None, f"neither a service nor a name: {key[:64]!r}")


def check_service(service_id: str) -> str:
    """The id as it is. Raises `Malformed` for one that is not 1 to 255 small letters, digits, dots and hyphens."""
    if len(service_id) > MAX_ID_BYTES or not _SERVICE.fullmatch(service_id):
        raise Malformed(
            "service_id",
            None,
            f"{service_id[:64]!r} is not 1 to {MAX_ID_BYTES} small letters, digits, dots and hyphens",
        )
    return service_id


def check_name(name: str) -> str:
    """The name as it is. Raises `Malformed` for one that breaks Beam's rules: 3 to 63 small letters, digits and single
    hyphens between them, not reserved."""
    if not _SHORTEST <= len(name) <= _LONGEST or not _NAME.fullmatch(name):
        raise Malformed(
            "name",
            None,
            f"{name[:64]!r} is not {_SHORTEST} to {_LONGEST} small letters, digits and single hyphens inside",
        )
    if name in RESERVED:
        raise Malformed("name", None, f"{name!r} is reserved")
    return name


def read_target(text: str, suffix: str = SUFFIX) -> Target:
    """What `myapp`, `myapp.local`, `myapp.PEER` and `myapp.local.PEER` mean. Raises `UsageError`."""
    head, dot, last = text.strip().rpartition(".")
    provider = None
    if dot and len(last) > _LONGEST // 2:
        try:
            provider = PeerId.parse(last)
        except DecodeError:
            provider = None
    words = (head if provider is not None else text.strip()).lower()
    label = words.removesuffix(suffix) if suffix and words.endswith(suffix) else words
    try:
        if "." in label:
            return Target(check_service(label), "", provider)
        return Target(check_service(label + suffix), check_name(label), provider)
    except Malformed as error:
        raise UsageError(str(error)) from None


def _peer(text: str) -> PeerId:
    peer = PeerId.parse(text)
    if str(peer) != text:
        raise Malformed("key", None, "a peer id in another spelling")
    return peer
