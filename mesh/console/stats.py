"""`mesh stats`: how the running daemon does."""

from __future__ import annotations

from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption


def stats(path: FolderOption = None, json: JsonOption = False) -> None:
    """Show connections, streams, bytes held, lateness of the loop and counters of the running daemon."""
    from mesh.console.client import running
    from mesh.telemetry.log import printable

    found = running(path).ask("GET", "/stats")
    if json:
        say_json(found)
        return
    lag, counters = found.pop("loop_lag"), found.pop("counters")
    for name, value in found.items():
        say(f"{name.replace('_', ' ')}: {value}")
    say(f"loop lag: p99 {lag['p99_ms']:.3f} ms, most {lag['max_ms']:.3f} ms in the last minute")
    for name, value in counters.items():
        say(f"{printable(name)}: {value}")
