"""What Go says of a recorded case, and what ours says of it, in the same words."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mesh.errors import DecodeError, MeshError
from mesh.framing.levin import read_varint, write_varint
from mesh.protocols.lethean import bundle, smsg, stim, tarball
from mesh.protocols.lethean.allowlist import AuthMode
from mesh.protocols.lethean.compat import Strictness
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.handshake import Accepted, Dialer, Listener, Own
from mesh.protocols.lethean.identity import Identity, NodeKey
from mesh.protocols.lethean.messages import Deploy, Handshake, HandshakeAck
from mesh.protocols.lethean.names import check_bundle_name
from mesh.protocols.lethean.peer import Peer
from mesh.protocols.lethean.portable_storage import decode_storage
from mesh.protocols.lethean.registry import PeerRegistry
from mesh.protocols.lethean.scores import Outcome
from mesh.protocols.lethean.tarball import Entry
from mesh.protocols.lethean.ueps import read_packet
from tests.protocols.lethean.vectors import ALICE, BOB, TS, group


class Case(NamedTuple):
    """A recorded case: where it is, Go's verdict, and how to get ours."""

    group: str
    name: str
    go: str
    ours: Callable[[Strictness], str]


def attempted(work: Callable[[], object]) -> str:
    """`taken` or `refused`."""
    try:
        work()
    except MeshError:
        return "refused"
    return "taken"


def gos(case: dict[str, Any], *keys: str) -> str:
    """Go's verdict of a case that has an error under one of `keys`, or a crash."""
    if "panic" in case:
        return "crash"
    return "refused" if any(case.get(key) for key in keys) else "taken"


def cases() -> Iterator[Case]:
    """All cases with a verdict."""
    yield from _handshakes()
    yield from _peers()
    yield from _encryption()
    yield from _packets()
    yield from _bundles()


def _handshakes() -> Iterator[Case]:
    bob = Own(BOB, BOB.identity("bob", TS, "worker"))
    for each in group("handshake")["go_server"]:
        listed = each["name"] != "allowlist mode, unknown"

        def listen(strictness: Strictness, text: str = each["sent_text"], listed: bool = listed) -> str:
            machine = Listener(bob, lambda _: listed, "id", 0.0, strictness)
            machine.receive(text, 0.0, TS)
            [event] = machine.events()
            if isinstance(event, Accepted):
                return "accepted"
            return "rejected" if event.told else "closed"

        go = "closed"
        if not each.get("closed_without_reply"):
            accepted = Envelope.decode(each["reply_text"]).payload(HandshakeAck).accepted
            go = "accepted" if accepted else "rejected"
        yield Case("handshake.go_server", each["name"], go, listen)
    told = json.loads(group("handshake")["go_server"][0]["sent_text"])
    for each in group("versions"):
        told["payload"]["version"] = each["version"]

        def judge(strictness: Strictness, text: str = json.dumps(told)) -> str:
            machine = Listener(bob, lambda _: True, "id", 0.0, strictness)
            machine.receive(text, 0.0, TS)
            return "taken" if isinstance(machine.events()[0], Accepted) else "refused"

        yield Case("versions", repr(each["version"]), "taken" if each["supported"] else "refused", judge)
    dialled = next(each["go_sent_text"] for each in group("handshake")["go_client"] if each["name"] == "ok")
    yield Case("handshake.go_client", "ok", "accepted", lambda strictness: _dial(dialled, strictness))


def _dial(text: str, strictness: Strictness) -> str:
    sent = Envelope.decode(text)
    challenge = sent.payload(Handshake).challenge
    assert challenge is not None
    listener = Listener(Own(BOB, BOB.identity("bob", TS)), lambda _: True, "id", 0.0, strictness)
    listener.receive(text, 0.0, TS)
    dialer = Dialer(
        Own(ALICE, ALICE.identity("alice", TS)), sent.receiver, challenge, sent.id, 0.0, TS, strictness
    )
    dialer.receive(listener.output()[0], 0.0)
    [event] = dialer.events()
    return "accepted" if isinstance(event, Accepted) else "closed"


def _peers() -> Iterator[Case]:
    for each in group("peers")["auth"]:

        def admit(strictness: Strictness, case: dict[str, Any] = each) -> str:
            registry = PeerRegistry(strictness)
            for name in case["registered"]:
                registry.add(Peer(id=name), 0.0, TS)
            registry.mode = AuthMode[case["mode"].upper()]
            for key in case["allowed_keys"]:
                registry.allowlist.allow(key)
            claimed = Identity(id=case["peer_id"], public_key=case["public_key"])
            return "taken" if registry.admits(claimed) else "refused"

        name = f"{each['mode']}: id {each['peer_id']}, key {each['public_key'] or 'empty'}"
        yield Case("peers.auth", name, "taken" if each["allowed"] else "refused", admit)

    def best_after_failures(strictness: Strictness) -> str:
        registry = PeerRegistry(strictness)
        for name, score in (("x", 90), ("y", 89)):
            registry.add(Peer(id=name, score=score), 0.0, TS)
        for _ in range(5):
            registry.rate("x", Outcome.FAILURE, 0.0, TS)
        best = registry.best()
        assert best is not None
        return best.id

    stale = group("peers")["stale_tree"]["optimal_after_5_failures_of_x"]
    yield Case("peers.stale_tree", "optimal after 5 failures of x", stale, best_after_failures)


def _encryption() -> Iterator[Case]:
    for each in group("shared_secret"):
        key, text = NodeKey(bytes.fromhex(each["private_key_hex"])), each["peer_public_key_base64"]
        yield Case(
            "shared_secret",
            f"{each['private_key_hex'][:8]}: {text[:50]!r}",
            gos(each, "error"),
            lambda _, key=key, text=text: attempted(lambda: key.shared_secret(text)),  # type: ignore[misc]
        )
    for each in group("smsg"):
        if "container_base64" in each:

            def read(_: Strictness, case: dict[str, Any] = each) -> str:
                data = base64.b64decode(case["container_base64"])
                return attempted(lambda: smsg.open_message(smsg.derive_key(case["password"]), data))

            yield Case("smsg", each["name"], gos(each, "go_decrypt_error"), read)


def _packets() -> Iterator[Case]:
    for each in group("ueps")["read"]:

        def read(_: Strictness, case: dict[str, Any] = each) -> str:
            return attempted(
                lambda: read_packet(bytes.fromhex(case["packet_hex"]), bytes.fromhex(case["secret_hex"]))
            )

        yield Case("ueps.read", each["name"], gos(each["read"], "error"), read)
    for each in group("levin")["storage_decode"]:
        data = bytes.fromhex(each["hex"])
        yield Case(
            "levin.storage_decode",
            each["name"],
            gos(each, "error"),
            lambda _, data=data: attempted(lambda: decode_storage(data)),  # type: ignore[misc]
        )
    for each in group("levin")["varint_encode"]:

        def write(_: Strictness, number: int = int(each["value"])) -> str:
            try:
                data = write_varint(number)
            except MeshError:
                return "refused"
            return f"written as {read_varint(data, 0, len(data))[0]}"

        yield Case("levin.varint_encode", each["value"], f"written as {each['decoded']}", write)


def _bundles() -> Iterator[Case]:
    for each in group("tim")["reject"]:

        def read(_: Strictness, case: dict[str, Any] = each) -> str:
            return attempted(lambda: stim.open_stim(case["password"], base64.b64decode(case["data_base64"])))

        yield Case("tim.reject", each["name"], gos(each, "error"), read)
    for each in group("tim")["bundles"]:

        def profile(strictness: Strictness, case: dict[str, Any] = each) -> str:
            found = Deploy(data=base64.b64decode(case["data_base64"]), checksum=case["checksum"])
            try:
                opened = bundle.open_miner(found, case["password"], strictness)
            except MeshError:
                return "refused"
            return f"profile {opened.profile}"

        go = "refused" if each["extract_miner_error"] else f"profile {each['extract_miner_profile_text']}"
        yield Case("tim.bundles", each["name"], go, profile)
    for each in group("tim")["extraction"]:

        def extract(_: Strictness, case: dict[str, Any] = each) -> str:
            return _extract(case)

        error = "refused, " if each["error"] else ""
        yield Case(
            "tim.extraction",
            f"{each['name']}, {each['via']}",
            f"{error}files {sorted(each['files'])}",
            extract,
        )
    for each in group("live")["deploy_name"]:
        yield Case(
            "live.deploy_name",
            each["name"] or "(empty)",
            "taken",
            lambda _, name=each["name"]: attempted(lambda: check_bundle_name(name)),  # type: ignore[misc]
        )


def _extract(case: dict[str, Any]) -> str:
    entries = [
        Entry(each["name"], b"", int(each["mode"], 8), each["type"], each["linkname"])
        for each in case["entries"]
    ]
    archive = tarball.write_tar(entries, 0)
    if case["via"] == "extract tar directly":
        entries = tarball.read_tar(archive)
    else:
        entries = [Entry(name, content) for name, content in tarball.read_rootfs(archive).items()]
    try:
        planned = tarball.plan(entries)
    except DecodeError:
        return "refused, files []"
    return (
        f"files {sorted(f'dest/{each.path} {each.mode:04o}' for each in planned if each.content is not None)}"
    )
