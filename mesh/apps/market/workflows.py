"""Runs workflows, and takes up those that were under way when the node stopped.

A step's purchase has an id that follows from the workflow and the step, so a step that is taken up again is the same
purchase: what was paid is not paid again, and an output that was lost is asked for. Only where nothing was signed, or
what was signed can never be paid, it is another one.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mesh.apps.market.calls import Calls, Outcome, PurchaseFailed, UnknownAgent
from mesh.errors import DecodeError, MeshError, StorageError, UsageError
from mesh.network.scope import Scope
from mesh.protocols.market.workflows import (
    COMPLETED,
    ENDED,
    PREFIX,
    RUNNING,
    StepPayment,
    Workflow,
    begin_step,
    cancel,
    fail_step,
    finish_step,
    left,
    new_workflow,
    steps_of,
)
from mesh.protocols.x402.records import Purchase, PurchaseState

if TYPE_CHECKING:
    from mesh.storage.datastore import LocalDatastore

log = logging.getLogger(__name__)

MAX_UNDER_WAY: Final = 64
MAX_KEPT: Final = 10_000
RESOLVE_S: Final = 600.0
"""So long a step waits to learn what became of its purchase."""
LISTED_S: Final = 60.0
RETRY_S: Final = (0.2, 1.0, 2.0, 5.0, 10.0)
_NOTHING_MOVED: Final = (PurchaseState.INTENDED, PurchaseState.REFUSED, PurchaseState.UNPAID)
_NAMESPACE: Final = uuid.UUID("6d657368-6d61-726b-6574-776f726b666c")


class UnknownWorkflow(UsageError):  # noqa: N818 - a condition, as the API names it
    """No workflow has that id."""

    code = "unknown-workflow"


class Workflows:
    """The workflows of a node, kept in its store; at most 10,000, of which those that ended longest ago make room."""

    def __init__(self, store: LocalDatastore, calls: Calls) -> None:
        self._store = store
        self._calls = calls
        self._scope = Scope("workflows")
        self._flows: dict[str, Workflow] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Read what is kept and go on with what had not ended. Raises `StorageError`."""
        found = []
        async for _, value in self._store.scan(PREFIX.encode()):
            try:
                flow = Workflow.read(value)
            except DecodeError:
                continue
            found.append((flow.created_at, flow.id, flow))
        self._flows = {name: flow for _, name, flow in sorted(found, key=lambda each: each[:2])}
        for flow in self.all:
            if flow.status not in ENDED:
                self._go_on(flow)

    async def stop(self) -> None:
        """Stop where they are; `start` goes on with them. Safe to call twice."""
        await self._scope.close()
        self._under_way.clear()

    @property
    def all(self) -> list[Workflow]:
        """Every workflow, the newest last."""
        return list(self._flows.values())

    def get(self, workflow_id: str) -> Workflow:
        """The workflow with that id. Raises `UnknownWorkflow`."""
        flow = self._flows.get(workflow_id)
        if flow is None:
            raise UnknownWorkflow(f"workflow {workflow_id[:64]} not found")
        return flow

    async def create(
        self, agent_ids: Sequence[str], input_text: str, budget: float | None = None
    ) -> Workflow:
        """Begin a workflow; it runs from now on. ``budget`` is USDC that all steps together may cost. Raises
        `UsageError`, `StorageError`."""
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise UsageError(
                f"{MAX_UNDER_WAY} workflows are under way; begin this one when another has ended"
            )
        flow = new_workflow(str(uuid.uuid4()), list(agent_ids), input_text, time.time_ns(), budget)
        await self._keep(flow)
        self._go_on(flow)
        return flow

    async def cancel(self, workflow_id: str) -> Workflow:
        """Begin no further step of it; one that is under way is finished. Raises `UnknownWorkflow`, `UsageError`,
        `StorageError`."""
        flow = cancel(self.get(workflow_id), time.time_ns())
        await self._keep(flow)
        return flow

    async def ended(self, workflow_id: str) -> Workflow:
        """The workflow, once nothing of it is under way any more. Raises `UnknownWorkflow`."""
        task = self._under_way.get(self.get(workflow_id).id)
        if task is not None:
            await asyncio.wait([task])
        return self.get(workflow_id)

    # -- within ------------------------------------------------------------------------------------------------------

    def _go_on(self, flow: Workflow) -> None:
        task = self._scope.spawn(self._run(flow.id), "workflow")
        self._under_way[flow.id] = task
        task.add_done_callback(lambda _: self._under_way.pop(flow.id, None))

    async def _run(self, workflow_id: str) -> None:
        text = self.get(workflow_id).input
        for step in steps_of(self.get(workflow_id)):
            if step.status == COMPLETED:
                text = step.output
                continue
            flow = self.get(workflow_id)
            if flow.status in ENDED:
                return
            again = step.status == RUNNING
            await self._keep(begin_step(flow, step.index, text, time.time_ns()))
            try:
                outcome = await self._step(workflow_id, step.index, step.agent_id, text, again)
            except PurchaseFailed as failure:
                await self._fail(workflow_id, step.index, str(failure), _payment_of(failure.purchase))
                return
            except StorageError as error:
                log.error("a workflow stops: %s", error)
                return
            except MeshError as error:
                await self._fail(workflow_id, step.index, str(error), None)
                return
            text = outcome.output
            payment = None if outcome.purchase is None else _payment_of(outcome.purchase)
            flow = self.get(workflow_id)
            await self._keep(finish_step(flow, step.index, text, payment, time.time_ns()))

    async def _step(self, workflow_id: str, index: int, agent_id: str, text: str, again: bool) -> Outcome:
        """One step's outcome. While it is not known what became of a purchase it is found out again and again; a step
        that is taken up again waits for its agent's listing."""
        purchase_id = await self._purchase_id(workflow_id, index) if again else _id_of(workflow_id, index, 0)
        limit = left(self.get(workflow_id))
        began = time.monotonic()
        for turn in itertools.count():
            waited_s = time.monotonic() - began
            try:
                self._check_budget(agent_id, limit)
                return await self._calls.execute(agent_id, text, limit, purchase_id)
            except UnknownAgent:
                if not again or waited_s > LISTED_S:
                    raise
            except PurchaseFailed as failure:
                if not _may_come(failure.purchase) or waited_s > RESOLVE_S:
                    raise
            await asyncio.sleep(RETRY_S[min(turn, len(RETRY_S) - 1)])
        raise AssertionError

    def _check_budget(self, agent_id: str, limit: int | None) -> None:
        cost = self._calls.cost(agent_id)
        if limit is not None and cost > limit:
            raise UsageError(
                f"the step costs {cost} millionths of a USDC, and {limit} are left of the budget"
            )

    async def _purchase_id(self, workflow_id: str, index: int) -> str:
        """That of the purchase which may have moved money, else of a new one."""
        purse = self._calls.purse
        assert purse is not None
        for attempt in itertools.count():
            purchase_id = _id_of(workflow_id, index, attempt)
            known = await purse.find(purchase_id)
            if known is None or known.state not in _NOTHING_MOVED:
                return purchase_id
        raise AssertionError

    async def _fail(self, workflow_id: str, index: int, reason: str, payment: StepPayment | None) -> None:
        reason = reason.partition("\n")[0]
        await self._keep(fail_step(self.get(workflow_id), index, reason, time.time_ns(), payment))

    async def _keep(self, flow: Workflow) -> None:
        self._flows[flow.id] = flow
        changes: dict[bytes, bytes | None] = {_key(flow.id): flow.write()}
        if len(self._flows) > MAX_KEPT:
            gone = next((name for name, each in self._flows.items() if each.status in ENDED), None)
            if gone is not None:
                del self._flows[gone]
                changes[_key(gone)] = None
        await self._store.write(changes)


def _id_of(workflow_id: str, index: int, attempt: int) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{workflow_id}/{index}/{attempt}"))


def _key(workflow_id: str) -> bytes:
    return f"{PREFIX}{workflow_id}".encode()


def _may_come(purchase: Purchase) -> bool:
    """Whether the output may still be had, or it is not known what became of the money."""
    return purchase.state.open or (purchase.state is PurchaseState.PAID and purchase.receipt is None)


def _payment_of(purchase: Purchase) -> StepPayment | None:
    moved = purchase.state in (PurchaseState.DELIVERED, PurchaseState.PAID) or purchase.state.open
    if not moved or not purchase.amount:
        return None
    return StepPayment(purchase.id, str(purchase.amount), purchase.tx_hash)
