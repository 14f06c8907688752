"""What a daemon and the commands about it load, for the process that they are forked from."""

from __future__ import annotations

import httpx  # noqa: F401
import tomlkit  # noqa: F401
import uvloop  # noqa: F401

import mesh.api.server
import mesh.config.document
import mesh.console.application
import mesh.console.bootstrap
import mesh.console.client
import mesh.console.diagnosis
import mesh.console.running
import mesh.console.serving
import mesh.console.settings
import mesh.console.swarm
import mesh.node
import mesh.services.dcutr
import mesh.services.relay  # noqa: F401
