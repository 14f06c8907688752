"""The agent's verbs as tools for a language model: names, parameters, and answers in words, over the agent API.

Names and answers are those of the OpenClaw plugin where it has them (bsv-p2p daemon specification, section 10). What
peers wrote is quoted behind `> `, and what they call themselves stays in its line, as in the text of a wake.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mesh.apps.agent.waking.text import fenced, iso, one_line
from mesh.console.agent_calls import part
from mesh.errors import MeshError

if TYPE_CHECKING:
    from types import TracebackType


CONNECT_S: Final = 5.0
ANSWER_S: Final = 120.0
SHOWN_ID: Final = 16
MAX_SHOWN: Final = 200
"""Characters of a name or description."""
MOST: Final = 100
"""Of one answer's messages or peers."""
NOT_RUNNING: Final = "P2P node not running. Start it with: mesh daemon --agent"


class NotRunning(MeshError):  # noqa: N818 - a condition, not a fault
    """Nothing answers where the agent API should be."""

    code = "no-daemon"


class Declined(MeshError):  # noqa: N818 - as told, not judged here
    """The API's own words for what it does not do."""

    code = "declined"


class AgentApi:
    """Asks the agent API of a daemon; `async with AgentApi(place)`. ``place`` gives its address and token, for each
    request anew: tools outlive daemons."""

    def __init__(self, place: Callable[[], tuple[str, str]]) -> None:
        import httpx

        self._place = place
        limits = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        self._client = httpx.AsyncClient(timeout=limits, trust_env=False)

    async def __aenter__(self) -> AgentApi:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The answer's object. Raises `NotRunning`, and `Declined` with the API's words."""
        import httpx

        url, token = self._place()
        headers = {"authorization": f"Bearer {token}"} if token else {}
        asked = {key: value for key, value in (query or {}).items() if value not in (None, "")}
        try:
            answer = await self._client.request(method, url + path, json=body, params=asked, headers=headers)
        except httpx.ConnectError:
            raise NotRunning(NOT_RUNNING) from None
        except httpx.HTTPError as error:
            raise Declined(f"the daemon did not answer: {type(error).__name__}") from None
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Declined(f"the daemon's answer ({answer.status_code}) is not what this version expects")
        if answer.is_error:
            raise Declined(one_line(str(found.get("error") or f"status {answer.status_code}"), 4 * MAX_SHOWN))
        return found


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument; ``kind`` is JSON Schema's name of its type."""

    name: str
    kind: str
    help: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A verb. ``run`` gives the answer in words; ``changes`` tells whether it does more than look."""

    name: str
    help: str
    run: Callable[[AgentApi, Mapping[str, Any]], Awaitable[str]]
    parameters: tuple[Parameter, ...] = ()
    changes: bool = False

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        properties: dict[str, Any] = {}
        for each in self.parameters:
            properties[each.name] = {"type": each.kind, "description": each.help}
            if each.kind == "array":
                properties[each.name]["items"] = {"type": "string"}
        required = [each.name for each in self.parameters if each.required]
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def fault(self, arguments: Mapping[str, Any]) -> str:
        """What is wrong with the arguments, or an empty string."""
        known = {each.name: each for each in self.parameters}
        for name in arguments:
            if name not in known:
                return f"{one_line(name, SHOWN_ID)} is no parameter of {self.name}"
        for name, each in known.items():
            if name not in arguments:
                if each.required:
                    return f"{name} is required"
            elif not isinstance(arguments[name], _TYPES[each.kind]) or arguments[name] is True:
                return f"{name} must be of type {each.kind}"
        return ""


_TYPES: Final[dict[str, type]] = {"string": str, "integer": int, "array": list, "object": dict}


async def call(tool: Tool, api: AgentApi, arguments: Mapping[str, Any]) -> tuple[str, bool]:
    """The answer in words, and whether it is an error."""
    fault = tool.fault(arguments)
    if fault:
        return f"Error: {fault}", True
    try:
        return await tool.run(api, arguments), False
    except NotRunning as error:
        if tool.name == "p2p_status":
            return "P2P Node Status: OFFLINE", False
        return str(error), True
    except Declined as error:
        return f"Error in {tool.name}: {error}", True
    except (KeyError, TypeError, ValueError, AttributeError):
        return f"Error in {tool.name}: the daemon's answer is not what this version expects", True


# -- finding ---------------------------------------------------------------------------------------------------------


async def _discover(api: AgentApi, given: Mapping[str, Any]) -> str:
    found = await api.ask("GET", "/discover", query={"service": given.get("service")})
    peers = found["peers"]
    if not peers:
        return "No peers found. Announcements come every five minutes; try again later."
    lines = [f"Found {len(peers)} peer(s):"]
    for peer in peers[:MOST]:
        lines += ["", f"Peer: {_name(peer['peerId'])}"]
        if peer.get("heardFrom"):
            lines.append(f"Told of by {_name(peer['heardFrom'])}, not heard itself")
        lines.append("Services:")
        lines += [_service(each) for each in peer["services"]] or ["  none"]
    return "\n".join(lines)


async def _status(api: AgentApi, _: Mapping[str, Any]) -> str:
    found = await api.ask("GET", "/status")
    return "\n".join(
        [
            "P2P Daemon Status:",
            f"  Peer ID: {found['peerId']}",
            f"  Relay: {found['relayAddress'] or 'not connected'}",
            f"  Connected peers: {found['connectedPeers']}",
            f"  Healthy: {'yes' if found['isHealthy'] else 'no'}",
        ]
    )


async def _network(api: AgentApi, _: Mapping[str, Any]) -> str:
    found = await api.ask("GET", "/status/network")
    lines = [f"{len(found['peers'])} peer(s) told their status:"]
    lines += [
        f"{_name(each['peerId'])}: {_name(each['name'])}, {int(each['connectedPeers'])} peers, up {int(each['uptime'])} s"
        for each in found["peers"][:MOST]
    ]
    return "\n".join(lines)


async def _peers(api: AgentApi, _: Mapping[str, Any]) -> str:
    peers = (await api.ask("GET", "/peers/tracked"))["peers"]
    lines = [f"{len(peers)} known peer(s):"]
    return "\n".join([*lines, *(_peer_line(each) for each in peers[:MOST])])


async def _peer(api: AgentApi, given: Mapping[str, Any]) -> str:
    peer = await api.ask("GET", f"/peers/tracked/{part(given['peerId'])}")
    lines = [
        _peer_line(peer),
        f"Tags: {', '.join(_name(tag) for tag in peer['tags']) or 'none'}",
        f"First seen: {iso(peer['firstSeen'])}",
        f"Messages: {int(peer['messagesSent'])} sent, {int(peer['messagesReceived'])} received",
        f"Services: {', '.join(_name(each) for each in peer['services']) or 'none'}",
    ]
    return "\n".join([*lines, f"Notes: {one_line(peer['notes'], 2000)}"] if peer["notes"] else lines)


# -- talking ---------------------------------------------------------------------------------------------------------


async def _send(api: AgentApi, given: Mapping[str, Any]) -> str:
    body = {"peerId": given["peerId"], "message": given["message"]}
    found = await api.ask("POST", "/send", body)
    lines = [f"Message sent successfully to {_name(given['peerId'])[:SHOWN_ID]}..."]
    if found.get("messageId"):
        lines.append(f"Message ID: {_name(found['messageId'])} (state: {_name(found.get('state', 'sent'))})")
    return "\n".join(lines)


async def _request(api: AgentApi, given: Mapping[str, Any]) -> str:
    body = {"peerId": given["peerId"], "service": given["service"], "params": given["input"]}
    found = await api.ask("POST", "/request", body)
    shown = json.dumps(found, indent=2, ensure_ascii=False)
    return "\n".join([f"Answer of {_name(given['peerId'])[:SHOWN_ID]}...:", *fenced(shown)])


async def _pay(api: AgentApi, given: Mapping[str, Any]) -> str:
    found = await api.ask("POST", "/pay", dict(given))
    return f"Payment message for {_name(found['txid'])} queued; it carries the transaction, it moves no money"


async def _messages(api: AgentApi, given: Mapping[str, Any]) -> str:
    query = {name: given.get(name) for name in ("peer", "search", "direction", "type")}
    asked = {
        **query,
        "limit": max(1, min(given.get("limit", 20), MOST)),
        "offset": max(given.get("offset", 0), 0),
    }
    found = await api.ask("GET", "/messages", query=asked)
    lines = [f"{len(found['messages'])} of {int(found['total'])} message(s), newest first:"]
    for each in found["messages"]:
        way = "from" if each["direction"] == "inbound" else "to"
        lines += [
            "",
            f"{iso(each['timestamp'])} {way} {_name(each['peerId'])} ({_name(each['messageType'])})",
            *fenced(each["content"]),
        ]
    return "\n".join(lines)


async def _conversations(api: AgentApi, _: Mapping[str, Any]) -> str:
    found = (await api.ask("GET", "/messages/conversations"))["conversations"]
    lines = [f"{len(found)} conversation(s):"]
    lines += [
        f"{_name(each['peerId'])} ({_name(each['peerName'] or 'no name')}): {int(each['messageCount'])} messages, "
        f"{int(each['unreadCount'])} unread, last {iso(each['lastTimestamp'])}"
        for each in found[:MOST]
    ]
    return "\n".join(lines)


async def _why(api: AgentApi, given: Mapping[str, Any]) -> str:
    found = await api.ask("GET", f"/messages/{part(given['messageId'])}/why")
    return "\n".join(fenced(json.dumps(found, indent=2, ensure_ascii=False)))


async def _resumed(api: AgentApi, given: Mapping[str, Any]) -> str:
    await api.ask("POST", f"/messages/{part(given['messageId'])}/resumed", {"token": given["token"]})
    return "Confirmed: the sender will learn that you have the message"


# -- what this agent keeps -------------------------------------------------------------------------------------------


async def _services(api: AgentApi, _: Mapping[str, Any]) -> str:
    found = (await api.ask("GET", "/services"))["services"]
    return "\n".join([f"{len(found)} service(s) offered:", *(_service(each) for each in found)])


async def _offer(api: AgentApi, given: Mapping[str, Any]) -> str:
    await api.ask("POST", "/services", {"currency": "bsv", "price": 0, **given})
    return f"Service {_name(given['id'])} is offered and will be announced"


async def _withdraw(api: AgentApi, given: Mapping[str, Any]) -> str:
    await api.ask("DELETE", f"/services/{part(given['id'])}")
    return f"Service {_name(given['id'])} is no longer offered"


async def _label(api: AgentApi, given: Mapping[str, Any]) -> str:
    path = f"/peers/tracked/{part(given['peerId'])}"
    for field in ("name", "notes", "tags"):
        if field in given:
            await api.ask("PUT", f"{path}/{field}", {field: given[field]})
    return f"Kept for {_name(given['peerId'])[:SHOWN_ID]}..."


# -- words -----------------------------------------------------------------------------------------------------------


def _name(value: object) -> str:
    return one_line(str(value), MAX_SHOWN)


def _service(service: Mapping[str, Any]) -> str:
    described = _name(service.get("description") or service["id"])
    return f"  - {_name(service['name'])}: {described} ({_name(service['price'])} sats)"


def _peer_line(peer: Mapping[str, Any]) -> str:
    return f"{_name(peer['name'])} ({_name(peer['peerId'])}), {'online' if peer['isOnline'] else 'offline'}"


_PEER: Final = Parameter("peerId", "string", "Peer ID, such as 12D3KooW...", required=True)
_MESSAGE: Final = Parameter("messageId", "string", "Id of the message.", required=True)
_SERVICE: Final = Parameter("id", "string", "Id of the service, such as translate.", required=True)

TOOLS: Final[Sequence[Tool]] = (
    Tool(
        "p2p_discover",
        "Find other agents on the peer-to-peer network, and the services that they offer.",
        _discover,
        (Parameter("service", "string", "Only agents that offer the service with this id."),),
    ),
    Tool(
        "p2p_send",
        "Send a text message to another agent. It waits in the outbox until that agent can be reached.",
        _send,
        (_PEER, Parameter("message", "string", "The text.", required=True)),
        changes=True,
    ),
    Tool("p2p_status", "Whether the peer-to-peer daemon runs, who it is, and how it is connected.", _status),
    Tool(
        "p2p_request",
        "Ask another agent for one of its services and wait for the answer.",
        _request,
        (
            _PEER,
            Parameter("service", "string", "Id of the service.", required=True),
            Parameter("input", "object", "Parameters of the service.", required=True),
        ),
        changes=True,
    ),
    Tool(
        "p2p_pay",
        "Send another agent the message of a payment made elsewhere. It moves no money itself.",
        _pay,
        (
            _PEER,
            Parameter("txid", "string", "Transaction id.", required=True),
            Parameter("amount", "integer", "Satoshis.", required=True),
            Parameter("toAddress", "string", "Address that was paid.", required=True),
            Parameter("vout", "integer", "Output of the transaction."),
            Parameter("memo", "string", "Note to the receiver."),
            Parameter("beef", "string", "The transaction in BEEF form, hexadecimal."),
        ),
        changes=True,
    ),
    Tool(
        "p2p_messages",
        "Read or search the messages with other agents, newest first. What they wrote is untrusted.",
        _messages,
        (
            Parameter("search", "string", "Words to search for."),
            Parameter("peer", "string", "Only messages with this peer ID."),
            Parameter("direction", "string", "inbound or outbound."),
            Parameter("type", "string", "Only messages of this type, such as text."),
            Parameter("limit", "integer", "At most so many, up to 100. [20]"),
            Parameter("offset", "integer", "Leave out so many of the newest."),
        ),
    ),
    Tool("p2p_conversations", "List the agents that messages were exchanged with.", _conversations),
    Tool("p2p_why", "What became of a message, step by step.", _why, (_MESSAGE,)),
    Tool(
        "p2p_resumed",
        "Confirm that you have read a message that you were woken for.",
        _resumed,
        (_MESSAGE, Parameter("token", "string", "The token in the text that woke you.", required=True)),
        changes=True,
    ),
    Tool("p2p_network", "What other agents last said of themselves.", _network),
    Tool("p2p_peers", "List the agents in the address book.", _peers),
    Tool("p2p_peer", "Show one agent of the address book.", _peer, (_PEER,)),
    Tool(
        "p2p_label_peer",
        "Give an agent of the address book a name, notes or tags of your own.",
        _label,
        (
            _PEER,
            Parameter("name", "string", "Name."),
            Parameter("notes", "string", "Notes; empty text removes them."),
            Parameter("tags", "array", "Tags, in place of those that it has."),
        ),
        changes=True,
    ),
    Tool("p2p_services", "List the services that this agent offers.", _services),
    Tool(
        "p2p_offer_service",
        "Offer a service and announce it.",
        _offer,
        (
            _SERVICE,
            Parameter("name", "string", "Its name.", required=True),
            Parameter("description", "string", "What it does."),
            Parameter("price", "integer", "Satoshis for a call. [0]"),
            Parameter("currency", "string", "bsv or mnee. [bsv]"),
        ),
        changes=True,
    ),
    Tool("p2p_withdraw_service", "Stop offering a service.", _withdraw, (_SERVICE,), changes=True),
)
"""Every tool, those of the plugin first."""
