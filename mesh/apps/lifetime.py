"""What a program of this package is between its start and its stop."""

from __future__ import annotations

from abc import abstractmethod
from types import TracebackType
from typing import Self


class Lifetime:
    """``async with`` starts it and stops it, also when its start has failed or was cancelled."""

    __slots__ = ()

    @abstractmethod
    async def start(self) -> None:
        """Begin to work."""

    @abstractmethod
    async def stop(self) -> None:
        """End; safe to call twice, and after a start that failed."""

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()
