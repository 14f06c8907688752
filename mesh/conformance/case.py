"""What a case is, and how a section collects its cases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mesh.conformance.verdict import Level
from mesh.errors import UsageError

if TYPE_CHECKING:
    from mesh.conformance.attempt import Attempt

Run = Callable[["Attempt"], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Case:
    """``title`` says what is sent or done, ``requirement`` what a conforming peer does, ``limit_s`` how long it may take
    to react. `mesh.conformance` tells what the flags mean."""

    id: str
    title: str
    requirement: str
    level: Level
    source: str
    limit_s: float
    run: Run
    harmful: bool = False
    slow: bool = False
    hurts: bool = False
    needs: tuple[str, ...] = ()
    transport: str = "tcp"
    security: str = ""
    mirrored: bool = False
    lane: str = ""

    @property
    def suite(self) -> str:
        return self.id.partition("/")[0]

    @property
    def section(self) -> str:
        return self.id.partition(".")[0]

    @property
    def order(self) -> tuple[str, int, int]:
        """Sorts 1.2 before 1.10."""
        suite, _, number = self.id.removesuffix("m").partition("/")
        section, _, place = number.partition(".")
        return suite, int(section), int(place)


@dataclass(slots=True)
class Section:
    """A section of the catalogue: ``id`` such as `yamux/3`, its title, and the source its cases share."""

    id: str
    title: str
    source: str
    transport: str = "tcp"
    security: str = ""
    needs: tuple[str, ...] = ()
    hurts: bool = False
    lane: str = ""
    mirrored: bool = False
    cases: list[Case] = field(default_factory=list)

    def must(
        self, number: int, title: str, requirement: str, *, limit_s: float, **flags: Any
    ) -> Callable[[Run], Run]:
        return self._add(Level.MUST, number, title, requirement, limit_s, flags)

    def should(
        self, number: int, title: str, requirement: str, *, limit_s: float, **flags: Any
    ) -> Callable[[Run], Run]:
        return self._add(Level.SHOULD, number, title, requirement, limit_s, flags)

    def may(
        self, number: int, title: str, requirement: str, *, limit_s: float, **flags: Any
    ) -> Callable[[Run], Run]:
        return self._add(Level.MAY, number, title, requirement, limit_s, flags)

    def _add(
        self, level: Level, number: int, title: str, requirement: str, limit_s: float, flags: dict[str, Any]
    ) -> Callable[[Run], Run]:
        settings: dict[str, Any] = {
            "source": self.source,
            "transport": self.transport,
            "needs": self.needs,
            "hurts": self.hurts,
            "lane": self.lane,
            "security": self.security,
            "mirrored": self.mirrored,
        }
        settings |= flags
        name = f"{self.id}.{number}{'m' if settings.get('mirrored') else ''}"

        def register(run: Run) -> Run:
            if any(each.id == name for each in self.cases):
                raise UsageError(f"two cases are called {name}")
            self.cases.append(Case(name, title, requirement, level, limit_s=limit_s, run=run, **settings))
            return run

        return register
