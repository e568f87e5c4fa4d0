"""The page to look at, as files of this package."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.responses import FileResponse

STATIC: Final = Path(__file__).parent / "static"

router = APIRouter(include_in_schema=False)


@router.get("/")
async def show_page() -> FileResponse:
    """The page; it holds no data."""
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})
