"""The least web service: uvicorn and Starlette with one route. ``python bench/bare/site.py PORT``."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def readyz(_: Request) -> PlainTextResponse:
    return PlainTextResponse("ready\n")


if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=[Route("/readyz", readyz)]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_config=None,
        access_log=False,
        lifespan="off",
    )
