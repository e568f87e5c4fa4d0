"""A bare FastAPI app on uvicorn, beside which the gateway is measured: it reads a body, no more.

`python -m benchmarks.echo PORT` serves it on the loopback until it is stopped.
"""

import sys

import uvicorn
from fastapi import FastAPI, Request

app = FastAPI()


@app.post("/")
async def echo(request: Request) -> dict[str, int]:
    """How many bytes came."""
    return {"bytes": len(await request.body())}


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="asyncio",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
