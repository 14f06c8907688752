"""Workflows: several agents one after another."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from mesh.api.market_answers import answer, answer_list, body_of
from mesh.api.market_desk import AtMarket
from mesh.api.market_shapes import WorkflowAsked

router = APIRouter(prefix="/workflows", tags=["workflows"])


@router.post("")
async def create_workflow(market: AtMarket, request: Request) -> Response:
    """Begin a workflow; the answer does not wait for it."""
    asked = await body_of(request, WorkflowAsked)
    return answer(await market.workflows.create(asked.agent_ids, asked.input, asked.budget))


@router.get("")
async def list_workflows(market: AtMarket) -> Response:
    """Every workflow, the newest last."""
    return answer_list(market.workflows.all)


@router.get("/{workflow_id}")
async def show_workflow(market: AtMarket, workflow_id: str) -> Response:
    """How far a workflow is."""
    return answer(market.workflows.get(workflow_id))


@router.delete("/{workflow_id}")
async def cancel_workflow(market: AtMarket, workflow_id: str) -> Response:
    """Begin no further step of it."""
    return answer(await market.workflows.cancel(workflow_id))
