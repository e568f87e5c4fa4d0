"""What can be asked of the service itself: is it well, what has it done."""

import asyncio
import time
from importlib.metadata import version
from typing import Annotated, Final, Literal, NotRequired

import orjson
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field
from typing_extensions import TypedDict

from ingest.core.records import Day
from ingest.errors import BatchRetryable, StoreUnusable
from ingest.gateway.access import Reader
from ingest.gateway.intake import Intake
from ingest.gateway.problems import documented
from ingest.metrics import Metrics
from ingest.ports import Store
from ingest.settings import Settings

router = APIRouter(tags=["service"])
STORE_SECONDS: Final = 5.0
NO_DAY: Final = Day("readyz", "2000-01-01")


class Status(TypedDict):
    """What the service does; counts are since it was started."""

    mode: str
    version: str
    store: str
    ready: bool
    reason: str | None
    lag: Annotated[int | None, Field(description="Messages not done; null where unknown.")]
    messages: int
    records: dict[str, int]
    rejections: dict[str, int]
    uptime_seconds: int


class Readiness(TypedDict):
    """Whether what it needs answers, and if not, what is wrong."""

    status: Literal["ok", "unavailable"]
    reason: NotRequired[str]


@router.get("/livez")
async def livez() -> dict[str, str]:
    """Whether it turns."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Something that it needs does not"}},
)
async def readyz(request: Request) -> Response:
    """Whether what it needs answers."""
    problem = await _problem(request)
    body = {"status": "ok"} if problem is None else {"status": "unavailable", "reason": problem}
    status = 200 if problem is None else 503
    return Response(orjson.dumps(body), status, media_type="application/json")


@router.get("/metrics", include_in_schema=False)
async def show_metrics(request: Request) -> Response:
    """For Prometheus."""
    metrics: Metrics = request.app.state.metrics
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/status", responses=documented(401, 403, 429))
async def show_status(request: Request, _: Reader) -> Status:
    """What it has done since it was started."""
    state = request.app.state
    settings: Settings = state.settings
    metrics: Metrics = state.metrics
    problem = await _problem(request)
    return {
        "mode": settings.gateway_mode,
        "version": version("ingest"),
        "store": settings.repository_backend,
        "ready": problem is None,
        "reason": problem,
        "lag": await state.lag(),
        "messages": metrics.messages_done(),
        "records": metrics.records_by_verdict()
        if settings.gateway_mode == "embedded"
        else metrics.records_forwarded(),
        "rejections": metrics.rejections_by_reason(),
        "uptime_seconds": int(time.monotonic() - state.began_at),
    }


async def _problem(request: Request) -> str | None:
    intake: Intake = request.app.state.intake
    store: Store = request.app.state.store
    if intake.problem is not None:
        return intake.problem
    try:
        await asyncio.wait_for(store.totals.load([NO_DAY]), STORE_SECONDS)
    except (BatchRetryable, StoreUnusable) as error:
        return str(error)
    except TimeoutError:
        return "the store does not answer in time"
    return None
