"""The web application: the API, the page, and the gate before both."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import RedirectResponse, Response

from chat.access import Access
from chat.book import open_book
from chat.gateway import routes
from chat.registry import Registry
from chat.settings import ChatSettings
from common.language import language


def make_app(settings: ChatSettings, registry: Registry) -> FastAPI:
    """The application over a registry. Raises ValueError or OSError for an index that is broken."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with registry.running():
            yield

    from chat.page import build  # Gradio takes seconds to import
    from chat.page.context import Page

    app = FastAPI(title="chat", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(routes(registry))

    @app.get("/")
    async def home() -> RedirectResponse:
        return RedirectResponse(f"/{language()}")

    @app.get("/favicon.ico")
    async def icon() -> Response:
        return Response(status_code=204)  # none; browsers ask for it

    book = open_book(settings.index, settings.passages, settings.passage_tokens)
    app = build.both(app, Page(registry, settings, book, language()))
    app.add_middleware(Access, settings=settings)
    return app
