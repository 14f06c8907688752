"""What goes in and out of the marketplace's API besides the records of `mesh.protocols.market` (section 8)."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.go_json import Record, member
from mesh.protocols.market.cards import Service
from mesh.protocols.market.listing import Listing


@dataclass(frozen=True, slots=True)
class Status(Record, name="api.Status"):
    """Of this node."""

    peer_id: str = member("peerId")
    addresses: tuple[str, ...] = member("addresses", ())
    connected_peers: int = member("connectedPeers", 0)
    wallet_address: str = member("walletAddress")
    data_dir: str = member("dataDir")


@dataclass(frozen=True, slots=True)
class Peer(Record, name="api.Peer"):
    """A connected one."""

    id: str = member("id")
    addrs: tuple[str, ...] = member("addrs", ())


@dataclass(frozen=True, slots=True)
class RegisterAsked(Record, name="agent.RegisterRequest"):
    """A new agent; what the real node's own agents need (model, keys) is ignored. The last three are ours."""

    name: str = member("name")
    description: str = member("description")
    image: str = member("image")
    price: float = member("price", 0.0)
    services: tuple[Service, ...] | None = member("services", None)
    command: tuple[str, ...] = member("command", ())
    url: str = member("url")
    capabilities: tuple[str, ...] = member("capabilities", ())


@dataclass(frozen=True, slots=True)
class ExecuteAsked(Record, name="api.ExecuteRequest"):
    """A task. Ours are the most that it may cost, in USDC, and the id of the purchase: the same again is the same
    purchase."""

    input: str = member("input")
    limit: float | None = member("limit", None)
    purchase_id: str = member("purchaseId")


@dataclass(frozen=True, slots=True)
class Executed(Record, name="api.ExecuteResponse"):
    """What came of it; but for the output it is ours. ``amount`` is atomic units."""

    output: str = member("output")
    purchase_id: str = member("purchaseId", omit=True)
    amount: str = member("amount", omit=True)
    tx_hash: str = member("txHash", omit=True)


@dataclass(frozen=True, slots=True)
class OrderAsked(Record, name="api.OrderRequest"):
    """A new order."""

    agent_id: str = member("agentId")
    price: float = member("price", 0.0)


@dataclass(frozen=True, slots=True)
class WorkflowAsked(Record, name="api.WorkflowRequest"):
    """A new workflow; ``budget``, in USDC, is ours."""

    agent_ids: tuple[str, ...] = member("agentIds", ())
    input: str = member("input")
    budget: float | None = member("budget", None)


@dataclass(frozen=True, slots=True)
class Balance(Record, name="api.Balance"):
    """Of the wallet: the chain's own coin, and the token, in decimal."""

    address: str = member("address")
    balance: str = member("balance")
    usdc_balance: str = member("usdcBalance", omit=True)


@dataclass(frozen=True, slots=True)
class Listed(Record, name="mesh.Listed"):
    """A listing with what this node makes of it: whose word it is, and for how long it was not heard."""

    listing: Listing | None = member("listing", None)
    verified: bool = member("verified", False)
    trust: str = member("trust")
    age_s: float = member("ageSeconds", 0.0)


@dataclass(frozen=True, slots=True)
class Bought(Record, name="mesh.Bought"):
    """A purchase; amounts are atomic units, times Unix seconds."""

    id: str = member("id")
    state: str = member("state")
    seller: str = member("seller")
    resource: str = member("resource")
    amount: str = member("amount")
    tx_hash: str = member("txHash", omit=True)
    reason: str = member("reason", omit=True)
    created_at: int = member("createdAt", 0)


@dataclass(frozen=True, slots=True)
class Sold(Record, name="mesh.Sold"):
    """A sale; as `Bought`."""

    purchase: str = member("purchase")
    state: str = member("state")
    buyer: str = member("buyer")
    resource: str = member("resource")
    amount: str = member("amount")
    tx_hash: str = member("txHash", omit=True)
    reason: str = member("reason", omit=True)
    taken_at: int = member("takenAt", 0)
