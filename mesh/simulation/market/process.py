"""A party of a run: it drives machines step by step, and can stop at any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

from mesh.protocols.x402.steps import Step
from mesh.simulation.market.agenda import Agenda
from mesh.simulation.market.plan import FAULTS_END_MS, Crash

Machine = Generator[Step, Any, Any]
Answered = Callable[[Any], None]


class Process:
    """What is in memory goes when it stops; `Process.begin` is called at the start and when it is back.

    Steps are counted over its whole life, and crashes are planned by that number; ``hits`` says at which it stopped.
    """

    def __init__(self, name: str, world: Agenda, crashes: tuple[Crash, ...]) -> None:
        self.name = name
        self.world = world
        self.up = True
        self.hits: Counter[str] = Counter()
        self._crashes = {crash.step: crash for crash in crashes}
        self._steps = 0
        self._life = 0
        self._machines: dict[int, Machine] = {}

    @property
    def busy(self) -> bool:
        """Whether it is down, or at work on anything."""
        return not self.up or bool(self._machines)

    def begin(self) -> None:
        """Called when the process starts."""

    def perform(self, step: Step, answered: Answered) -> None:
        """Do what a machine asks for, and call ``answered`` with what came of it, now or later."""
        raise NotImplementedError

    def run(self, machine: Machine, ended: Answered) -> None:
        """Drive a machine to its end, as long as the process lives."""
        self._machines[id(machine)] = machine
        self._advance(machine, ended, self._life, None)

    def later(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Run an action unless the process stops before."""
        life = self._life

        def act() -> None:
            if life == self._life:
                action()

        self.world.after(delay_ms, act)

    def _advance(self, machine: Machine, ended: Answered, life: int, came: Any) -> None:
        if life != self._life:
            return
        try:
            step = machine.send(came)
        except StopIteration as end:
            self._machines.pop(id(machine), None)
            ended(end.value)
            return
        crash = self._due()
        if crash is not None and crash.when == "before":
            self._stop(step, crash)
            return

        def answered(value: Any) -> None:
            if life == self._life:
                if crash is None:
                    self._advance(machine, ended, life, value)
                else:
                    self._stop(step, crash)

        self.perform(step, answered)
        if crash is not None and crash.when == "sent" and life == self._life:
            self._stop(step, crash)

    def _due(self) -> Crash | None:
        number = self._steps
        self._steps += 1
        if self.world.now_ms >= FAULTS_END_MS:
            return None
        return self._crashes.get(number)

    def _stop(self, step: Step, crash: Crash) -> None:
        self.hits[f"{self.name} | {crash.when} | {type(step).__name__}"] += 1
        self._life += 1
        self.up = False
        machines, self._machines = list(self._machines.values()), {}
        self.forget()
        for machine in machines:
            machine.close()
        self.world.after(crash.away_ms, self._restart)

    def forget(self) -> None:
        """Called when the process stops: what is in memory is gone."""

    def _restart(self) -> None:
        self.up = True
        self.begin()
