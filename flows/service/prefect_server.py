"""Prefect's server without the pages that describe its interface to anyone: `/docs` and their like know no login."""

from fastapi import FastAPI
from prefect.server.api.server import create_app
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.many_objects import collect_less

DESCRIPTIONS = ("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")


class WithoutDescriptions:
    """Answers 404 where FastAPI would describe the interface; everything else goes to the application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].rstrip("/").endswith(DESCRIPTIONS):
            await PlainTextResponse("not here", 404)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def create(ephemeral: bool = False) -> FastAPI:
    """The application that `uvicorn --factory flows.service.prefect_server:create` serves."""
    collect_less()
    app = create_app(final=True, ephemeral=ephemeral)
    app.add_middleware(WithoutDescriptions)
    return app


def create_for_a_run() -> FastAPI:
    """The same for a single run: without the schedules and the clearing up that a lasting server does beside it."""
    return create(ephemeral=True)
