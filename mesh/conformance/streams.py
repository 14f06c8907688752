"""What a stream of any transport offers to a case."""

from __future__ import annotations

from mesh.codecs.multistream import encode_token
from mesh.conformance.verdict import Deviation
from mesh.conformance.waiting import ByteFlow
from mesh.protocols.multistream import HEADER


class StreamFlow(ByteFlow):
    """One stream, either side able to end or reset its half. Endings: `end of stream`, `reset <code>`, the carrier's."""

    async def write(self, payload: bytes) -> None:
        """Send as the target's window allows."""
        raise NotImplementedError

    def finish(self) -> None:
        """End our side."""
        raise NotImplementedError

    def reset(self, code: int = 0) -> None:
        """End both sides at once."""
        raise NotImplementedError

    async def negotiate(self, protocol: str) -> None:
        """Agree on a protocol as the opener. Raises `Deviation` for any answer but the echo."""
        self.send(encode_token(HEADER) + encode_token(protocol))
        await self.agreed(protocol)

    async def agreed(self, protocol: str) -> None:
        """Wait for the header and the echo of a proposal that was sent."""
        header = await self.token("multistream header")
        if header != HEADER:
            raise Deviation(f"the stream's first token is {header[:64]!r}")
        answer = await self.token(f"answer to {protocol}")
        if answer != protocol:
            raise Deviation(f"answer to {protocol} is {answer[:64]!r}")
