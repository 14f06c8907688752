"""Who may ask the marketplace's API: as `agent_guard`, and whatever is more than a look needs the token from anywhere.

The real node asks for nothing (section 8). Here reading is open to this machine; what registers, spends, orders or
withdraws is a POST or DELETE, and those show the token of the data folder's ``market.token``.
"""

from __future__ import annotations

from typing import ClassVar, Final

from starlette.types import Scope

from mesh.api.agent_guard import AgentGuard

LOOKS: Final = frozenset(["GET", "HEAD"])


class MarketGuard(AgentGuard):
    """An ASGI application around the marketplace's."""

    token_file: ClassVar[str] = "market.token"
    origins_key: ClassVar[str] = "market.api_origins"

    def _needs_no_token(self, scope: Scope) -> bool:
        looks = scope["type"] == "http" and scope["method"] in LOOKS
        return looks and super()._needs_no_token(scope)
