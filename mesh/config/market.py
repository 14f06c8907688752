"""The settings of the marketplace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from mesh.config.rules import Section, count, seconds, switch
from mesh.config.values import MIB, Setting, shape_of_api_listen

MARKET_API: Final = "127.0.0.1:8424"
_WEB: Final = re.compile(r"(?:https?://[^\s/?#@]+(?:/[^\s?#]*)?)?")
_ORIGIN: Final = re.compile(r"https?://[^\s/?#@]+")
_ADDRESS: Final = re.compile(r"(?:0x[0-9a-fA-F]{40})?")
_DECIMAL: Final = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,6})?)?")


def _shape_of_web(text: str) -> str:
    return "" if _WEB.fullmatch(text) else "is not an http:// or https:// address"


def _shape_of_origin(text: str) -> str:
    return "" if _ORIGIN.fullmatch(text) else "is not an origin such as https://example.org:8443"


def _shape_of_contract(text: str) -> str:
    return "" if _ADDRESS.fullmatch(text) else "is not an address of 0x and 40 hexadecimal digits"


def _shape_of_money(text: str) -> str:
    return "" if _DECIMAL.fullmatch(text) else "is not an amount of USDC such as 2.5"


def _shape_of_chain(text: str) -> str:
    return "" if text.isascii() and text.isdigit() and len(text) < 20 else "is not the id of a chain"


@dataclass(frozen=True, slots=True)
class MarketSection(Section):
    """The Betar marketplace: listings that everyone has, agents that work for pay, payments by x402."""

    enabled: Annotated[bool, switch("Take part in the marketplace.")] = False
    api: Annotated[
        str,
        Setting(
            "HOST:PORT of the marketplace's API, or off; what spends or registers needs the token.",
            shape=shape_of_api_listen,
            flag="--market-api",
        ),
    ] = MARKET_API
    api_origins: Annotated[
        tuple[str, ...],
        Setting(
            "Origins of web pages that may use that API besides its own.", "list", shape=_shape_of_origin
        ),
    ] = ()
    agents: Annotated[Path | None, Setting("TOML file of the agents on offer.", "path")] = None
    announce_interval_s: Annotated[
        float,
        Setting("Time between two announcements of an agent.", "seconds", minimum=5.0, maximum=86_400.0),
    ] = 30.0
    max_agents: Annotated[int, count("Agents on offer.", maximum=10_000)] = 100
    max_orders: Annotated[int, count("Orders kept; then the oldest go.", maximum=1_000_000)] = 10_000
    work_timeout_s: Annotated[
        float, seconds("Time for an agent to do its work; buyers wait 30 s for a whole call.")
    ] = 25.0
    max_work_at_once: Annotated[int, count("Tasks that the agents work on at once.", maximum=10_000)] = 64
    max_output_bytes: Annotated[
        int, Setting("Longest output of an agent.", "size", minimum=1024, maximum=4 * MIB)
    ] = MIB
    rpc_url: Annotated[
        str, Setting("JSON-RPC of the chain that payments are on; empty: no payments.", shape=_shape_of_web)
    ] = ""
    facilitator_url: Annotated[
        str, Setting("Facilitator that settles payments; empty: no payments.", shape=_shape_of_web)
    ] = ""
    chain_id: Annotated[int, count("Id of that chain.", maximum=2**53)] = 84532
    wallet_file: Annotated[
        Path | None, Setting("File of the wallet's key; by default wallet.key of the data folder.", "path")
    ] = None
    token: Annotated[
        str, Setting("Contract of the token; empty for USDC of the chain.", shape=_shape_of_contract)
    ] = ""
    allow_chain: Annotated[
        tuple[str, ...],
        Setting(
            "Ids of chains that are not on this machine where money may move.", "list", shape=_shape_of_chain
        ),
    ] = ()
    max_per_call: Annotated[
        str, Setting("USDC that one call may cost; empty for its listing's price.", shape=_shape_of_money)
    ] = ""
    max_per_peer_day: Annotated[
        str, Setting("USDC that one seller may be paid a day; empty for no limit.", shape=_shape_of_money)
    ] = ""
    max_per_day: Annotated[
        str,
        Setting(
            "USDC that may be spent a day; without it none is spent on another machine's chain.",
            shape=_shape_of_money,
        ),
    ] = ""
    preemptive: Annotated[bool, switch("Take payments that no challenge asked for.")] = False
