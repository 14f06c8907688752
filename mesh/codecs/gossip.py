# GENERATED from protocol_specs/gossip.py by tools.spec_compiler; do not edit.
# Schema 2e27cb829ecc432c
"""Pubsub RPCs.

Specification: libp2p/specs pubsub/README.md.
"""

from __future__ import annotations

from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    crossing,
    encode_text,
    encode_varint,
    joined,
    outside,
    past_end,
    put_run,
    read_tag,
    read_varint,
    refused_count,
    refused_number,
    refused_size,
    skip_field,
    take_run,
    too_long,
)
from mesh.errors import Malformed, Truncated

MAX_RPC_BYTES = 1048576

_SUBSCRIPTION_FIELDS = {
    18: ("Subscription.topic", 4096),
}


class Subscription(Record):
    """A topic joined or left.

    subscribe: false is written too, as go does

    requests_partial: 1.3; go sends it as false to older peers too
    """

    __slots__ = ("subscribe", "topic", "requests_partial", "supports_sending_partial")

    MAX_BYTES = 4160

    def __init__(
        self,
        subscribe: bool | None = None,
        topic: str = "",
        requests_partial: bool | None = None,
        supports_sending_partial: bool | None = None,
    ) -> None:
        self.subscribe = subscribe
        self.topic = topic
        self.requests_partial = requests_partial
        self.supports_sending_partial = supports_sending_partial

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4160:
            raise too_long("Subscription", offset, end - offset, 4160)
        subscribe: bool | None = None
        topic: str = ""
        requests_partial: bool | None = None
        supports_sending_partial: bool | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Subscription")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Subscription")
                stop = offset + length
                if stop > end:
                    raise past_end(_SUBSCRIPTION_FIELDS, tag, length, offset, "Subscription")
                if tag == 18:
                    if length > 4096:
                        raise too_long("Subscription.topic", offset, length, 4096)
                    try:
                        topic = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Subscription.topic", offset, "not UTF-8") from None
                offset = stop
            elif tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Subscription.subscribe")
                subscribe = number != 0
            elif tag == 24:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Subscription.requests_partial")
                requests_partial = number != 0
            elif tag == 32:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Subscription.supports_sending_partial")
                supports_sending_partial = number != 0
            else:
                offset = skip_field(data, tag, offset, end, "Subscription")
        return cls(subscribe, topic, requests_partial, supports_sending_partial)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        subscribe = self.subscribe
        if subscribe is not None:
            out += (b"\x08", b"\x01" if subscribe else b"\x00")
        topic = self.topic
        if topic:
            content = encode_text(topic, "Subscription.topic")
            size = len(content)
            if size > 4096:
                raise refused_size("Subscription.topic", size, 4096)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        requests_partial = self.requests_partial
        if requests_partial is not None:
            out += (b"\x18", b"\x01" if requests_partial else b"\x00")
        supports_sending_partial = self.supports_sending_partial
        if supports_sending_partial is not None:
            out += (b"\x20", b"\x01" if supports_sending_partial else b"\x00")
        encoded = b"".join(out)
        if len(encoded) > 4160:
            raise refused_size("Subscription", len(encoded), 4160)
        return encoded


_MESSAGE_FIELDS = {
    10: ("Message.sender", 128),
    18: ("Message.data", 1048576),
    26: ("Message.seqno", 64),
    34: ("Message.topic", 4096),
    42: ("Message.signature", 2048),
    50: ("Message.key", 4096),
}


class Message(Record):
    """One published message.

    sender: peer id of the author (the specification's from)

    seqno: 8 bytes, big-endian, increasing

    key: only when the id does not contain it
    """

    __slots__ = ("sender", "data", "seqno", "topic", "signature", "key")

    MAX_BYTES = 1048576

    def __init__(
        self,
        sender: bytes | None = None,
        data: bytes | None = None,
        seqno: bytes | None = None,
        topic: str = "",
        signature: bytes | None = None,
        key: bytes | None = None,
    ) -> None:
        self.sender = sender
        self.data = data
        self.seqno = seqno
        self.topic = topic
        self.signature = signature
        self.key = key

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1048576:
            raise too_long("Message", offset, end - offset, 1048576)
        sender: bytes | None = None
        data_: bytes | None = None
        seqno: bytes | None = None
        topic: str = ""
        signature: bytes | None = None
        key: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Message")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Message")
                stop = offset + length
                if stop > end:
                    raise past_end(_MESSAGE_FIELDS, tag, length, offset, "Message")
                if tag == 10:
                    if length > 128:
                        raise too_long("Message.sender", offset, length, 128)
                    sender = data[offset:stop]
                elif tag == 18:
                    data_ = data[offset:stop]
                elif tag == 26:
                    if length > 64:
                        raise too_long("Message.seqno", offset, length, 64)
                    seqno = data[offset:stop]
                elif tag == 34:
                    if length > 4096:
                        raise too_long("Message.topic", offset, length, 4096)
                    try:
                        topic = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Message.topic", offset, "not UTF-8") from None
                elif tag == 42:
                    if length > 2048:
                        raise too_long("Message.signature", offset, length, 2048)
                    signature = data[offset:stop]
                elif tag == 50:
                    if length > 4096:
                        raise too_long("Message.key", offset, length, 4096)
                    key = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Message")
        return cls(sender, data_, seqno, topic, signature, key)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        sender = self.sender
        if sender is not None:
            size = len(sender)
            if size > 128:
                raise refused_size("Message.sender", size, 128)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), sender)
        data = self.data
        if data is not None:
            size = len(data)
            if size > 1048576:
                raise refused_size("Message.data", size, 1048576)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), data)
        seqno = self.seqno
        if seqno is not None:
            size = len(seqno)
            if size > 64:
                raise refused_size("Message.seqno", size, 64)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), seqno)
        topic = self.topic
        if topic:
            content = encode_text(topic, "Message.topic")
            size = len(content)
            if size > 4096:
                raise refused_size("Message.topic", size, 4096)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        signature = self.signature
        if signature is not None:
            size = len(signature)
            if size > 2048:
                raise refused_size("Message.signature", size, 2048)
            out += (b"\x2a", ONE_BYTE[size] if size < 128 else encode_varint(size), signature)
        key = self.key
        if key is not None:
            size = len(key)
            if size > 4096:
                raise refused_size("Message.key", size, 4096)
            out += (b"\x32", ONE_BYTE[size] if size < 128 else encode_varint(size), key)
        encoded = b"".join(out)
        if len(encoded) > 1048576:
            raise refused_size("Message", len(encoded), 1048576)
        return encoded


_I_HAVE_FIELDS = {
    10: ("IHave.topic", 4096),
    18: ("IHave.message_ids", 4096),
}


class IHave(Record):
    """Ids of messages the sender has. go declares ids as strings and fills them with binary."""

    __slots__ = ("topic", "message_ids")

    MAX_BYTES = 1048576

    def __init__(self, topic: str = "", message_ids: list[bytes] | None = None) -> None:
        self.topic = topic
        self.message_ids = [] if message_ids is None else message_ids

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1048576:
            raise too_long("IHave", offset, end - offset, 1048576)
        topic: str = ""
        message_ids: list[bytes] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "IHave")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "IHave")
                stop = offset + length
                if stop > end:
                    raise past_end(_I_HAVE_FIELDS, tag, length, offset, "IHave")
                if tag == 10:
                    if length > 4096:
                        raise too_long("IHave.topic", offset, length, 4096)
                    try:
                        topic = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("IHave.topic", offset, "not UTF-8") from None
                elif tag == 18:
                    if length > 4096:
                        raise too_long("IHave.message_ids", offset, length, 4096)
                    if len(message_ids) >= 65536:
                        raise Malformed("IHave.message_ids", offset, "more than 65536")
                    message_ids.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 18 and data[stop + 1] == first:
                        stop = take_run(message_ids, data, stop, end, 18, length, 65536)
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "IHave")
        return cls(topic, message_ids)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        topic = self.topic
        if topic:
            content = encode_text(topic, "IHave.topic")
            size = len(content)
            if size > 4096:
                raise refused_size("IHave.topic", size, 4096)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.message_ids) > 65536:
            raise refused_count("IHave.message_ids", len(self.message_ids), 65536)
        put_run(out, b"\x12", self.message_ids, 4096, "IHave.message_ids")
        encoded = b"".join(out)
        if len(encoded) > 1048576:
            raise refused_size("IHave", len(encoded), 1048576)
        return encoded


_I_WANT_FIELDS = {
    10: ("IWant.message_ids", 4096),
}


class IWant(Record):
    """Ids of messages the sender asks for."""

    __slots__ = ("message_ids",)

    MAX_BYTES = 1048576

    def __init__(self, message_ids: list[bytes] | None = None) -> None:
        self.message_ids = [] if message_ids is None else message_ids

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1048576:
            raise too_long("IWant", offset, end - offset, 1048576)
        message_ids: list[bytes] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "IWant")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "IWant")
                stop = offset + length
                if stop > end:
                    raise past_end(_I_WANT_FIELDS, tag, length, offset, "IWant")
                if tag == 10:
                    if length > 4096:
                        raise too_long("IWant.message_ids", offset, length, 4096)
                    if len(message_ids) >= 65536:
                        raise Malformed("IWant.message_ids", offset, "more than 65536")
                    message_ids.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 10 and data[stop + 1] == first:
                        stop = take_run(message_ids, data, stop, end, 10, length, 65536)
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "IWant")
        return cls(message_ids)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.message_ids) > 65536:
            raise refused_count("IWant.message_ids", len(self.message_ids), 65536)
        put_run(out, b"\x0a", self.message_ids, 4096, "IWant.message_ids")
        encoded = b"".join(out)
        if len(encoded) > 1048576:
            raise refused_size("IWant", len(encoded), 1048576)
        return encoded


_GRAFT_FIELDS = {
    10: ("Graft.topic", 4096),
}


class Graft(Record):
    """The sender adds the receiver to its mesh."""

    __slots__ = ("topic",)

    MAX_BYTES = 4160

    def __init__(self, topic: str = "") -> None:
        self.topic = topic

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4160:
            raise too_long("Graft", offset, end - offset, 4160)
        topic: str = ""
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Graft")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Graft")
                stop = offset + length
                if stop > end:
                    raise past_end(_GRAFT_FIELDS, tag, length, offset, "Graft")
                if tag == 10:
                    if length > 4096:
                        raise too_long("Graft.topic", offset, length, 4096)
                    try:
                        topic = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Graft.topic", offset, "not UTF-8") from None
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Graft")
        return cls(topic)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        topic = self.topic
        if topic:
            content = encode_text(topic, "Graft.topic")
            size = len(content)
            if size > 4096:
                raise refused_size("Graft.topic", size, 4096)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 4160:
            raise refused_size("Graft", len(encoded), 4160)
        return encoded


_EXCHANGED_PEER_FIELDS = {
    10: ("ExchangedPeer.peer_id", 128),
    18: ("ExchangedPeer.signed_peer_record", 1048576),
}


class ExchangedPeer(Record):
    """A peer to connect to instead (the specification's PeerInfo)."""

    __slots__ = ("peer_id", "signed_peer_record")

    MAX_BYTES = 1048576

    def __init__(self, peer_id: bytes = b"", signed_peer_record: bytes = b"") -> None:
        self.peer_id = peer_id
        self.signed_peer_record = signed_peer_record

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1048576:
            raise too_long("ExchangedPeer", offset, end - offset, 1048576)
        peer_id: bytes = b""
        signed_peer_record: bytes = b""
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "ExchangedPeer")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "ExchangedPeer")
                stop = offset + length
                if stop > end:
                    raise past_end(_EXCHANGED_PEER_FIELDS, tag, length, offset, "ExchangedPeer")
                if tag == 10:
                    if length > 128:
                        raise too_long("ExchangedPeer.peer_id", offset, length, 128)
                    peer_id = data[offset:stop]
                elif tag == 18:
                    signed_peer_record = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "ExchangedPeer")
        return cls(peer_id, signed_peer_record)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        peer_id = self.peer_id
        if peer_id:
            size = len(peer_id)
            if size > 128:
                raise refused_size("ExchangedPeer.peer_id", size, 128)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), peer_id)
        signed_peer_record = self.signed_peer_record
        if signed_peer_record:
            size = len(signed_peer_record)
            if size > 1048576:
                raise refused_size("ExchangedPeer.signed_peer_record", size, 1048576)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), signed_peer_record)
        encoded = b"".join(out)
        if len(encoded) > 1048576:
            raise refused_size("ExchangedPeer", len(encoded), 1048576)
        return encoded


_PRUNE_FIELDS = {
    10: ("Prune.topic", 4096),
    18: ("Prune.peers", 1048576),
}


class Prune(Record):
    """The sender removes the receiver from its mesh.

    backoff: seconds; absent before 1.1
    """

    __slots__ = ("topic", "peers", "backoff")

    MAX_BYTES = 1048576

    def __init__(
        self,
        topic: str = "",
        peers: list[ExchangedPeer] | None = None,
        backoff: int | None = None,
    ) -> None:
        self.topic = topic
        self.peers = [] if peers is None else peers
        self.backoff = backoff

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1048576:
            raise too_long("Prune", offset, end - offset, 1048576)
        topic: str = ""
        peers: list[ExchangedPeer] = []
        backoff: int | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Prune")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Prune")
                stop = offset + length
                if stop > end:
                    raise past_end(_PRUNE_FIELDS, tag, length, offset, "Prune")
                if tag == 10:
                    if length > 4096:
                        raise too_long("Prune.topic", offset, length, 4096)
                    try:
                        topic = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Prune.topic", offset, "not UTF-8") from None
                elif tag == 18:
                    if len(peers) >= 256:
                        raise Malformed("Prune.peers", offset, "more than 256")
                    try:
                        peers.append(ExchangedPeer._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                offset = stop
            elif tag == 24:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Prune.backoff")
                if not 0 <= number <= 0x7FFFFFFFFFFFFFFF:
                    raise outside("Prune.backoff", start, number, 0, 0x7FFFFFFFFFFFFFFF)
                backoff = number
            else:
                offset = skip_field(data, tag, offset, end, "Prune")
        return cls(topic, peers, backoff)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        topic = self.topic
        if topic:
            content = encode_text(topic, "Prune.topic")
            size = len(content)
            if size > 4096:
                raise refused_size("Prune.topic", size, 4096)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.peers) > 256:
            raise refused_count("Prune.peers", len(self.peers), 256)
        for peers_item in self.peers:
            content = peers_item.encode()
            size = len(content)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        backoff = self.backoff
        if backoff is not None:
            if not 0 <= backoff <= 0x7FFFFFFFFFFFFFFF:
                raise refused_number("Prune.backoff", backoff, 0, 0x7FFFFFFFFFFFFFFF)
            out += (b"\x18", ONE_BYTE[backoff] if backoff < 128 else encode_varint(backoff))
        encoded = b"".join(out)
        if len(encoded) > 1048576:
            raise refused_size("Prune", len(encoded), 1048576)
        return encoded


_I_DONT_WANT_FIELDS = {
    10: ("IDontWant.message_ids", 4096),
}


class IDontWant(Record):
    """Ids of messages not to send (1.2)."""

    __slots__ = ("message_ids",)

    MAX_BYTES = 1048576

    def __init__(self, message_ids: list[bytes] | None = None) -> None:
        self.message_ids = [] if message_ids is None else message_ids

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1048576:
            raise too_long("IDontWant", offset, end - offset, 1048576)
        message_ids: list[bytes] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "IDontWant")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "IDontWant")
                stop = offset + length
                if stop > end:
                    raise past_end(_I_DONT_WANT_FIELDS, tag, length, offset, "IDontWant")
                if tag == 10:
                    if length > 4096:
                        raise too_long("IDontWant.message_ids", offset, length, 4096)
                    if len(message_ids) >= 65536:
                        raise Malformed("IDontWant.message_ids", offset, "more than 65536")
                    message_ids.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 10 and data[stop + 1] == first:
                        stop = take_run(message_ids, data, stop, end, 10, length, 65536)
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "IDontWant")
        return cls(message_ids)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.message_ids) > 65536:
            raise refused_count("IDontWant.message_ids", len(self.message_ids), 65536)
        put_run(out, b"\x0a", self.message_ids, 4096, "IDontWant.message_ids")
        encoded = b"".join(out)
        if len(encoded) > 1048576:
            raise refused_size("IDontWant", len(encoded), 1048576)
        return encoded


class Extensions(Record):
    """What the sender speaks beyond 1.2; once, in the first RPC (1.3)."""

    __slots__ = ("partial_messages", "test_extension")

    MAX_BYTES = 1048576

    def __init__(self, partial_messages: bool | None = None, test_extension: bool | None = None) -> None:
        self.partial_messages = partial_messages
        self.test_extension = test_extension

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1048576:
            raise too_long("Extensions", offset, end - offset, 1048576)
        partial_messages: bool | None = None
        test_extension: bool | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Extensions")
            if tag == 80:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Extensions.partial_messages")
                partial_messages = number != 0
            elif tag == 51939472:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Extensions.test_extension")
                test_extension = number != 0
            else:
                offset = skip_field(data, tag, offset, end, "Extensions")
        return cls(partial_messages, test_extension)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        partial_messages = self.partial_messages
        if partial_messages is not None:
            out += (b"\x50", b"\x01" if partial_messages else b"\x00")
        test_extension = self.test_extension
        if test_extension is not None:
            out += (b"\x90\x91\xe2\x18", b"\x01" if test_extension else b"\x00")
        encoded = b"".join(out)
        if len(encoded) > 1048576:
            raise refused_size("Extensions", len(encoded), 1048576)
        return encoded


_CONTROL_FIELDS = {
    10: ("Control.ihave", 1048576),
    18: ("Control.iwant", 1048576),
    26: ("Control.graft", 4160),
    34: ("Control.prune", 1048576),
    42: ("Control.idontwant", 1048576),
    50: ("Control.extensions", 1048576),
}


class Control(Record):
    """What GossipSub says beside messages."""

    __slots__ = ("ihave", "iwant", "graft", "prune", "idontwant", "extensions")

    MAX_BYTES = 1048576

    def __init__(
        self,
        ihave: list[IHave] | None = None,
        iwant: list[IWant] | None = None,
        graft: list[Graft] | None = None,
        prune: list[Prune] | None = None,
        idontwant: list[IDontWant] | None = None,
        extensions: Extensions | None = None,
    ) -> None:
        self.ihave = [] if ihave is None else ihave
        self.iwant = [] if iwant is None else iwant
        self.graft = [] if graft is None else graft
        self.prune = [] if prune is None else prune
        self.idontwant = [] if idontwant is None else idontwant
        self.extensions = extensions

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1048576:
            raise too_long("Control", offset, end - offset, 1048576)
        ihave: list[IHave] = []
        iwant: list[IWant] = []
        graft: list[Graft] = []
        prune: list[Prune] = []
        idontwant: list[IDontWant] = []
        extensions_spans: list[tuple[int, int]] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Control")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Control")
                stop = offset + length
                if stop > end:
                    raise past_end(_CONTROL_FIELDS, tag, length, offset, "Control")
                if tag == 10:
                    if len(ihave) >= 16384:
                        raise Malformed("Control.ihave", offset, "more than 16384")
                    try:
                        ihave.append(IHave._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 18:
                    if len(iwant) >= 16384:
                        raise Malformed("Control.iwant", offset, "more than 16384")
                    try:
                        iwant.append(IWant._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 26:
                    if length > 4160:
                        raise too_long("Control.graft", offset, length, 4160)
                    if len(graft) >= 16384:
                        raise Malformed("Control.graft", offset, "more than 16384")
                    try:
                        graft.append(Graft._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 34:
                    if len(prune) >= 16384:
                        raise Malformed("Control.prune", offset, "more than 16384")
                    try:
                        prune.append(Prune._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 42:
                    if len(idontwant) >= 16384:
                        raise Malformed("Control.idontwant", offset, "more than 16384")
                    try:
                        idontwant.append(IDontWant._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 50:
                    extensions_spans.append((offset, stop))
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Control")
        extensions: Extensions | None = None
        if extensions_spans:
            try:
                region = joined(data, extensions_spans, 1048576, "Control.extensions")
                extensions = Extensions._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(ihave, iwant, graft, prune, idontwant, extensions)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.ihave) > 16384:
            raise refused_count("Control.ihave", len(self.ihave), 16384)
        for ihave_item in self.ihave:
            content = ihave_item.encode()
            size = len(content)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.iwant) > 16384:
            raise refused_count("Control.iwant", len(self.iwant), 16384)
        for iwant_item in self.iwant:
            content = iwant_item.encode()
            size = len(content)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.graft) > 16384:
            raise refused_count("Control.graft", len(self.graft), 16384)
        for graft_item in self.graft:
            content = graft_item.encode()
            size = len(content)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.prune) > 16384:
            raise refused_count("Control.prune", len(self.prune), 16384)
        for prune_item in self.prune:
            content = prune_item.encode()
            size = len(content)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.idontwant) > 16384:
            raise refused_count("Control.idontwant", len(self.idontwant), 16384)
        for idontwant_item in self.idontwant:
            content = idontwant_item.encode()
            size = len(content)
            out += (b"\x2a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        extensions = self.extensions
        if extensions is not None:
            content = extensions.encode()
            size = len(content)
            out += (b"\x32", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 1048576:
            raise refused_size("Control", len(encoded), 1048576)
        return encoded


_PARTIAL_FIELDS = {
    10: ("Partial.topic", 4096),
    18: ("Partial.group", 4096),
    26: ("Partial.message", 1048576),
    34: ("Partial.metadata", 1048576),
}


class Partial(Record):
    """A part of a message (1.3, the partial messages extension)."""

    __slots__ = ("topic", "group", "message", "metadata")

    MAX_BYTES = 1048576

    def __init__(
        self,
        topic: str = "",
        group: bytes = b"",
        message: bytes | None = None,
        metadata: bytes | None = None,
    ) -> None:
        self.topic = topic
        self.group = group
        self.message = message
        self.metadata = metadata

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1048576:
            raise too_long("Partial", offset, end - offset, 1048576)
        topic: str = ""
        group: bytes = b""
        message: bytes | None = None
        metadata: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Partial")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Partial")
                stop = offset + length
                if stop > end:
                    raise past_end(_PARTIAL_FIELDS, tag, length, offset, "Partial")
                if tag == 10:
                    if length > 4096:
                        raise too_long("Partial.topic", offset, length, 4096)
                    try:
                        topic = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Partial.topic", offset, "not UTF-8") from None
                elif tag == 18:
                    if length > 4096:
                        raise too_long("Partial.group", offset, length, 4096)
                    group = data[offset:stop]
                elif tag == 26:
                    message = data[offset:stop]
                elif tag == 34:
                    metadata = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Partial")
        return cls(topic, group, message, metadata)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        topic = self.topic
        if topic:
            content = encode_text(topic, "Partial.topic")
            size = len(content)
            if size > 4096:
                raise refused_size("Partial.topic", size, 4096)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        group = self.group
        if group:
            size = len(group)
            if size > 4096:
                raise refused_size("Partial.group", size, 4096)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), group)
        message = self.message
        if message is not None:
            size = len(message)
            if size > 1048576:
                raise refused_size("Partial.message", size, 1048576)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), message)
        metadata = self.metadata
        if metadata is not None:
            size = len(metadata)
            if size > 1048576:
                raise refused_size("Partial.metadata", size, 1048576)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), metadata)
        encoded = b"".join(out)
        if len(encoded) > 1048576:
            raise refused_size("Partial", len(encoded), 1048576)
        return encoded


_RPC_FIELDS = {
    10: ("Rpc.subscriptions", 4160),
    18: ("Rpc.publish", 1048576),
    26: ("Rpc.control", 1048576),
    82: ("Rpc.partial", 1048576),
    51939474: ("Rpc.test_extension", 1048576),
}


class Rpc(Record):
    """What travels between two peers, behind its length.

    publish: each a Message, encoded: what is passed on keeps its bytes

    test_extension: an empty message
    """

    __slots__ = ("subscriptions", "publish", "control", "partial", "test_extension")

    MAX_BYTES = 1048576

    def __init__(
        self,
        subscriptions: list[Subscription] | None = None,
        publish: list[bytes] | None = None,
        control: Control | None = None,
        partial: Partial | None = None,
        test_extension: bytes | None = None,
    ) -> None:
        self.subscriptions = [] if subscriptions is None else subscriptions
        self.publish = [] if publish is None else publish
        self.control = control
        self.partial = partial
        self.test_extension = test_extension

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1048576:
            raise too_long("Rpc", offset, end - offset, 1048576)
        subscriptions: list[Subscription] = []
        publish: list[bytes] = []
        control_spans: list[tuple[int, int]] = []
        partial_spans: list[tuple[int, int]] = []
        test_extension: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Rpc")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Rpc")
                stop = offset + length
                if stop > end:
                    raise past_end(_RPC_FIELDS, tag, length, offset, "Rpc")
                if tag == 10:
                    if length > 4160:
                        raise too_long("Rpc.subscriptions", offset, length, 4160)
                    if len(subscriptions) >= 16384:
                        raise Malformed("Rpc.subscriptions", offset, "more than 16384")
                    try:
                        subscriptions.append(Subscription._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 18:
                    if len(publish) >= 16384:
                        raise Malformed("Rpc.publish", offset, "more than 16384")
                    publish.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 18 and data[stop + 1] == first:
                        stop = take_run(publish, data, stop, end, 18, length, 16384)
                elif tag == 26:
                    control_spans.append((offset, stop))
                elif tag == 82:
                    partial_spans.append((offset, stop))
                elif tag == 51939474:
                    test_extension = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Rpc")
        control: Control | None = None
        if control_spans:
            try:
                region = joined(data, control_spans, 1048576, "Rpc.control")
                control = Control._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        partial: Partial | None = None
        if partial_spans:
            try:
                region = joined(data, partial_spans, 1048576, "Rpc.partial")
                partial = Partial._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(subscriptions, publish, control, partial, test_extension)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.subscriptions) > 16384:
            raise refused_count("Rpc.subscriptions", len(self.subscriptions), 16384)
        for subscriptions_item in self.subscriptions:
            content = subscriptions_item.encode()
            size = len(content)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.publish) > 16384:
            raise refused_count("Rpc.publish", len(self.publish), 16384)
        put_run(out, b"\x12", self.publish, 1048576, "Rpc.publish")
        control = self.control
        if control is not None:
            content = control.encode()
            size = len(content)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        partial = self.partial
        if partial is not None:
            content = partial.encode()
            size = len(content)
            out += (b"\x52", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        test_extension = self.test_extension
        if test_extension is not None:
            size = len(test_extension)
            if size > 1048576:
                raise refused_size("Rpc.test_extension", size, 1048576)
            out += (b"\x92\x91\xe2\x18", ONE_BYTE[size] if size < 128 else encode_varint(size), test_extension)
        encoded = b"".join(out)
        if len(encoded) > 1048576:
            raise refused_size("Rpc", len(encoded), 1048576)
        return encoded
