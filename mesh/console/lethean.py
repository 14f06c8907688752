"""`mesh lethean`: a node of the Lethean mesh, and what a controller asks of workers.

Calls go through the running daemon of the data folder when it is on the mesh; otherwise, and with --direct, a node of
this command's own dials with the same identity.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mesh.console import lethean_bundle
from mesh.console.lethean_calls import TARGET, ask, files_in, folder_of, json_in
from mesh.console.output import say, say_json, warn
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(lethean_bundle.app, name="bundle", help="Bundles as files: create, inspect, extract.")

RoleName = Literal["controller", "worker", "dual"]
TargetArgument = Annotated[str, typer.Argument(metavar="PEER", help=TARGET)]
MinerArgument = Annotated[str, typer.Argument(metavar="MINER", help="Name of a miner, such as xmrig-1.")]
ModeOption = Annotated[
    str | None, typer.Option(metavar="allowlist|open", help="Who may connect. [allowlist]")
]
GrantOption = Annotated[
    list[str] | None,
    typer.Option(metavar="PEER=VERBS", help="Who may ask for what, such as NODE-ID=start+stop+deploy."),
]
AuthoriseOption = Annotated[
    bool | None,
    typer.Option("--authorise/--no-authorise", help="Hold commands to the grants; off as Go nodes are."),
]
UepsOption = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Where to take UEPS packets over TCP. [off]")
]
SecretOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Secret that they are verified under.")
]
LevinOption = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Where to take Levin connections. [off]")
]
NetworkOption = Annotated[
    str | None, typer.Option(metavar="HEX", help="Id of their network: 32 hexadecimal digits.")
]
DirectOption = Annotated[
    bool, typer.Option("--direct", help="Dial with a node of its own, not the daemon's.")
]


@app.command("init")
def init(
    name: Annotated[str | None, typer.Option(help="Name that peers are shown. [the host's]")] = None,
    role: Annotated[RoleName, typer.Option(help="What this node is.")] = "dual",
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key and an identity, or show those that are there."""
    from mesh.apps.lethean.service import identity_of, paths_in
    from mesh.config import load

    loaded = load(path, {"lethean.name": name, "lethean.role": role})
    folder = folder_of(path)
    own = identity_of(loaded.config.lethean, folder).identity
    key = str(paths_in(folder).key)
    if json:
        say_json({"id": own.id, "name": own.name, "role": own.role, "public_key": own.public_key, "key": key})
        return
    for label, value in (("node", own.id), ("name", own.name), ("role", own.role), ("key", key)):
        say(f"{label} {value}")
    say(f"public key {own.public_key}")


@app.command("serve")
def serve(
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where to listen. [127.0.0.1:9091]")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name that peers are shown. [the host's]")] = None,
    role: Annotated[RoleName | None, typer.Option(help="What this node is. [dual]")] = None,
    mode: ModeOption = None,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Public key that may connect, once for each.")
    ] = None,
    grant: GrantOption = None,
    peer: Annotated[
        list[str] | None, typer.Option(metavar="ADDR", help="Peer to keep connected, once for each.")
    ] = None,
    programs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file of what a worker may run.")
    ] = None,
    authorise: AuthoriseOption = None,
    ueps: UepsOption = None,
    ueps_secret: SecretOption = None,
    levin: LevinOption = None,
    levin_network: NetworkOption = None,
    api: Annotated[
        str | None, typer.Option(metavar="HOST:PORT|unix:/PATH|off", help="Address of the control API.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="debug, info, warning, error or critical.")
    ] = None,
    path: FolderOption = None,
) -> int:
    """Run a node of the Lethean mesh alone, until SIGINT or SIGTERM."""
    from mesh.config import load
    from mesh.config.lethean import LETHEAN_PORT
    from mesh.console.daemon import run_daemon

    configured = load(path).config.lethean
    if listen is None and configured.listen == "off":
        listen = f"127.0.0.1:{LETHEAN_PORT}"
    flags: dict[str, object] = {
        "lethean.listen": listen,
        "lethean.name": name,
        "lethean.role": role,
        "lethean.mode": mode,
        "lethean.allow": allow or None,
        "lethean.grants": (*configured.grants, *grant) if grant else None,
        "lethean.peers": peer or None,
        "lethean.programs": programs,
        "lethean.authorise": authorise,
        "lethean.ueps_listen": ueps,
        "lethean.ueps_secret": ueps_secret,
        "lethean.levin_listen": levin,
        "lethean.levin_network": levin_network,
        "network.listen": (),
        "api.listen": api,
        "log.level": log_level,
    }
    if authorise is False or (authorise is None and not configured.authorise):
        warn("commands are not held to grants: every peer that may connect commands this worker")
    return run_daemon(path, flags)


@app.command("connect")
def connect(
    target: TargetArgument, direct: DirectOption = False, path: FolderOption = None, json: JsonOption = False
) -> None:
    """Connect to a peer: the daemon stays connected, a node of this command's own shows who it is and leaves."""
    done = ask(path, direct, "connect", {"target": target})
    _say(json, done, [f"{done['peer']} {done['name']} {done['role']} at {done['address']}"])


@app.command("ping")
def ping(
    target: TargetArgument = "best",
    count: Annotated[int, typer.Option("--count", "-c", min=1, max=1000, help="How many.")] = 1,
    direct: DirectOption = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Measure the round trip of encrypted pings."""
    for number in range(count):
        if number:
            time.sleep(1)
        done = ask(path, direct, "ping", {"target": target})
        _say(json, done, [f"{done['peer']} {done['rtt_ms']:.3f} ms"])


@app.command("stats")
def stats(
    target: TargetArgument = "best",
    direct: DirectOption = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show a worker and its miners."""
    done = ask(path, direct, "stats", {"target": target})
    rows = [f"{done['nodeId']} {done['nodeName']} up {done['uptime']} s, {len(done['miners'])} miners"]
    rows += [
        f"{each['name']}  {each['hashrate']:g} H/s  {each['shares']} shares  {each['rejected']} rejected  "
        f"up {each['uptime']} s  {each['algorithm']} {each['pool']}".rstrip()
        for each in done["miners"]
    ]
    _say(json, done, rows)


@app.command("start")
def start(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="A program of the worker's file.")],
    target: TargetArgument = "best",
    config: Annotated[
        str | None, typer.Option(metavar="JSON", help="Values of its parameters, or @FILE.")
    ] = None,
    profile: Annotated[str, typer.Option(metavar="NAME", help="A profile of the worker's instead.")] = "",
    direct: DirectOption = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Start a miner on a worker."""
    body: dict[str, Any] = {"target": target, "type": kind, "profile": profile}
    if config is not None or not profile:
        body["config"] = {} if config is None else json_in(config, "--config")
    done = ask(path, direct, "start", body)
    _say(json, done, [f"started {done['miner']} on {done['peer']}"])


@app.command("stop")
def stop(
    miner: MinerArgument,
    target: TargetArgument = "best",
    direct: DirectOption = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Stop a miner on a worker."""
    done = ask(path, direct, "stop", {"target": target, "miner": miner})
    _say(json, done, [f"stopped {done['miner']} on {done['peer']}"])


@app.command("logs")
def logs(
    miner: MinerArgument,
    target: TargetArgument = "best",
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=10_000, help="How many at most.")] = 100,
    since_ms: Annotated[int, typer.Option(metavar="MS", min=0, help="Only after this Unix millisecond.")] = 0,
    direct: DirectOption = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Print the last lines of a miner."""
    from mesh.telemetry.log import printable

    done = ask(path, direct, "logs", {"target": target, "miner": miner, "lines": lines, "since_ms": since_ms})
    _say(json, done, [printable(line) for line in done["lines"]])


@app.command("deploy")
def deploy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the bundle, and of its folder.")],
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="Files and folders of a miner.")
    ] = None,
    to: Annotated[str, typer.Option("--to", metavar="PEER", help=TARGET)] = "best",
    profile: Annotated[str | None, typer.Option(metavar="JSON", help="A profile, or @FILE.")] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Leave a profile unsealed inside its message.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Send it as a full bundle, not as a miner.")] = False,
    direct: DirectOption = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Send a profile, or a miner's files, to a worker."""
    body: dict[str, Any] = {"target": to, "name": name, "plain": plain}
    body["type"] = "profile" if not files else "full" if full else "miner"
    if profile is not None:
        body["profile"] = json_in(profile, "--profile")
    if files:
        body["files"] = files_in(files)
    done = ask(path, direct, "deploy", body)
    _say(json, done, [f"deployed {done['name']}, {done['bytes']} bytes, to {done['peer']}"])


@app.command("peers")
def peers(
    allow: Annotated[
        str | None, typer.Option(metavar="KEY", help="Let this public key connect, from now on.")
    ] = None,
    revoke: Annotated[str | None, typer.Option(metavar="KEY", help="Take that back.")] = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """List known peers, the best first; or change the allowlist."""
    from mesh.console.lethean_calls import change_allowlist, list_peers

    if allow is not None or revoke is not None:
        allowed = change_allowlist(path, allow, revoke)
        _say(json, {"allowed": allowed}, allowed)
        return
    found = list_peers(path)
    rows = [
        f"{each['id']} {each['name'] or '-'} {each['role']} {each['address'] or '-'} score {each['score']:g} "
        f"{each['pingMs']:.3f} ms{' connected' if each['connected'] else ''}"
        for each in found
    ]
    _say(json, {"peers": found}, rows)


def _say(as_json: bool, result: dict[str, Any], rows: list[str]) -> None:
    if as_json:
        say_json(result)
        return
    for peer, cause in dict(result.get("passed_over") or {}).items():
        warn(f"{peer} was passed over: {cause}")
    for row in rows:
        say(row)
