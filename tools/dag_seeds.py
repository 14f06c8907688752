"""Seeds of the fuzz corpus for blocks: recorded dag-pb nodes, deltas, broadcasts and bitswap messages."""

from __future__ import annotations

from typing import Any

from mesh.codecs import bitswap, crdt, crdt_snapshot, dag_pb, unixfs
from mesh.codecs.car import encode_section
from mesh.codecs.wire import Record
from tests.vectors import load

CID = bytes.fromhex("017012201c5f9ecf271a2691e36821f468c26d706ea1ecde916b8ff9a9c71bc2e947df6b")


def dag_seeds() -> dict[str, list[bytes]]:
    """Inputs by format, valid ones first."""
    recorded: Any = load("dag_pb", "betar")
    replicas: Any = load("crdt", "betar")
    messages: Any = load("bitswap", "betar")["messages"]
    nodes = [bytes.fromhex(case["node_hex"]) for case in (*recorded["nodes"], *replicas["nodes"])]
    nodes += [
        bytes.fromhex(case["root_block_hex"]) for case in recorded["unixfs"] if "root_block_hex" in case
    ]
    encodings = [*replicas["encodings"], *replicas["newer_encodings"]]
    parts: dict[str, list[Record]] = {
        "dag_pb.pb_link": [dag_pb.PBLink(hash=CID, name="a", tsize=300), dag_pb.PBLink(hash=CID)],
        "unixfs.unix_time": [
            unixfs.UnixTime(seconds=1_700_000_000, nanoseconds=5),
            unixfs.UnixTime(seconds=-1),
        ],
        "unixfs.data": [
            unixfs.Data(type=unixfs.DataType.FILE, file_size=600, block_sizes=[256, 256, 88]),
            unixfs.Data(type=unixfs.DataType.DIRECTORY, mode=0o755, mtime=unixfs.UnixTime(seconds=1)),
            unixfs.Data(type=unixfs.DataType.HAMT_SHARD, data=b"\x01", hash_type=0x22, fanout=256),
            unixfs.Data(type=unixfs.DataType.SYMLINK, data=b"../a"),
        ],
        "crdt.head": [crdt.Head(cid=CID, dag_name="shard-1"), crdt.Head()],
        "crdt.element": [crdt.Element(key="/a", value=b"b"), crdt.Element(key="/a", id="/CIQABC")],
        "crdt_snapshot.request": [crdt_snapshot.Request(topic="prices", nonce=bytes(32))],
        "crdt_snapshot.row": [crdt_snapshot.Row(key=b"k/a", value=b"\x00\x01\x00b"), crdt_snapshot.Row()],
        "crdt_snapshot.part": [
            crdt_snapshot.Part(rows=[crdt_snapshot.Row(key=b"k/a", value=b"b")], statement=b"signed"),
            crdt_snapshot.Part(status=crdt_snapshot.Status.NOT_WHOLE),
        ],
        "crdt_snapshot.statement": [
            crdt_snapshot.Statement(topic="prices", nonce=bytes(32), rows=300, digest=bytes(32))
        ],
        "bitswap.entry": [bitswap.Entry(block=CID, priority=1, send_dont_have=True)],
        "bitswap.wantlist": [bitswap.Wantlist(entries=[bitswap.Entry(block=CID, cancel=True)], full=True)],
        "bitswap.block": [bitswap.Block(prefix=CID[:4], data=b"hello betar")],
        "bitswap.block_presence": [bitswap.BlockPresence(cid=CID, type=1)],
    }
    return {
        **{name: [each.encode() for each in records] for name, records in parts.items()},
        "dag_pb.pb_node": list(dict.fromkeys(nodes[1:])),
        "crdt.broadcast": [bytes.fromhex(each["hex"]) for each in encodings if each["kind"] == "broadcast"],
        "crdt.delta": [
            *(bytes.fromhex(each["hex"]) for each in encodings if each["kind"] == "delta"),
            *(bytes.fromhex(each["delta_hex"]) for each in replicas["nodes"]),
        ],
        "car.section": [encode_section(each) for each in (CID, CID + b"hello", bytes(200))],
        "bitswap.message": [_unframed(case[key]) for case in messages for key in ("v1_hex", "v0_hex")],
    }


def _unframed(text: str) -> bytes:
    """A short message without its length."""
    return bytes.fromhex(text)[1:]
