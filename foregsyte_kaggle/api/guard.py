"""Who may ask what, decided before a request is read: the host it names, where it comes from, and its token."""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LOOPBACK", "Guard"]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Guard:
    """Refuses what other web sites make a browser ask, and changes without the token.

    Parameters
    ----------
    hosts
        The names that a request may be addressed to. A page of another site that had its own name lead here
        (DNS rebinding) still names itself.
    any_address
        Whether it may also be addressed to any IP address, which no such page can use.
    token
        What changes need; without one there are none.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Collection[str], any_address: bool, token: str | None
    ) -> None:
        self.app = app
        self._hosts = frozenset(map(str.lower, hosts))
        self._any_address = any_address
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request, and pass all others on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        refused = self._refuse(scope["method"], dict(scope["headers"]))
        if refused is None:
            if scope["method"] == "HEAD":  # answered as GET; the server sends no body then
                scope = {**scope, "method": "GET"}
            await self.app(scope, receive, send_guarded)
            return
        status, detail = refused
        body = json.dumps({"detail": detail}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send_guarded({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _refuse(self, method: str, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        host = _host_name(headers.get(b"host", b"").decode("latin-1"))
        if not self._knows(host):
            return 421, (
                f"the host {host[:80]!r} is not served here; ask by {' or '.join(sorted(self._hosts))}, or name "
                "it in serve(hosts=[…])"
            )
        site, mode = headers.get(b"sec-fetch-site"), headers.get(b"sec-fetch-mode")
        if site == b"cross-site" and mode != b"navigate":
            return 403, "pages of other web sites may not read the ledger"
        if method in READING:
            return None
        if self._token is None:
            return (
                403,
                "this server is read-only; serve(token='…') lets who knows the token change jobs",
            )
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(
            given.strip(), self._token.encode()
        ):
            return (
                401,
                "changes need the header 'Authorization: Bearer TOKEN', with that of serve(token=…)",
            )
        return None

    def _knows(self, host: str) -> bool:
        return host in self._hosts or (self._any_address and _is_address(host))


def _host_name(header: str) -> str:
    """Return the name in a Host header, without its port and an address's brackets; as it is if it is none."""
    found = re.fullmatch(r"(?:\[([\da-f:.]+)\]|([^:@/\[\]]*))(?::\d*)?", header.lower())
    return (found[1] or found[2]) if found else header


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
