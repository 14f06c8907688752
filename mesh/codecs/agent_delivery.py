# GENERATED from protocol_specs/agent_delivery.py by tools.spec_compiler; do not edit.
# Schema 74ea1882c8c6e09f
"""Agent delivery: messages handed over with proof, in pieces where they are large.

Specification: this project: protocol_specs/agent_delivery.py.
"""

from __future__ import annotations

from enum import IntEnum
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
    refused,
    refused_count,
    refused_number,
    refused_size,
    skip_field,
    too_long,
)
from mesh.errors import Malformed, Truncated

MAX_BODY_BYTES = 4194304
MAX_INLINE_BYTES = 32768
MAX_PIECE_BYTES = 16384
MAX_EVIDENCE_BYTES = 512
MAX_RECEIPT_BYTES = 4096
MAX_RECEIPTS = 16
MAX_FRAME_BYTES = 65920
MAX_RETRY_MS = 86400000


class State(IntEnum):
    """What a receipt proves of a message."""

    STORED = 1
    DELIVERED = 2
    INVOKED = 3
    RESUMED = 4
    ANSWERED = 5


_STATE = {int(member): member for member in State}


class VerdictCode(IntEnum):
    """TAKEN: stored. MORE: send pieces from the offset on. LATER: offer again after the time named. REFUSED, and every other number: not this message, not ever."""

    TAKEN = 0
    MORE = 1
    LATER = 2
    REFUSED = 3


_OFFER_FIELDS = {
    10: ("Offer.message_id", 512),
    26: ("Offer.digest", 32),
    42: ("Offer.body", 32768),
}


class Offer(Record):
    """A message that the sender wants to hand over: the JSON of the stock protocol.

    size: bytes of the body

    digest: SHA-256 of the body

    queued_ms: when the sender queued it, milliseconds since 1970

    body: all of it, or absent
    """

    __slots__ = ("message_id", "size", "digest", "queued_ms", "body")

    MAX_BYTES = 33408

    def __init__(
        self,
        message_id: str,
        size: int,
        digest: bytes,
        queued_ms: int,
        body: bytes | None = None,
    ) -> None:
        self.message_id = message_id
        self.size = size
        self.digest = digest
        self.queued_ms = queued_ms
        self.body = body

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 33408:
            raise too_long("Offer", offset, end - offset, 33408)
        message_id: str | None = None
        size_: int | None = None
        digest: bytes | None = None
        queued_ms: int | None = None
        body: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Offer")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Offer")
                stop = offset + length
                if stop > end:
                    raise past_end(_OFFER_FIELDS, tag, length, offset, "Offer")
                if tag == 10:
                    if length > 512:
                        raise too_long("Offer.message_id", offset, length, 512)
                    try:
                        message_id = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Offer.message_id", offset, "not UTF-8") from None
                elif tag == 26:
                    if length > 32:
                        raise too_long("Offer.digest", offset, length, 32)
                    digest = data[offset:stop]
                elif tag == 42:
                    if length > 32768:
                        raise too_long("Offer.body", offset, length, 32768)
                    body = data[offset:stop]
                offset = stop
            elif tag == 16:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Offer.size")
                number &= 0xFFFFFFFF
                if not 0 <= number <= 4194304:
                    raise outside("Offer.size", start, number, 0, 4194304)
                size_ = number
            elif tag == 32:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Offer.queued_ms")
                if not 0 <= number <= 0x1FFFFFFFFFFFFF:
                    raise outside("Offer.queued_ms", start, number, 0, 0x1FFFFFFFFFFFFF)
                queued_ms = number
            else:
                offset = skip_field(data, tag, offset, end, "Offer")
        if message_id is None:
            raise Malformed("Offer.message_id", end, "a required field is missing")
        if size_ is None:
            raise Malformed("Offer.size", end, "a required field is missing")
        if digest is None:
            raise Malformed("Offer.digest", end, "a required field is missing")
        if queued_ms is None:
            raise Malformed("Offer.queued_ms", end, "a required field is missing")
        return cls(message_id, size_, digest, queued_ms, body)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        message_id = self.message_id
        content = encode_text(message_id, "Offer.message_id")
        size = len(content)
        if size > 512:
            raise refused_size("Offer.message_id", size, 512)
        out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        size_ = self.size
        if not 0 <= size_ <= 4194304:
            raise refused_number("Offer.size", size_, 0, 4194304)
        out += (b"\x10", ONE_BYTE[size_] if size_ < 128 else encode_varint(size_))
        digest = self.digest
        size = len(digest)
        if size > 32:
            raise refused_size("Offer.digest", size, 32)
        out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), digest)
        queued_ms = self.queued_ms
        if not 0 <= queued_ms <= 0x1FFFFFFFFFFFFF:
            raise refused_number("Offer.queued_ms", queued_ms, 0, 0x1FFFFFFFFFFFFF)
        out += (b"\x20", ONE_BYTE[queued_ms] if queued_ms < 128 else encode_varint(queued_ms))
        body = self.body
        if body is not None:
            size = len(body)
            if size > 32768:
                raise refused_size("Offer.body", size, 32768)
            out += (b"\x2a", ONE_BYTE[size] if size < 128 else encode_varint(size), body)
        encoded = b"".join(out)
        if len(encoded) > 33408:
            raise refused_size("Offer", len(encoded), 33408)
        return encoded


_PIECE_FIELDS = {
    18: ("Piece.data", 16384),
}


class Piece(Record):
    """A part of the body of the message that was last answered MORE."""

    __slots__ = ("offset", "data")

    MAX_BYTES = 16416

    def __init__(self, offset: int, data: bytes) -> None:
        self.offset = offset
        self.data = data

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 16416:
            raise too_long("Piece", offset, end - offset, 16416)
        offset_: int | None = None
        data_: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Piece")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Piece")
                stop = offset + length
                if stop > end:
                    raise past_end(_PIECE_FIELDS, tag, length, offset, "Piece")
                if tag == 18:
                    if length > 16384:
                        raise too_long("Piece.data", offset, length, 16384)
                    data_ = data[offset:stop]
                offset = stop
            elif tag == 8:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Piece.offset")
                number &= 0xFFFFFFFF
                if not 0 <= number <= 4194304:
                    raise outside("Piece.offset", start, number, 0, 4194304)
                offset_ = number
            else:
                offset = skip_field(data, tag, offset, end, "Piece")
        if offset_ is None:
            raise Malformed("Piece.offset", end, "a required field is missing")
        if data_ is None:
            raise Malformed("Piece.data", end, "a required field is missing")
        return cls(offset_, data_)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        offset = self.offset
        if not 0 <= offset <= 4194304:
            raise refused_number("Piece.offset", offset, 0, 4194304)
        out += (b"\x08", ONE_BYTE[offset] if offset < 128 else encode_varint(offset))
        data = self.data
        size = len(data)
        if size > 16384:
            raise refused_size("Piece.data", size, 16384)
        out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), data)
        encoded = b"".join(out)
        if len(encoded) > 16416:
            raise refused_size("Piece", len(encoded), 16416)
        return encoded


_VERDICT_FIELDS = {
    10: ("Verdict.message_id", 512),
    42: ("Verdict.reason", 512),
    50: ("Verdict.receipt", 4096),
}


class Verdict(Record):
    """The protobuf message Verdict.

    offset: with MORE: bytes that the receiver has

    retry_ms: with LATER: offer again after so long

    reason: with LATER and REFUSED

    receipt: with TAKEN
    """

    __slots__ = ("message_id", "code", "offset", "retry_ms", "reason", "receipt")

    MAX_BYTES = 5184

    def __init__(
        self,
        message_id: str,
        code: int = 0,
        offset: int | None = None,
        retry_ms: int | None = None,
        reason: str | None = None,
        receipt: bytes | None = None,
    ) -> None:
        self.message_id = message_id
        self.code = code
        self.offset = offset
        self.retry_ms = retry_ms
        self.reason = reason
        self.receipt = receipt

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 5184:
            raise too_long("Verdict", offset, end - offset, 5184)
        message_id: str | None = None
        code: int = 0
        offset_: int | None = None
        retry_ms: int | None = None
        reason: str | None = None
        receipt: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Verdict")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Verdict")
                stop = offset + length
                if stop > end:
                    raise past_end(_VERDICT_FIELDS, tag, length, offset, "Verdict")
                if tag == 10:
                    if length > 512:
                        raise too_long("Verdict.message_id", offset, length, 512)
                    try:
                        message_id = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Verdict.message_id", offset, "not UTF-8") from None
                elif tag == 42:
                    if length > 512:
                        raise too_long("Verdict.reason", offset, length, 512)
                    try:
                        reason = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Verdict.reason", offset, "not UTF-8") from None
                elif tag == 50:
                    if length > 4096:
                        raise too_long("Verdict.receipt", offset, length, 4096)
                    receipt = data[offset:stop]
                offset = stop
            elif tag == 16:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Verdict.code")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                code = number
            elif tag == 24:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Verdict.offset")
                number &= 0xFFFFFFFF
                if not 0 <= number <= 4194304:
                    raise outside("Verdict.offset", start, number, 0, 4194304)
                offset_ = number
            elif tag == 32:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Verdict.retry_ms")
                number &= 0xFFFFFFFF
                if not 0 <= number <= 86400000:
                    raise outside("Verdict.retry_ms", start, number, 0, 86400000)
                retry_ms = number
            else:
                offset = skip_field(data, tag, offset, end, "Verdict")
        if message_id is None:
            raise Malformed("Verdict.message_id", end, "a required field is missing")
        return cls(message_id, code, offset_, retry_ms, reason, receipt)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        message_id = self.message_id
        content = encode_text(message_id, "Verdict.message_id")
        size = len(content)
        if size > 512:
            raise refused_size("Verdict.message_id", size, 512)
        out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        code = self.code
        if code:
            if not -2147483648 <= code <= 2147483647:
                raise refused_number("Verdict.code", code, -2147483648, 2147483647)
            out += (b"\x10", encode_varint(code & 0xFFFFFFFFFFFFFFFF))
        offset = self.offset
        if offset is not None:
            if not 0 <= offset <= 4194304:
                raise refused_number("Verdict.offset", offset, 0, 4194304)
            out += (b"\x18", ONE_BYTE[offset] if offset < 128 else encode_varint(offset))
        retry_ms = self.retry_ms
        if retry_ms is not None:
            if not 0 <= retry_ms <= 86400000:
                raise refused_number("Verdict.retry_ms", retry_ms, 0, 86400000)
            out += (b"\x20", ONE_BYTE[retry_ms] if retry_ms < 128 else encode_varint(retry_ms))
        reason = self.reason
        if reason is not None:
            content = encode_text(reason, "Verdict.reason")
            size = len(content)
            if size > 512:
                raise refused_size("Verdict.reason", size, 512)
            out += (b"\x2a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        receipt = self.receipt
        if receipt is not None:
            size = len(receipt)
            if size > 4096:
                raise refused_size("Verdict.receipt", size, 4096)
            out += (b"\x32", ONE_BYTE[size] if size < 128 else encode_varint(size), receipt)
        encoded = b"".join(out)
        if len(encoded) > 5184:
            raise refused_size("Verdict", len(encoded), 5184)
        return encoded


_ACKNOWLEDGEMENT_FIELDS = {
    10: ("Acknowledgement.message_id", 512),
}


class Acknowledgement(Record):
    """A receipt is durable at the sender of its message."""

    __slots__ = ("message_id", "state")

    MAX_BYTES = 544

    def __init__(self, message_id: str, state: State) -> None:
        self.message_id = message_id
        self.state = state

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 544:
            raise too_long("Acknowledgement", offset, end - offset, 544)
        message_id: str | None = None
        state: State | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Acknowledgement")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Acknowledgement")
                stop = offset + length
                if stop > end:
                    raise past_end(_ACKNOWLEDGEMENT_FIELDS, tag, length, offset, "Acknowledgement")
                if tag == 10:
                    if length > 512:
                        raise too_long("Acknowledgement.message_id", offset, length, 512)
                    try:
                        message_id = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Acknowledgement.message_id", offset, "not UTF-8") from None
                offset = stop
            elif tag == 16:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Acknowledgement.state")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                if number not in _STATE:
                    raise Malformed("Acknowledgement.state", start, f"{number} is no State")
                state = _STATE[number]
            else:
                offset = skip_field(data, tag, offset, end, "Acknowledgement")
        if message_id is None:
            raise Malformed("Acknowledgement.message_id", end, "a required field is missing")
        if state is None:
            raise Malformed("Acknowledgement.state", end, "a required field is missing")
        return cls(message_id, state)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        message_id = self.message_id
        content = encode_text(message_id, "Acknowledgement.message_id")
        size = len(content)
        if size > 512:
            raise refused_size("Acknowledgement.message_id", size, 512)
        out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        state = self.state
        if state not in _STATE:
            raise refused("Acknowledgement.state", f"{state} is no State")
        out += (b"\x10", ONE_BYTE[state] if state < 128 else encode_varint(state))
        encoded = b"".join(out)
        if len(encoded) > 544:
            raise refused_size("Acknowledgement", len(encoded), 544)
        return encoded


_FRAME_FIELDS = {
    10: ("Frame.offer", 33408),
    18: ("Frame.piece", 16416),
    26: ("Frame.verdict", 5184),
    34: ("Frame.receipts", 4096),
    42: ("Frame.acknowledged", 544),
}


class Frame(Record):
    """One of these, or receipts or acknowledgements; frames with none are ignored.

    receipts: each a Receipt in a signed envelope
    """

    __slots__ = ("offer", "piece", "verdict", "receipts", "acknowledged")

    MAX_BYTES = 65920

    def __init__(
        self,
        offer: Offer | None = None,
        piece: Piece | None = None,
        verdict: Verdict | None = None,
        receipts: list[bytes] | None = None,
        acknowledged: list[Acknowledgement] | None = None,
    ) -> None:
        self.offer = offer
        self.piece = piece
        self.verdict = verdict
        self.receipts = [] if receipts is None else receipts
        self.acknowledged = [] if acknowledged is None else acknowledged

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 65920:
            raise too_long("Frame", offset, end - offset, 65920)
        offer_spans: list[tuple[int, int]] = []
        piece_spans: list[tuple[int, int]] = []
        verdict_spans: list[tuple[int, int]] = []
        receipts: list[bytes] = []
        acknowledged: list[Acknowledgement] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Frame")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Frame")
                stop = offset + length
                if stop > end:
                    raise past_end(_FRAME_FIELDS, tag, length, offset, "Frame")
                if tag == 10:
                    if length > 33408:
                        raise too_long("Frame.offer", offset, length, 33408)
                    offer_spans.append((offset, stop))
                elif tag == 18:
                    if length > 16416:
                        raise too_long("Frame.piece", offset, length, 16416)
                    piece_spans.append((offset, stop))
                elif tag == 26:
                    if length > 5184:
                        raise too_long("Frame.verdict", offset, length, 5184)
                    verdict_spans.append((offset, stop))
                elif tag == 34:
                    if length > 4096:
                        raise too_long("Frame.receipts", offset, length, 4096)
                    if len(receipts) >= 16:
                        raise Malformed("Frame.receipts", offset, "more than 16")
                    receipts.append(data[offset:stop])
                elif tag == 42:
                    if length > 544:
                        raise too_long("Frame.acknowledged", offset, length, 544)
                    if len(acknowledged) >= 64:
                        raise Malformed("Frame.acknowledged", offset, "more than 64")
                    try:
                        acknowledged.append(Acknowledgement._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Frame")
        offer: Offer | None = None
        if offer_spans:
            try:
                region = joined(data, offer_spans, 33408, "Frame.offer")
                offer = Offer._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        piece: Piece | None = None
        if piece_spans:
            try:
                region = joined(data, piece_spans, 16416, "Frame.piece")
                piece = Piece._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        verdict: Verdict | None = None
        if verdict_spans:
            try:
                region = joined(data, verdict_spans, 5184, "Frame.verdict")
                verdict = Verdict._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(offer, piece, verdict, receipts, acknowledged)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        offer = self.offer
        if offer is not None:
            content = offer.encode()
            size = len(content)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        piece = self.piece
        if piece is not None:
            content = piece.encode()
            size = len(content)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        verdict = self.verdict
        if verdict is not None:
            content = verdict.encode()
            size = len(content)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.receipts) > 16:
            raise refused_count("Frame.receipts", len(self.receipts), 16)
        put_run(out, b"\x22", self.receipts, 4096, "Frame.receipts")
        if len(self.acknowledged) > 64:
            raise refused_count("Frame.acknowledged", len(self.acknowledged), 64)
        for acknowledged_item in self.acknowledged:
            content = acknowledged_item.encode()
            size = len(content)
            out += (b"\x2a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 65920:
            raise refused_size("Frame", len(encoded), 65920)
        return encoded


_RECEIPT_FIELDS = {
    10: ("Receipt.message_id", 512),
    18: ("Receipt.digest", 32),
    26: ("Receipt.sender", 128),
    34: ("Receipt.receiver", 128),
    50: ("Receipt.evidence", 512),
}


class Receipt(Record):
    """What the receiver of a message says became of it; signed in an envelope.

    digest: SHA-256 of the body

    sender: peer id of who sent the message

    receiver: peer id of who signs

    at_ms: by the receiver's clock
    """

    __slots__ = ("message_id", "digest", "sender", "receiver", "state", "evidence", "at_ms")

    MAX_BYTES = 2048

    def __init__(
        self,
        *,
        message_id: str,
        digest: bytes,
        sender: bytes,
        receiver: bytes,
        state: State,
        evidence: str = "",
        at_ms: int,
    ) -> None:
        self.message_id = message_id
        self.digest = digest
        self.sender = sender
        self.receiver = receiver
        self.state = state
        self.evidence = evidence
        self.at_ms = at_ms

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 2048:
            raise too_long("Receipt", offset, end - offset, 2048)
        message_id: str | None = None
        digest: bytes | None = None
        sender: bytes | None = None
        receiver: bytes | None = None
        state: State | None = None
        evidence: str = ""
        at_ms: int | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Receipt")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Receipt")
                stop = offset + length
                if stop > end:
                    raise past_end(_RECEIPT_FIELDS, tag, length, offset, "Receipt")
                if tag == 10:
                    if length > 512:
                        raise too_long("Receipt.message_id", offset, length, 512)
                    try:
                        message_id = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Receipt.message_id", offset, "not UTF-8") from None
                elif tag == 18:
                    if length > 32:
                        raise too_long("Receipt.digest", offset, length, 32)
                    digest = data[offset:stop]
                elif tag == 26:
                    if length > 128:
                        raise too_long("Receipt.sender", offset, length, 128)
                    sender = data[offset:stop]
                elif tag == 34:
                    if length > 128:
                        raise too_long("Receipt.receiver", offset, length, 128)
                    receiver = data[offset:stop]
                elif tag == 50:
                    if length > 512:
                        raise too_long("Receipt.evidence", offset, length, 512)
                    try:
                        evidence = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Receipt.evidence", offset, "not UTF-8") from None
                offset = stop
            elif tag == 40:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Receipt.state")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                if number not in _STATE:
                    raise Malformed("Receipt.state", start, f"{number} is no State")
                state = _STATE[number]
            elif tag == 56:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Receipt.at_ms")
                if not 0 <= number <= 0x1FFFFFFFFFFFFF:
                    raise outside("Receipt.at_ms", start, number, 0, 0x1FFFFFFFFFFFFF)
                at_ms = number
            else:
                offset = skip_field(data, tag, offset, end, "Receipt")
        if message_id is None:
            raise Malformed("Receipt.message_id", end, "a required field is missing")
        if digest is None:
            raise Malformed("Receipt.digest", end, "a required field is missing")
        if sender is None:
            raise Malformed("Receipt.sender", end, "a required field is missing")
        if receiver is None:
            raise Malformed("Receipt.receiver", end, "a required field is missing")
        if state is None:
            raise Malformed("Receipt.state", end, "a required field is missing")
        if at_ms is None:
            raise Malformed("Receipt.at_ms", end, "a required field is missing")
        return cls(
            message_id=message_id,
            digest=digest,
            sender=sender,
            receiver=receiver,
            state=state,
            evidence=evidence,
            at_ms=at_ms,
        )

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        message_id = self.message_id
        content = encode_text(message_id, "Receipt.message_id")
        size = len(content)
        if size > 512:
            raise refused_size("Receipt.message_id", size, 512)
        out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        digest = self.digest
        size = len(digest)
        if size > 32:
            raise refused_size("Receipt.digest", size, 32)
        out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), digest)
        sender = self.sender
        size = len(sender)
        if size > 128:
            raise refused_size("Receipt.sender", size, 128)
        out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), sender)
        receiver = self.receiver
        size = len(receiver)
        if size > 128:
            raise refused_size("Receipt.receiver", size, 128)
        out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), receiver)
        state = self.state
        if state not in _STATE:
            raise refused("Receipt.state", f"{state} is no State")
        out += (b"\x28", ONE_BYTE[state] if state < 128 else encode_varint(state))
        evidence = self.evidence
        if evidence:
            content = encode_text(evidence, "Receipt.evidence")
            size = len(content)
            if size > 512:
                raise refused_size("Receipt.evidence", size, 512)
            out += (b"\x32", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        at_ms = self.at_ms
        if not 0 <= at_ms <= 0x1FFFFFFFFFFFFF:
            raise refused_number("Receipt.at_ms", at_ms, 0, 0x1FFFFFFFFFFFFF)
        out += (b"\x38", ONE_BYTE[at_ms] if at_ms < 128 else encode_varint(at_ms))
        encoded = b"".join(out)
        if len(encoded) > 2048:
            raise refused_size("Receipt", len(encoded), 2048)
        return encoded
