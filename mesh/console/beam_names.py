"""`mesh beam names`: whose a name is, who may serve it, giving it away."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.console.beam_calls import ask, page_of
from mesh.console.beam_output import say_claimed, say_name, say_names
from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption

names_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Names and their owners.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME")]
PeerArgument = Annotated[str, typer.Argument(metavar="PEER", help="Peer id.")]


@names_app.command("list")
def list_names(path: FolderOption = None, json: JsonOption = False) -> None:
    """List the names that the daemon knows."""
    found = page_of(path, "/names", "names")
    if json:
        say_json({"names": found})
    else:
        say_names(found)


@names_app.command("show")
def show(name: NameArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Show the record of a name, looked for in the network."""
    found = ask(path, "GET", f"/names/{name}")
    if json:
        say_json(found)
    else:
        say_name(found)


@names_app.command("claim")
def claim(
    name: NameArgument,
    description: Annotated[str, typer.Option(help="What others are told of it.")] = "",
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Have a name without offering anything under it yet."""
    done = ask(path, "POST", "/names", {"name": name, "description": description})
    if json:
        say_json(done)
    else:
        say_claimed(done)


@names_app.command("update")
def update(
    name: NameArgument,
    ttl: Annotated[int | None, typer.Option(metavar="S", help="Seconds that the record counts for.")] = None,
    description: Annotated[str | None, typer.Option(help="What others are told of it.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Once for each.")] = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Change what the record of a name of this node says."""
    body = {"ttl": ttl, "description": description, "tags": tag or None}
    done = ask(path, "PATCH", f"/names/{name}", body)
    if json:
        say_json(done)
    else:
        say_claimed(done)


@names_app.command("allow")
def allow(
    name: NameArgument, peer: PeerArgument, path: FolderOption = None, json: JsonOption = False
) -> None:
    """Let another peer serve a name of the daemon."""
    _allow(name, peer, True, path, json)


@names_app.command("deny")
def deny(name: NameArgument, peer: PeerArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Let a peer serve a name no more."""
    _allow(name, peer, False, path, json)


@names_app.command("transfer")
def transfer(
    name: NameArgument,
    to: Annotated[str, typer.Option("--to", metavar="PEER", help="Peer id of the new owner.")],
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Give a name away; prints the text with which the new owner takes it over (`accept`)."""
    done = ask(path, "POST", f"/names/{name}/transfer", {"to": to})
    if json:
        say_json(done)
    else:
        say(done["token"])


@names_app.command("accept")
def accept(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="What `transfer` printed.")],
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Take a name over."""
    done = ask(path, "POST", "/names/accept", {"token": token})
    if json:
        say_json(done)
    else:
        say_claimed(done)


@names_app.command("trust")
def trust(
    name: NameArgument, peer: PeerArgument, path: FolderOption = None, json: JsonOption = False
) -> None:
    """Go by this owner of a name."""
    _trust(name, peer, path, json)


@names_app.command("forget")
def forget(name: NameArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Go by whichever owner of a name is seen first."""
    _trust(name, None, path, json)


@names_app.command("revoke")
def revoke(name: NameArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Give a name up: anybody may have it."""
    done = ask(path, "DELETE", f"/names/{name}")
    if json:
        say_json(done)
    else:
        say(f"{done['name']} is given up; {done['accepted']} of {done['asked']} peers know")


def _allow(name: str, peer: str, allowed: bool, path: FolderOption, as_json: bool) -> None:
    done = ask(path, "POST", f"/names/{name}/allow", {"peer": peer, "allowed": allowed})
    if as_json:
        say_json(done)
    else:
        say_claimed(done)


def _trust(name: str, peer: str | None, path: FolderOption, as_json: bool) -> None:
    done = ask(path, "POST", f"/names/{name}/trust", {"peer": peer})
    if as_json:
        say_json(done)
    else:
        say(f"{done['name']}: {done['trusted'] or 'whoever is seen first'}")
