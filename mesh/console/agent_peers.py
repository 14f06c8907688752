"""`mesh agent peers`: the address book and who is connected."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mesh.console.agent_calls import agent_of, part
from mesh.console.agent_output import columns, instant, short, tell
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
PeerArgument = Annotated[str, typer.Argument(metavar="PEER", help="Peer id.")]


@app.command("list")
def list_(
    search: Annotated[str, typer.Option(metavar="TEXT", help="Text in name, id, notes or tags.")] = "",
    tag: Annotated[str, typer.Option(help="Only those with this tag.")] = "",
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """List the address book."""
    found = agent_of(path).get("/peers/tracked", {"search": search, "tag": tag})
    tell(json, found, _table(found["peers"]))


@app.command("online")
def online(path: FolderOption = None, json: JsonOption = False) -> None:
    """List those of the address book that are connected."""
    found = agent_of(path).get("/peers/tracked", {"online": "true"})
    tell(json, found, _table(found["peers"]))


@app.command("info")
def info(peer: PeerArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Show all that is known of a peer."""
    found = agent_of(path).get(f"/peers/tracked/{part(peer)}")
    sats = f"{found['totalSatsSent']} sats out, {found['totalSatsReceived']} in"
    rows = [
        ["name", found["name"]],
        ["peer", found["peerId"]],
        ["tags", ", ".join(found["tags"]) or "none"],
        ["notes", found["notes"] or "none"],
        ["connected", "yes" if found["isOnline"] else f"no, last {instant(found['lastDisconnected'])}"],
        ["first seen", instant(found["firstSeen"])],
        ["last heard", instant(found["lastSeen"])],
        ["messages", f"{found['messagesSent']} sent, {found['messagesReceived']} received"],
        ["payments", f"{found['paymentsSent']} sent, {found['paymentsReceived']} received: {sats}"],
        ["services", ", ".join(found["services"]) or "none"],
        *(["address", each] for each in found["multiaddrs"]),
    ]
    tell(json, found, columns(rows))


@app.command("name")
def name(
    peer: PeerArgument,
    name: Annotated[str, typer.Argument(help="What to call it.")],
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Call a peer by a name; what it calls itself no longer shows."""
    done = agent_of(path).ask("PUT", f"/peers/tracked/{part(peer)}/name", {"name": name})
    tell(json, done, [f"{short(peer)} is {name}"])


@app.command("note")
def note(
    peer: PeerArgument,
    notes: Annotated[str, typer.Argument(help="Notes, in place of those before; empty removes them.")],
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Keep notes with a peer."""
    done = agent_of(path).ask("PUT", f"/peers/tracked/{part(peer)}/notes", {"notes": notes})
    tell(json, done, ["noted"])


@app.command("tag")
def tag(
    peer: PeerArgument,
    tags: Annotated[list[str] | None, typer.Argument(help="Tags, in place of those before.")] = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Tag a peer."""
    done = agent_of(path).ask("PUT", f"/peers/tracked/{part(peer)}/tags", {"tags": tags or []})
    tell(json, done, [", ".join(done["tags"]) or "no tags"])


@app.command("remove")
def remove(peer: PeerArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Strike a peer out of the address book; its messages stay."""
    done = agent_of(path).ask("DELETE", f"/peers/tracked/{part(peer)}")
    tell(json, done, ["removed"])


@app.command("connect")
def connect(
    multiaddr: Annotated[str, typer.Argument(metavar="ADDR", help="Multiaddr, or the id of a known peer.")],
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Connect to a peer."""
    done = agent_of(path).ask("POST", "/peers/connect", {"multiaddr": multiaddr})
    tell(json, done, [f"{done['peerId']} at {done['multiaddr']}"])


def _table(peers: list[dict[str, Any]]) -> list[str]:
    rows = [
        [
            each["name"],
            each["peerId"],
            "online" if each["isOnline"] else "offline",
            instant(each["lastSeen"]),
            f"{each['messagesSent']} out {each['messagesReceived']} in",
            ", ".join(each["tags"]),
        ]
        for each in peers
    ]
    return columns(rows) if rows else ["nobody"]
