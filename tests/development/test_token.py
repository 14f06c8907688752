"""The token does what USDC does with authorizations, under the real EVM."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account.messages import encode_typed_data

from mesh.development import token
from mesh.development.chain import PrivateChain, Reverted
from tests.development.world import (
    BUYER,
    BUYER_UNITS,
    SELLER,
    VECTORS,
    bytes_of,
    domain,
    is_used,
    make_chain,
    signed,
    transaction,
    units_of,
)

NONCE = bytes(range(32))
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
ORDER = 2 * HALF_ORDER + 1


def text_of(chain: PrivateChain, method: str) -> str:
    found = chain.call(chain.plan.token, token.selector(method))[0]
    return found[64 : 64 + int.from_bytes(found[32:64], "big")].decode()


def settle(chain: PrivateChain, data: bytes) -> bool:
    """Whether a call of the token went through."""
    mined = chain.mined(chain.send(transaction(chain, data)))
    assert mined is not None
    return mined.receipt.state_root == b"\x01"


def reason(chain: PrivateChain, data: bytes) -> str:
    with pytest.raises(Reverted) as refused:
        chain.call(chain.plan.token, data)
    return str(refused.value).removeprefix("execution reverted: ")


def test_it_is_what_the_settings_say(chain: PrivateChain) -> None:
    assert (text_of(chain, "name()"), text_of(chain, "version()")) == (token.NAME, token.VERSION)
    assert chain.call(chain.plan.token, token.selector("decimals()"))[0][-1] == token.DECIMALS
    supply = chain.call(chain.plan.token, token.selector("totalSupply()"))[0]
    assert int.from_bytes(supply, "big") == units_of(chain, BUYER) == BUYER_UNITS


def test_its_domain_is_that_of_the_vectors(chain: PrivateChain) -> None:
    wanted = VECTORS["signatures"][0]
    assert "0x" + chain.plan.token.hex() == wanted["verifying_contract"].lower()
    separator = chain.call(chain.plan.token, token.selector("DOMAIN_SEPARATOR()"))[0]
    assert separator.hex() == wanted["domain_separator_hex"]
    type_hash = chain.call(chain.plan.token, token.selector("TRANSFER_WITH_AUTHORIZATION_TYPEHASH()"))[0]
    assert type_hash.hex() == VECTORS["transfer_type_hash_hex"]


def test_its_selector_is_that_of_the_vectors() -> None:
    name = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"
    assert token.selector(name).hex() == VECTORS["transfer_with_authorization_bytes_selector_hex"]


def test_a_signature_of_the_vectors_moves_money(chain: PrivateChain) -> None:
    """The one whose times are still good."""
    wanted = VECTORS["signatures"][1]["authorization"]
    made = token.Authorization(
        bytes_of(BUYER),
        bytes_of(SELLER),
        int(wanted["value"]),
        int(wanted["validAfter"]),
        int(wanted["validBefore"]),
        bytes.fromhex(wanted["nonce"][2:]),
    )
    signature = bytes.fromhex(VECTORS["signatures"][1]["signature_v27"][2:])
    assert settle(chain, token.transfer_call(made, signature))
    assert (units_of(chain, SELLER), is_used(chain, made.nonce)) == (1, True)


@pytest.mark.parametrize("call", [token.transfer_call, token.transfer_call_by_parts])
def test_an_authorization_moves_money_once(chain: PrivateChain, call: Any) -> None:
    data = call(*signed(chain, NONCE))
    assert not is_used(chain, NONCE)
    assert settle(chain, data)
    assert not settle(chain, data)
    assert "used" in reason(chain, data)
    assert (units_of(chain, BUYER), units_of(chain, SELLER)) == (BUYER_UNITS - 1000, 1000)


def test_another_signature_for_the_same_nonce_moves_nothing(chain: PrivateChain) -> None:
    assert settle(chain, token.transfer_call(*signed(chain, NONCE)))
    assert not settle(chain, token.transfer_call(*signed(chain, NONCE, value=2000)))
    assert units_of(chain, SELLER) == 1000


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"payee": b"\x07" * 20}, "invalid signature"),
        ({"payer": b"\x07" * 20}, "invalid signature"),
        ({"value": 1001}, "invalid signature"),
        ({"nonce": b"\x07" * 32}, "invalid signature"),
        ({"valid_after": 1 << 200}, "authorization is not yet valid"),
        ({"valid_before": 1}, "authorization is expired"),
    ],
)
def test_a_changed_field_is_refused(chain: PrivateChain, changed: dict[str, Any], why: str) -> None:
    made, signature = signed(chain, NONCE)
    assert reason(chain, token.transfer_call(replace(made, **changed), signature)) == why


def test_it_expires_with_the_time_of_the_chain(chain: PrivateChain) -> None:
    made, signature = signed(chain, NONCE)
    chain.shift_s = made.valid_before - made.valid_after
    chain.mine()
    assert reason(chain, token.transfer_call(made, signature)) == "authorization is expired"


def test_more_than_the_payer_has_is_refused(chain: PrivateChain) -> None:
    data = token.transfer_call(*signed(chain, NONCE, value=BUYER_UNITS + 1))
    assert reason(chain, data) == "transfer amount exceeds balance"
    assert not settle(chain, data)
    assert not is_used(chain, NONCE)


def test_only_one_form_of_a_signature_is_taken(chain: PrivateChain) -> None:
    made, good = signed(chain, NONCE)
    flipped = ORDER - int.from_bytes(good[32:64], "big")
    forms = {
        good[:64] + bytes([good[64] - 27]): "invalid signature 'v' value",
        good[:32] + flipped.to_bytes(32, "big") + bytes([55 - good[64]]): "invalid signature 's' value",
        good[:64]: "invalid signature length",
        good + b"\0": "invalid signature length",
        bytes(65): "invalid signature 'v' value",
        bytes(64) + b"\x1b": "invalid signature",
    }
    for signature, why in forms.items():
        assert reason(chain, token.transfer_call(made, signature)) == why


def test_a_cancelled_authorization_moves_nothing(chain: PrivateChain) -> None:
    fields = [{"name": "authorizer", "type": "address"}, {"name": "nonce", "type": "bytes32"}]
    message = encode_typed_data(
        domain(chain), {"CancelAuthorization": fields}, {"authorizer": BUYER.address, "nonce": NONCE}
    )
    signature = bytes(BUYER.sign_message(message).signature)
    assert settle(chain, token.cancel_call(bytes_of(BUYER), NONCE, signature))
    assert is_used(chain, NONCE)
    assert "canceled" in reason(chain, token.transfer_call(*signed(chain, NONCE)))


def test_it_can_stand_at_another_address_and_chain() -> None:
    elsewhere = make_chain(token=b"\x42" * 20, chain_id=1337)
    assert settle(elsewhere, token.transfer_call(*signed(elsewhere, NONCE)))
    here = make_chain()
    assert reason(here, token.transfer_call(*signed(elsewhere, NONCE))) == "invalid signature"


def test_every_method_of_the_artefact_is_in_the_code() -> None:
    """A selector is pushed by the dispatcher; leading zero bytes are not."""
    for name in ("transferFrom(address,address,uint256)", "mint(address,uint256)", "name()"):
        assert token.selector(name).lstrip(b"\0") in token.code()


def test_the_source_is_the_one_that_was_compiled() -> None:
    """Whoever changes it compiles it, by the command of the artefact, and writes down both."""
    folder = Path(token.__file__).parent / "contract"
    source = (folder / "DevelopmentToken.sol").read_bytes() + (folder / "settings.json").read_bytes()
    artefact = json.loads((folder / "DevelopmentToken.json").read_text())
    assert artefact["sha256_of_source_and_settings"] == hashlib.sha256(source).hexdigest()


@pytest.mark.skipif(shutil.which("solcjs") is None, reason="no solcjs 0.8.30 on the path")
def test_the_code_is_what_the_source_compiles_to() -> None:
    folder = Path(token.__file__).parent / "contract"
    settings = (folder / "settings.json").read_text()
    if not subprocess.check_output(["solcjs", "--version"], text=True).startswith("0.8.30"):
        pytest.skip("another version of solcjs")
    command = ["solcjs", "--standard-json", "--base-path", "."]
    made = subprocess.run(command, input=settings, cwd=folder, capture_output=True, text=True, check=True)
    assert token.code().hex() in made.stdout
