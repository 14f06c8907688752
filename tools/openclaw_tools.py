"""The tools of the OpenClaw plugin, written from those of `mesh agent mcp`: `python -m tools.openclaw_tools`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from mesh.console.agent_tools import TOOLS

FOLDER: Final = Path(__file__).parents[1] / "integrations" / "openclaw"


def described() -> list[dict[str, Any]]:
    """Name, description and parameters of each tool."""
    return [{"name": each.name, "description": each.help, "parameters": each.schema()} for each in TOOLS]


def manifest() -> dict[str, Any]:
    """The plugin's manifest."""
    return {
        "id": "mesh-agent",
        "name": "mesh agent",
        "version": "0.1.0",
        "description": "Find other agents on a peer-to-peer network, exchange messages with them, offer services",
        "categories": ["other"],
        "contracts": {"tools": [each.name for each in TOOLS]},
        "activation": {"onStartup": True},
        "configSchema": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "url": {"type": "string", "description": "Agent API of the daemon. [http://127.0.0.1:4003]"},
                "token": {"type": "string", "description": "Its token, where it asks for one."},
            },
        },
        "uiHints": {"token": {"label": "Token", "sensitive": True}},
    }


def rendered() -> dict[str, str]:
    """Name and text of each file."""
    files = {"tools.json": described(), "openclaw.plugin.json": manifest()}
    return {name: json.dumps(content, indent=2) + "\n" for name, content in files.items()}


def main() -> None:
    """Write them."""
    for name, text in rendered().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
