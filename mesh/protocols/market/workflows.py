"""Workflows: agents one after another, each one's output the next one's input (section 7.6).

`budget` and `totalCost` are ours to fill: USDC that all steps together may cost, and what they did. A step that would go
beyond what is left is not begun; the workflow fails there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from mesh.errors import UsageError
from mesh.go_json import Record, member, write_float, write_instant
from mesh.protocols.market.listing import ATOMIC

PREFIX: Final = "/workflows/"
MAX_STEPS: Final = 100
MAX_TEXT_BYTES: Final = 1024 * 1024
PENDING: Final = "pending"
RUNNING: Final = "running"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
CANCELED: Final = "canceled"
SKIPPED: Final = "skipped"
ENDED: Final = frozenset([COMPLETED, FAILED, CANCELED])


@dataclass(frozen=True, slots=True)
class StepPayment(Record, name="workflow.StepPayment"):
    """What a step cost; ``amount`` is atomic units in decimal."""

    purchase_id: str = member("purchaseId")
    amount: str = member("amount")
    tx_hash: str = member("txHash", omit=True)


@dataclass(frozen=True, slots=True)
class Step(Record, name="workflow.Step"):
    """One agent's part."""

    index: int = member("index", 0)
    agent_id: str = member("agentId")
    status: str = member("status", PENDING)
    input: str = member("input")
    output: str = member("output", omit=True)
    error: str = member("error", omit=True)
    payment: StepPayment | None = member("payment", None, omit=True)
    started_at: str = member("startedAt", omit=True)
    completed_at: str = member("completedAt", omit=True)


@dataclass(frozen=True, slots=True)
class Workflow(Record, name="workflow.Workflow"):
    """All steps; times are RFC 3339, ``budget`` and ``total_cost`` USDC in decimal."""

    id: str = member("id")
    status: str = member("status", PENDING)
    steps: tuple[Step, ...] | None = member("steps", None)
    input: str = member("input")
    output: str = member("output", omit=True)
    total_cost: str = member("totalCost")
    created_at: str = member("createdAt")
    updated_at: str = member("updatedAt")
    completed_at: str = member("completedAt", omit=True)
    budget: str = member("budget", omit=True)


def new_workflow(
    id: str, agent_ids: list[str], input_text: str, now_ns: int, budget: float | None
) -> Workflow:
    """A workflow that has not begun. Raises `UsageError`."""
    if not agent_ids or not all(agent_ids) or len(agent_ids) > MAX_STEPS:
        raise UsageError(f"a workflow has 1 to {MAX_STEPS} agents, each with an id")
    if not input_text or len(input_text.encode()) > MAX_TEXT_BYTES:
        raise UsageError(f"a workflow has an input of 1 to {MAX_TEXT_BYTES} bytes")
    if budget is not None and budget < 0:
        raise UsageError("a budget is 0 or more")
    steps = tuple(Step(index=at, agent_id=each) for at, each in enumerate(agent_ids))
    now = write_instant(now_ns)
    told = "" if budget is None else write_float(budget)
    return Workflow(id, PENDING, steps, input_text, "", "", now, now, "", told)


def begin_step(workflow: Workflow, index: int, input_text: str, now_ns: int) -> Workflow:
    """The step is under way."""
    step = replace(
        steps_of(workflow)[index], status=RUNNING, input=input_text, started_at=write_instant(now_ns)
    )
    return replace(_with_step(workflow, step, now_ns), status=RUNNING)


def finish_step(
    workflow: Workflow, index: int, output: str, payment: StepPayment | None, now_ns: int
) -> Workflow:
    """The step has its output; with the last one the workflow is complete, unless it was cancelled meanwhile."""
    step = replace(
        steps_of(workflow)[index],
        status=COMPLETED,
        output=output,
        payment=payment,
        completed_at=write_instant(now_ns),
    )
    changed = _with_step(workflow, step, now_ns)
    if index + 1 < len(steps_of(workflow)) or workflow.status in ENDED:
        return changed
    return _end(replace(changed, output=output), COMPLETED, now_ns)


def fail_step(
    workflow: Workflow, index: int, error: str, now_ns: int, payment: StepPayment | None = None
) -> Workflow:
    """The step has failed, which skips the rest."""
    step = replace(
        steps_of(workflow)[index],
        status=FAILED,
        error=error,
        payment=payment,
        completed_at=write_instant(now_ns),
    )
    changed = _with_step(workflow, step, now_ns)
    return changed if workflow.status in ENDED else _end(changed, FAILED, now_ns)


def cancel(workflow: Workflow, now_ns: int) -> Workflow:
    """No further step begins; what has not begun is skipped. Raises `UsageError` for one that has ended."""
    if workflow.status in ENDED:
        raise UsageError(f"workflow {workflow.id} is {workflow.status}")
    return _end(workflow, CANCELED, now_ns)


def steps_of(workflow: Workflow) -> tuple[Step, ...]:
    return workflow.steps or ()


def spent(workflow: Workflow) -> int:
    """Atomic units that its steps cost."""
    return sum(int(step.payment.amount) for step in steps_of(workflow) if step.payment is not None)


def left(workflow: Workflow) -> int | None:
    """Atomic units that may still be spent; None without a budget."""
    return round(float(workflow.budget) * ATOMIC) - spent(workflow) if workflow.budget else None


def _with_step(workflow: Workflow, step: Step, now_ns: int) -> Workflow:
    steps = tuple(step if each.index == step.index else each for each in steps_of(workflow))
    changed = replace(workflow, steps=steps, updated_at=write_instant(now_ns))
    cost = spent(changed)
    return replace(changed, total_cost=write_float(cost / ATOMIC) if cost else "")


def _end(workflow: Workflow, status: str, now_ns: int) -> Workflow:
    now = write_instant(now_ns)
    steps = tuple(
        replace(each, status=SKIPPED) if each.status == PENDING else each for each in steps_of(workflow)
    )
    return replace(workflow, status=status, steps=steps, updated_at=now, completed_at=now)
