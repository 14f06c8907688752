"""`mesh doctor` and the diagnoses of `mesh diag`: causes with what speaks for them and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption

WaitOption = Annotated[
    float,
    typer.Option("--wait", metavar="S", help="Wait at most so long for what others find.", min=0, max=110),
]
UNHEALTHY = 1


def doctor(wait: WaitOption = 20.0, path: FolderOption = None, json: JsonOption = False) -> None:
    """Examine how the running daemon is reached: addresses, mapping, relays, hole punches, and what to do next."""
    from mesh.console.client import running

    found = running(path).ask("POST", "/diag/examination", {"wait_s": wait})
    if json:
        say_json(found)
        return
    say_verdict(found["diagnosis"])
    say_nat(found)
    for each in found["relays"]:
        standing = "holds a reservation" if each["held"] else f"none: {_clean(each['cause'])}"
        say(f"relay {each['relay']}: {standing}")
    for each in found["begins_with"]:
        say(f"begins with {_clean(each['addr'])}: {_clean(each['cause'] or each['outcome'])}")
    for each in found["routers"]:
        say(f"router {each['distance']}: {each['addr']}{' (not public)' if each['private'] else ''}")
    if found["longest_packet_bytes"]:
        say(f"packets of {found['longest_packet_bytes']} bytes pass")
    _say_punches(found)
    for each in found["conditions"]:
        say(_condition(each))


def path_to(
    peer: Annotated[
        list[str],
        typer.Argument(metavar="PEER...", help="Its id, or addresses that end in it.", show_default=False),
    ],
    wait: Annotated[
        float,
        typer.Option("--wait", metavar="S", help="Wait at most so long for a hole punch.", min=0, max=110),
    ] = 20.0,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show whether the path to a peer is direct, relayed or none, what the relay leaves of it, and why. It is dialled."""
    from mesh.console.client import running

    asked = {"target": peer[0], "addrs": peer[1:], "wait_s": wait}
    found = running(path).ask("POST", "/diag/path", asked)
    if json:
        say_json(found)
        return
    where = f" at {_clean(found['addr'])}" if found["addr"] else ""
    say(f"path: {found['path']}{where}")
    if found["path"] == "relayed":
        say(f"the relay leaves: {_rest(found)}")
    say_verdict(found["diagnosis"])


def healthy(path: FolderOption = None, json: JsonOption = False) -> int:
    """Show whether the running daemon does well, a line for each condition; exit status 0 if all hold, else 1."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/diag/healthy")
    if json:
        say_json(found)
    else:
        for each in found["conditions"]:
            say(_condition(each))
    return 0 if found["healthy"] else UNHEALTHY


def say_verdict(verdict: Mapping[str, Any]) -> None:
    """A cause with its evidence, and the steps of its remedy."""
    say(f"cause: {verdict['cause']} ({verdict['summary']}), confidence {verdict['confidence']} of 3")
    for text in verdict["evidence"]:
        say(f"  {_clean(text)}")
    steps: Sequence[Mapping[str, Any]] = verdict["remedy"]
    if steps:
        say("remedy:")
    for each in steps:
        say(f"  {each['where']}: {_clean(each['text'])}")
        if each["command"]:
            say(f"    {_clean(each['command'])}")


def say_nat(found: Mapping[str, Any]) -> None:
    """What is known of the NAT and of each address."""
    source = f", {found['source']}, confidence {found['confidence']} of 3" if found["source"] else ""
    say(f"reachability: {found['reachability']}{source}")
    say(f"NAT: {found['nat_class']}")
    for each in found["stun"]:
        say(
            f"  {each['family']} by STUN: {each['nat_class']}; mapping {each['mapping']}, filtering "
            f"{each['filtering']}, seen as {_clean(each['outside'] or '-')}"
        )
    for each in found["transports"]:
        say(f"  {each['transport']} by {each['observers']} observers: {each['kind']}")
    _say_mapping(found["mapping"])
    say("addresses:" if found["addresses"] else "addresses: none")
    for each in found["addresses"]:
        say(
            f"  {_clean(each['addr'])}  {each['state']} ({each['source']}, confidence {each['confidence']} of 3, "
            f"observers {each['observers']})"
        )


def _say_mapping(mapping: Mapping[str, Any]) -> None:
    """One line for the router, and one for each port."""
    known = {
        "off": "off",
        "searching": "the router is being asked",
        "mapped": f"found, {mapping['protocol']} at {mapping['gateway']}",
        "refused": f"refused by {mapping['gateway']}",
        "silent": f"no answer from {mapping['gateway']}",
        "no router": "no default route through a router",
        "not needed": "not needed, this machine has a public address",
        "private": f"double NAT, {mapping['gateway']} has a private address outside ({mapping['protocol']})",
    }
    say(f"port mapping: {known.get(mapping['state'], mapping['state'])}")
    for each in mapping["ports"]:
        name = f"{each['transport']} {each['port']}"
        if each["outside"] is not None:
            left = "until given back" if each["left_s"] is None else f"{each['left_s']:.0f} s left"
            say(f"  {name}: {each['outside']}, {left}")
        elif each["code"] or each["reason"]:
            say(f"  {name}: refused, code {each['code']} {_clean(each['reason'])}")
        else:
            say(f"  {name}: no answer yet")


def say_punches(punches: Sequence[Mapping[str, Any]]) -> None:
    """What became of each attempt."""
    for each in punches:
        side = "began" if each["started"] else "answered"
        came = f"direct over {each['transport']}" if each["transport"] else _clean(each["cause"])
        say(f"{each['peer']}  {side}, attempt {each['attempt']}, {each['seconds']:.2f} s: {came}")


def _say_punches(found: Mapping[str, Any]) -> None:
    say(
        "hole punches:"
        if found["punches"]
        else f"hole punches: none{'' if found['punching'] else ', they are off'}"
    )
    say_punches(found["punches"])


def _rest(found: Mapping[str, Any]) -> str:
    if not found["limited"]:
        return "everything, it sets no limit"
    time = found["remaining_s"]
    sent, received = found["remaining_send_bytes"], found["remaining_receive_bytes"]
    return ", ".join(
        (
            "any time" if time is None else f"{time:.0f} s",
            "any number of bytes to the peer" if sent is None else f"{sent} bytes to the peer",
            "any number from it" if received is None else f"{received} bytes from it",
        )
    )


def _condition(each: Mapping[str, Any]) -> str:
    return f"{'yes' if each['holds'] else 'NO':4}{each['name']}: {_clean(each['seen'])}"


def _clean(text: str) -> str:
    from mesh.telemetry.log import printable

    return printable(text)
