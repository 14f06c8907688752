"""`mesh agent messages`: the log of what was said."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from mesh.console.agent_calls import agent_of, part
from mesh.console.agent_output import columns, instant, message_lines, preview, short, tell
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
LimitOption = Annotated[int, typer.Option("--limit", "-l", min=1, max=500, help="How many.")]
OffsetOption = Annotated[int, typer.Option("--offset", "-o", min=0, help="How many of the newest to skip.")]
PeerOption = Annotated[str, typer.Option("--peer", "-p", metavar="PEER", help="Only those with this peer.")]


@app.command("list")
def list_(
    peer: PeerOption = "",
    direction: Annotated[
        Literal["inbound", "outbound"] | None, typer.Option("--direction", "-d", help="Only these.")
    ] = None,
    kind: Annotated[str, typer.Option("--type", "-t", metavar="TYPE", help="Only this type.")] = "",
    unread: Annotated[bool, typer.Option("--unread", help="Only unread ones.")] = False,
    limit: LimitOption = 50,
    offset: OffsetOption = 0,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """List messages, newest first."""
    query = {
        "peer": peer,
        "direction": direction,
        "type": kind,
        "unread": "true" if unread else "",
        "limit": limit,
        "offset": offset,
    }
    found = agent_of(path).get("/messages", query)
    shown = f"{len(found['messages'])} of {found['total']}"
    tell(json, found, [*message_lines(found["messages"]), shown])


@app.command("search")
def search(
    words: Annotated[str, typer.Argument(metavar="WORDS", help='Words, "a phrase", a NOT b, beginn*.')],
    peer: PeerOption = "",
    limit: LimitOption = 20,
    offset: OffsetOption = 0,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Find messages by their words, newest first."""
    query = {"search": words, "peer": peer, "limit": limit, "offset": offset}
    found = agent_of(path).get("/messages", query)
    more = "" if found["totalExact"] else "more than "
    tell(json, found, [*message_lines(found["messages"]), f"{more}{found['total']} found"])


@app.command("conversations")
def conversations(limit: LimitOption = 50, path: FolderOption = None, json: JsonOption = False) -> None:
    """List peers with messages, those with the newest first."""
    found = agent_of(path).get("/messages/conversations", {"limit": limit})
    rows = [
        [
            each["peerName"] or "-",
            short(each["peerId"]),
            instant(each["lastTimestamp"]),
            f"{each['messageCount']} messages",
            f"{each['unreadCount']} unread",
            preview(each["lastMessage"]),
        ]
        for each in found["conversations"]
    ]
    tell(json, found, columns(rows) if rows else ["no conversations"])


@app.command("read")
def read(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="Peer id.")],
    up_to: Annotated[int | None, typer.Option("--up-to", metavar="ROW", help="Last row to mark.")] = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Mark a peer's messages as read."""
    done = agent_of(path).ask("POST", f"/messages/{part(peer)}/read", {"upTo": up_to})
    tell(json, done, [f"{done['changed']} marked"])


@app.command("retry")
def retry(
    message: Annotated[str, typer.Argument(metavar="ID", help="Id of a dead letter.")],
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Try a message again that was given up."""
    done = agent_of(path).ask("POST", f"/messages/{part(message)}/retry")
    tell(json, done, [f"{done['retried']} will be tried again"])


@app.command("stats")
def stats(path: FolderOption = None, json: JsonOption = False) -> None:
    """Totals, busiest peers, days."""
    found = agent_of(path).get("/messages/stats")
    lines = [
        f"{found['totalMessages']} messages: {found['totalInbound']} in, {found['totalOutbound']} out, "
        f"{found['totalUnread']} unread; {found['uniquePeers']} peers"
    ]
    peers = [
        [f"  {each['peerName'] or '-'}", each["peerId"], str(each["count"])]
        for each in found["messagesByPeer"]
    ]
    days = [[f"  {each['date']}", str(each["count"])] for each in found["messagesByDay"][:7]]
    tell(json, found, [*lines, *columns(peers), *columns(days)])
