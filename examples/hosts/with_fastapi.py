"""A host on FastAPI: the lifespan opens loomwire, a dependency gives a client, and a reader who leaves ends the stream.

Serve `create_app()` with any ASGI server: `uvicorn --factory examples.hosts.with_fastapi:create_app`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from loomwire import ILLMClient, LLMContainer, LLMError, LLMRequest, LLMStream, TextDelta

router = APIRouter()


def container_of(request: Request) -> LLMContainer:
    """Return the application's container."""
    container: LLMContainer = request.app.state.llm
    return container


def planner(container: Annotated[LLMContainer, Depends(container_of)]) -> ILLMClient:
    """Return a client; it sees every edit, so a request need not look it up again."""
    return container.llm_client("planner")


async def opened(q: str, llm: Annotated[ILLMClient, Depends(planner)]) -> AsyncIterator[LLMStream]:
    """Open a stream for as long as the response lasts, whoever ends it.

    Entering it comes before the response's first byte, so what fails until then is an honest status.
    """
    async with llm.stream(LLMRequest.of(q)) as stream:
        yield stream  # noqa: ASYNC119  # FastAPI runs what follows, in the same task


@router.get("/plan")
async def plan(q: str, llm: Annotated[ILLMClient, Depends(planner)]) -> dict[str, str]:
    """Answer at once."""
    return {"text": (await llm.generate(LLMRequest.of(q))).text}


@router.get("/tell")
async def tell(stream: Annotated[LLMStream, Depends(opened)]) -> StreamingResponse:
    """Answer word by word; a stream that breaks off breaks the response off too, so nobody takes it for whole."""
    words = (event.text async for event in stream if isinstance(event, TextDelta))
    return StreamingResponse(words, media_type="text/plain; charset=utf-8")


@router.get("/health")
async def health(container: Annotated[LLMContainer, Depends(container_of)]) -> JSONResponse:
    """Say which configuration is in force, and what is wrong with the last edit."""
    return JSONResponse(container.health().to_dict())


async def failed(_request: Request, error: Exception) -> JSONResponse:
    """Turn an error of ours into a response: 429 and 503 invite to try again, and no prompt or key is in it."""
    assert isinstance(error, LLMError)
    wait = {} if error.retry_after is None else {"Retry-After": str(math.ceil(error.retry_after))}
    status = 429 if error.status == 429 else 503 if error.retryable else 502
    return JSONResponse(error.to_dict(), status_code=status, headers=wait)


def create_app(folder: str = "config") -> FastAPI:
    """Build the application over a configuration."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with LLMContainer.aopen(folder) as container:
            app.state.llm = container
            yield

    app = FastAPI(lifespan=lifespan, exception_handlers={LLMError: failed})
    app.include_router(router)
    return app
