"""`mesh init` and `mesh version`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mesh.console.output import say, say_json

ProfileName = Literal["lan", "public", "server", "lowpower", "test"]
KeyName = Literal["ed25519", "secp256k1", "ecdsa", "rsa"]
FolderOption = Annotated[Path | None, typer.Option("--path", metavar="DIR", help="Data folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def init(
    profile: Annotated[
        ProfileName | None, typer.Option(help="What this node is for; without one all stays quiet.")
    ] = None,
    path: FolderOption = None,
    key_type: Annotated[KeyName, typer.Option(help="Type of the new key.")] = "ed25519",
) -> None:
    """Create a data folder with a commented config.toml and a key."""
    from mesh.config import document, load
    from mesh.config.profiles import PROFILES
    from mesh.config.sections import every_setting
    from mesh.console.keyfile import key_path, private_key
    from mesh.identity.peer_id import PeerId

    loaded = load(path, {"node.key_type": key_type}, profile=profile)
    chosen: dict[str, object] = {} if key_type == "ed25519" else {"node.key_type": key_type}
    document.refuse_existing(loaded.file)
    key_file = key_path(loaded.config)
    kept = key_file.exists()
    peer = PeerId.from_public_key(private_key(loaded.config).public)
    document.write_atomically(loaded.file, document.render(profile, chosen))
    say(f"folder {loaded.config.node.path}")
    say(f"config {loaded.file}")
    say(f"key {key_file} ({'kept' if kept else 'new'})")
    say(f"peer {peer}")
    if profile is None:
        say("profile none: listens on loopback only, nothing else is turned on")
        return
    say(f"profile {profile}: {PROFILES[profile].summary}")
    rules = dict(every_setting())
    for key, value in PROFILES[profile].values.items():
        say(f"  {key} = {document.as_toml(rules[key], value)}")


def version(json: JsonOption = False) -> None:
    """Print the version."""
    from mesh import __version__

    if json:
        say_json({"version": __version__})
    else:
        say(f"mesh {__version__}")
