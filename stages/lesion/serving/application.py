"""The addresses: the page at /, the model at /v1/."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lesion.console.shown import one_line
from lesion.formats.header import Header
from lesion.formats.settings import Settings
from lesion.photos.images import MOST_PIXELS
from lesion.pipeline.errors import ImageError
from lesion.prediction.segmenter import Segmenter
from lesion.serving.answers import LARGEST_PREVIEW, Answer, AsJson, as_mask
from lesion.serving.batching import Batches, Rendered
from lesion.serving.bodies import Bodies
from lesion.serving.doors import Doors
from lesion.serving.limits import Limits, Refused
from lesion.serving.samples import SEEDS, sample

PAGE = Path(__file__).parent / "page"
FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("page", "probabilities", "saving", "sending")
    },
    "/docs": ("docs.html", "text/html; charset=utf-8"),
}
IMAGE = {"schema": {"type": "string", "format": "binary"}}


class Model(BaseModel):
    """What the model is: the header of its weights, what was chosen for them, and how many bytes,
    pixels and drawings to try there are at most."""

    header: Header
    settings: Settings
    most_bytes: int
    most_pixels: int
    samples: int


class Health(BaseModel):
    status: str
    waiting: int


class Problem(BaseModel):
    """What was found, what was expected and what to do, in one line."""

    error: str


def application(
    segmenter: Segmenter, limits: Limits | None = None, names: Collection[str] = ()
) -> FastAPI:
    """All addresses over one model; `names` are further names by which the server may be called."""
    limits = limits or Limits()
    bodies = Bodies(limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with Batches(segmenter, limits) as batches:
            app.state.batches = batches
            yield

    app = FastAPI(
        title="Skin lesion segmentation",
        summary="Not a medical device: nothing here may be used for diagnosis or treatment.",
        version="1",
        docs_url=None,  # FastAPI's own pages load scripts from a network
        redoc_url=None,
        lifespan=lifespan,
        responses={status: {"model": Problem} for status in (400, 408, 413, 422, 503)},
    )
    app.add_middleware(Doors, names=names)
    _answer_errors(app)

    @app.post(
        "/v1/segment",
        response_class=Response,
        responses={200: {"model": Answer, "content": {"image/png": IMAGE}}},
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/octet-stream": IMAGE}}
        },
    )
    async def segment(
        request: Request,
        threshold: Annotated[float | None, Query(ge=0, le=1)] = None,
        probabilities: bool = False,
        preview: Annotated[int, Query(ge=0, le=LARGEST_PREVIEW)] = 0,
    ) -> Response:
        """The lesion in a photograph, whose file (JPEG, PNG, TIFF, BMP, GIF, WebP) is the body.

        With `Accept: image/png` its mask, 0 and 255, at the photograph's size; otherwise JSON.
        `threshold` takes the place of the one chosen on validation, `probabilities=1` adds those,
        `preview=256` a small JPEG, 256 pixels long.
        """
        chosen = segmenter.settings.threshold if threshold is None else threshold
        mask = "image/png" in request.headers.get("accept", "")
        render = as_mask if mask else AsJson(chosen, probabilities, preview)
        async with bodies.received(request) as content:
            submit = request.app.state.batches.submit  # which looks through the file's parts
            future = await run_in_threadpool(submit, content, threshold, render)
            body, kind = await _while_connected(request, asyncio.wrap_future(future))
        return Response(body, media_type=kind)

    @app.get("/v1/model")
    async def model() -> Model:
        """What the model is, and what was chosen for it on validation."""
        return Model(
            header=segmenter.header,
            settings=segmenter.settings,
            most_bytes=limits.body_bytes,
            most_pixels=MOST_PIXELS,
            samples=len(SEEDS),
        )

    @app.get("/health")
    async def health(request: Request) -> Health:
        """That the server is there, and how many photographs wait."""
        return Health(status="ok", waiting=request.app.state.batches.waiting)

    @app.get("/samples/{number}.jpg", include_in_schema=False)
    async def drawing(number: int) -> Response:
        if not 0 <= number < len(SEEDS):
            raise HTTPException(404)
        return Response(await run_in_threadpool(sample, number), media_type="image/jpeg")

    for address, (name, kind) in FILES.items():
        _serve_file(app, address, PAGE / name, kind)
    return app


def _serve_file(app: FastAPI, address: str, path: Path, kind: str) -> None:
    content = path.read_bytes()

    @app.get(address, include_in_schema=False)
    async def file() -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})


async def _while_connected(request: Request, answer: asyncio.Future[Rendered]) -> Rendered:
    """The answer, which is cancelled when nobody waits for it any more."""
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        either: set[asyncio.Future[Any]] = {answer, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientDisconnect
        return answer.result()
    finally:
        gone.cancel()
        answer.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answer_errors(app: FastAPI) -> None:
    """Whatever is refused is JSON of one line."""

    def problem(status: int, line: object, headers: dict[str, str] | None = None) -> JSONResponse:
        return JSONResponse({"error": one_line(line)}, status, headers)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        again = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else None
        return problem(error.status, error.line, again)

    @app.exception_handler(ImageError)
    async def image(request: Request, error: ImageError) -> JSONResponse:
        return problem(
            422, f"{error}; expected a whole JPEG, PNG, TIFF, BMP, GIF or WebP; send that"
        )

    @app.exception_handler(RequestValidationError)
    async def query(request: Request, error: RequestValidationError) -> JSONResponse:
        first: dict[str, Any] = error.errors()[0]
        name = first["loc"][-1]
        said = first["msg"].removeprefix("Input ")
        return problem(400, f"{name}: found {first.get('input')!r}; {said}")

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        where = f"{request.method} {request.url.path}"
        return problem(
            error.status_code,
            f"{where}: {error.detail.lower()}; the addresses are at /docs",
            dict(error.headers or {}),
        )

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # which nobody gets

    @app.exception_handler(MemoryError)
    async def memory(request: Request, error: MemoryError) -> JSONResponse:
        return problem(
            503, "no memory is left for this photograph; send it later", {"Retry-After": "5"}
        )
