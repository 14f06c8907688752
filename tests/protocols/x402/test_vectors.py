"""Messages, amounts and EIP-712 against what was recorded of the stock node, both ways."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.apps.market.payments.facilitator import payload_of, settle_body
from mesh.apps.market.payments.wallet import Wallet, recover
from mesh.codecs.market import Frame
from mesh.errors import Malformed
from mesh.go_json import Record
from mesh.protocols.x402 import evidence, messages
from mesh.protocols.x402.amounts import amount_in_words, atomic_of_price, checksummed, read_hex, read_number
from mesh.protocols.x402.checks import Refused, read_signature
from mesh.protocols.x402.seller import requirements_for
from mesh.protocols.x402.typed_data import (
    Token,
    authorization_digest,
    authorization_hash,
    domain_separator,
)
from tests.protocols.x402.vectors import BUYER_KEY, PRICES, SELLER_KEY, USDC, X402, authorization_of, keccak

KINDS: dict[str, type[Record]] = {
    messages.REQUEST: messages.Request,
    messages.PAYMENT_REQUIRED: messages.PaymentRequired,
    messages.PAID_REQUEST: messages.PaidRequest,
    messages.RESPONSE: messages.Response,
    messages.ERROR: messages.ErrorMessage,
}


@pytest.mark.parametrize("vector", X402["messages"], ids=lambda vector: vector["type"])
def test_a_message_is_read_and_written_byte_for_byte(vector: dict[str, str]) -> None:
    kind = KINDS[vector["type"]]
    frame = Frame.decode(bytes.fromhex(vector["frame_hex"]))
    assert frame.kind == vector["type"]
    assert frame.data == vector["json"].encode()
    assert kind.read(frame.data).write() == frame.data
    assert Frame(vector["type"], kind.read(frame.data).write()).encode().hex() == vector["frame_hex"]


@pytest.mark.parametrize("vector", X402["errors"], ids=lambda vector: vector["code"])
def test_an_error_has_the_recorded_name_and_retryable(vector: dict[str, Any]) -> None:
    kind, data = messages.error_answer(vector["code"], "m", "0f8fad5b-d9cb-469f-a165-70867728950e")
    assert (kind, data) == (messages.ERROR, vector["json"].encode())


def test_the_error_of_the_frame_layer() -> None:
    answer = messages.error_answer(messages.INVALID_MESSAGE, "unknown message type: x402.nope")
    assert answer == (messages.ERROR, X402["frame_layer_error_body"].encode())


@pytest.mark.parametrize("vector", X402["signatures"], ids=lambda vector: vector["digest_hex"][:8])
def test_digests_and_signatures(vector: dict[str, Any]) -> None:
    token = Token(
        int(vector["network"].removeprefix("eip155:")),
        read_hex(vector["verifying_contract"], 20, "contract"),
        vector["domain_name"],
        vector["domain_version"],
    )
    authorization = authorization_of(vector["authorization"])
    assert token.network == vector["network"]
    assert domain_separator(token, keccak).hex() == vector["domain_separator_hex"]
    assert authorization_hash(authorization, keccak).hex() == vector["struct_hash_hex"]
    digest = authorization_digest(token, authorization, keccak)
    assert digest.hex() == vector["digest_hex"]
    wallet = Wallet(BUYER_KEY)
    assert "0x" + wallet.sign(digest).hex() == vector["signature_v27"]
    for form in ("signature_v27", "signature_as_betar_buyer_sends"):
        assert recover(digest, read_signature(vector[form])) == wallet.address


def test_eth_account_gives_the_same_signature() -> None:
    from eth_account import Account

    vector = X402["signatures"][0]
    text = vector["authorization"]
    fields = [("from", "address"), ("to", "address"), ("value", "uint256")]
    fields += [("validAfter", "uint256"), ("validBefore", "uint256"), ("nonce", "bytes32")]
    signed = Account.sign_typed_data(
        BUYER_KEY,
        domain_data={
            "name": "USDC",
            "version": "2",
            "chainId": USDC.chain_id,
            "verifyingContract": vector["verifying_contract"],
        },
        message_types={"TransferWithAuthorization": [{"name": n, "type": t} for n, t in fields]},
        message_data={name: int(text[name]) if kind == "uint256" else text[name] for name, kind in fields},
    )
    digest = authorization_digest(USDC, authorization_of(text), keccak)
    assert bytes(signed.signature) == Wallet(BUYER_KEY).sign(digest)


def test_addresses_have_the_case_of_their_checksum() -> None:
    assert checksummed(USDC.address, keccak) == X402["addr_checksum"]
    assert Wallet(BUYER_KEY).address_text == X402["buyer_address"]
    assert Wallet(SELLER_KEY).address_text == X402["seller_address"]


def test_what_a_facilitator_is_sent() -> None:
    vector = X402["signatures"][0]
    authorization = authorization_of(vector["authorization"])
    signature = read_hex(vector["signature_as_betar_buyer_sends"], 65, "signature")
    requirements = requirements_for(USDC, authorization.payee, authorization.amount, keccak)
    assert requirements.write().decode() == X402["payment_requirements_json"]
    body = settle_body(payload_of(authorization, signature, keccak), requirements)
    assert body.decode() == X402["facilitator_settle_request"]


@pytest.mark.parametrize("vector", PRICES, ids=lambda vector: vector["price"])
def test_a_price_is_cut_off_as_the_network_does_it(vector: dict[str, str]) -> None:
    assert atomic_of_price(float(vector["price"])) == int(vector["atomic"])


@pytest.mark.parametrize("price", [-0.1, float("inf"), float("nan"), 1e30])
def test_what_is_no_price(price: float) -> None:
    with pytest.raises(Malformed):
        atomic_of_price(price)


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "0x10", " 1", "1_000", "9" * 80, "\u0661"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(Malformed):
        read_number(text, "value")


def test_amounts_in_words() -> None:
    assert [amount_in_words(each) for each in (0, 1, 1000, 1_000_000, 8_199_999)] == [
        "0",
        "0.000001",
        "0.001",
        "1",
        "8.199999",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0x" + "11" * 64, "invalid signature length: expected 65 bytes, got 64"),
        ("0x" + "1" * 129, "invalid signature recovery id"),
        ("0x" + "11" * 65, "invalid signature recovery id"),
        ("0x" + "11" * 32 + "ff" * 32 + "1b", "upper half"),
        ("0x" + "zz" * 65, "no hexadecimal"),
        ("1" * 10_000, "no hexadecimal"),
    ],
)
def test_what_is_no_signature(text: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        read_signature(text)


def test_topics_are_the_keccak_of_their_events() -> None:
    assert keccak(b"Transfer(address,address,uint256)") == evidence.TRANSFER_TOPIC
    assert keccak(b"AuthorizationUsed(address,bytes32)") == evidence.USED_TOPIC
    assert keccak(b"AuthorizationCanceled(address,bytes32)") == evidence.CANCELED_TOPIC
