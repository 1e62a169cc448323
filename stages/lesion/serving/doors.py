"""Who may speak to the server, and what browsers are told of its answers."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("localhost",)

# Nothing is loaded from anywhere else, and no script or style runs but those of the page's files.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TOLD = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Doors:
    """Lets in who asks for this machine by a name of its own, and no page of another site.

    A page elsewhere can have its own name mean this machine (DNS rebinding), and so read what is
    answered: the name that a browser asked for is in `Host`. An address of numbers, and localhost,
    can only be meant; other names are let in where they are among `names`.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self.app = app
        self.names = {name.lower() for name in (*LOCAL, *names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in TOLD.items():
                    headers.setdefault(name, value)
            await send(message)

        if refused := self._refused(Headers(scope=scope)):
            await refused(scope, receive, told)
        else:
            await self.app(scope, receive, told)

    def _refused(self, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if not self._known(host):
            return _error(
                421,
                f"found the name {host!r}; expected localhost, an address of numbers, or a name "
                "that `python tools/app.py --name` was given",
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return _error(
                403, f"asked by a page of {origin!r}; expected the page of this server, or no page"
            )
        return None

    def _known(self, host: str) -> bool:
        name = host.rpartition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
        if name.lower() in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _error(status: int, line: str) -> JSONResponse:
    return JSONResponse({"error": line}, status)
