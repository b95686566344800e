"""``serve``: a server in a thread of this kernel, which alone can open the ledger."""

from __future__ import annotations

import atexit
import contextlib
import ipaddress
import re
import socket
import threading
import time
import weakref
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from foregsyte_kaggle.api.guard import LOOPBACK
from foregsyte_kaggle.errors import InvalidArgumentError, MissingExtraError, WorkspaceError
from foregsyte_kaggle.notices import say
from foregsyte_kaggle.workspace import Workspace, active_workspace

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["Server", "serve"]

START_SECONDS = 20.0
STOP_SECONDS = 5.0
#: So many requests are worked on at once: a crowd waits, and not the run beside it.
THREADS = 4
TOKEN_CHARACTERS = 8


class Server:
    """A running server; made by ``serve``.

    Attributes
    ----------
    url : str
        Where it answers: the job table for a browser; ``/openapi.json`` tells the rest.
    workspace : Workspace
        What it shows.
    """

    def __init__(self, workspace: Workspace, listening: socket.socket, app: FastAPI) -> None:
        import uvicorn

        host, port = listening.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self.workspace = workspace
        self._socket = listening
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="foregsyte-serve", daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive() and not self._server.should_exit

    def stop(self) -> None:
        """End it; requests under way are answered. The second call does nothing."""
        self._server.should_exit = True
        if self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)
        self._socket.close()
        atexit.unregister(self.stop)

    def wait(self) -> None:
        """Wait until it is stopped."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def start(self) -> None:
        """Begin to answer.

        Raises
        ------
        WorkspaceError
            If it cannot.
        """
        self._thread.start()
        until = time.monotonic() + START_SECONDS
        while not self._server.started and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.005)
        if not self._server.started:
            self.stop()
            raise WorkspaceError(f"the server at {self.url} did not start: {self._error}")

    def _work(self) -> None:
        import asyncio

        # A loop of its own, which that of Jupyter is not.
        try:
            with asyncio.Runner() as runner:
                runner.run(self._answer())
        except BaseException as error:  # noqa: BLE001 - told by start, or at its end
            self._error = error
            if self._server.started:
                say(f"the server at {self.url} ended with {type(error).__name__}: {error}")

    async def _answer(self) -> None:
        from anyio.to_thread import current_default_thread_limiter

        current_default_thread_limiter().total_tokens = THREADS
        await self._server.serve(sockets=[self._socket])

    def __repr__(self) -> str:
        state = "" if self.is_running else " (stopped)"
        return f"<Server {self.url} of {self.workspace.directory}{state}>"


_servers: weakref.WeakKeyDictionary[Workspace, tuple[Server, tuple[Any, ...]]]
_servers = weakref.WeakKeyDictionary()
_lock = threading.RLock()


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    background: bool = True,
    hosts: Sequence[str] = (),
    workspace: Workspace | None = None,
) -> Server:
    """Answer other programs and browsers about the ledger over HTTP, from a thread of this kernel.

    ``/`` is the job table for a browser, and ``/openapi.json`` says the rest: jobs by filter and page, one with its
    attempts and result, counts, health; with a token also to submit and to retry. It ends with the kernel, and
    when the workspace is closed.

    Parameters
    ----------
    host
        The address to listen at; only this machine reaches the default one.
    port
        The port; 0 takes a free one.
    token
        Lets who sends it (``Authorization: Bearer …``) submit and retry jobs; without one all is read-only.
        At least 8 characters, such as ``secrets.token_urlsafe()`` gives. Reading needs none.
    background
        Whether to return at once; else it answers until the notebook's Stop.
    hosts
        Further names that it is reached by, as behind a proxy; requests that name others are refused.
    workspace
        The active one by default.

    Returns
    -------
    Server
        With its ``url``, and ``stop()``. A second call for a workspace returns the same one.

    Raises
    ------
    MissingExtraError
        If FastAPI or uvicorn is not installed.
    InvalidArgumentError
        If an argument is not of the expected form, or the address cannot be listened at.
    WorkspaceError
        If no workspace is open, or it is served already in another way.

    Examples
    --------
    >>> serve()
    """
    chosen = active_workspace(workspace)
    _check(host, port, token, background, hosts)
    missing = [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"serve() needs {' and '.join(missing)}: pip install 'foregsyte-kaggle[api]'"
        )
    server = _find_or_start(chosen, host, port, token, tuple(hosts))
    if not background:
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()
        server.stop()
    return server


def _find_or_start(
    workspace: Workspace, host: str, port: int, token: str | None, hosts: tuple[str, ...]
) -> Server:
    asked = (host, port, token, hosts)
    with _lock:
        found, before = _servers.get(workspace, (None, asked))
        if found is not None and found.is_running:
            if before != asked:
                raise WorkspaceError(
                    f"{workspace.directory} is served at {found.url} already, with other arguments; "
                    "stop that first: serve() with the same ones returns it, and it has stop()"
                )
            say(f"the jobs of {workspace.directory} are at {found.url} already")
            return found
        server = _start(workspace, host, port, token, hosts)
        _servers[workspace] = server, asked
    atexit.register(server.stop)
    workspace.before_close(server.stop)
    changes = "who has the token can change jobs" if token else "read-only"
    say(f"the jobs of {workspace.directory} are at {server.url} ({changes})")
    if not _is_loopback(host):
        say(f"whoever reaches {host} can read them; serve() without host= is for this machine only")
    return server


def _start(
    workspace: Workspace, host: str, port: int, token: str | None, hosts: tuple[str, ...]
) -> Server:
    from foregsyte_kaggle.api.main import create_app

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        raise InvalidArgumentError(
            f"host={host!r:.80}, port={port} cannot be listened at: {error}; port=0 takes a free one"
        ) from error
    names = {*LOOPBACK, host, *hosts} | (
        {socket.gethostname()} if not _is_loopback(host) else set()
    )
    try:
        app = create_app(workspace, token=token, hosts=names, any_address=not _is_loopback(host))
        server = Server(workspace, listening, app)
        server.start()
    except BaseException:
        listening.close()
        raise
    return server


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check(host: object, port: object, token: object, background: object, hosts: object) -> None:
    if not isinstance(host, str) or not host or not host.isascii() or not host.isprintable():
        raise InvalidArgumentError(
            f"host={host!r:.80}; expected an address of this machine, such as '127.0.0.1' or '0.0.0.0'"
        )
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port < 2**16:
        raise InvalidArgumentError(
            f"port={port!r:.80}; expected a whole number from 0 to 65535, where 0 takes a free one"
        )
    if not isinstance(background, bool):
        raise InvalidArgumentError(f"background={background!r:.80}; expected True or False")
    if token is not None and not _is_token(token):
        raise InvalidArgumentError(
            f"token: expected at least {TOKEN_CHARACTERS} letters, digits or signs without a space, such as "
            "secrets.token_urlsafe() gives, or None"
        )
    is_list = isinstance(hosts, Sequence) and not isinstance(hosts, (str, bytes))
    if not is_list or not all(map(_is_name, hosts)):  # type: ignore[call-overload]
        raise InvalidArgumentError(
            f"hosts={hosts!r:.80}; expected a list of names without a port, such as ['jobs.example.org']"
        )


def _is_name(host: object) -> bool:
    """Return whether it is a name, or an address, that a Host header can have before the port."""
    return isinstance(host, str) and bool(
        re.fullmatch(r"[\w.-]+|[\da-fA-F:.]*:[\da-fA-F:.]*:[\da-fA-F:.]*", host)
    )


def _is_token(token: object) -> bool:
    return (
        isinstance(token, str)
        and len(token) >= TOKEN_CHARACTERS
        and all("!" <= one <= "~" for one in token)
    )
