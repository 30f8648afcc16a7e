"""The server of the page, on loopback."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import Server
from tornado.ioloop import IOLoop

from pixtally.browse.opening import Target
from pixtally.errors import PixtallyError
from pixtally.viewer.collection_page import CollectionPage
from pixtally.viewer.histogram_page import HistogramPage
from pixtally.viewer.page import Page

DEFAULT_PORT = 5007


def make_page(doc: Document, target: Target) -> Page:
    """Fill a Bokeh document with the page that fits a target."""
    kind = CollectionPage if target.pictures is None else HistogramPage
    page = kind(doc, target, _query(doc))
    doc.on_session_destroyed(lambda context: page.close())
    return page


def _query(doc: Document) -> Mapping[str, str]:
    context = doc.session_context
    request: Any = getattr(context, "request", None)
    arguments = getattr(request, "arguments", None) or {}
    return {name: values[-1].decode("utf-8", "replace") for name, values in arguments.items()}


def start_server(target: Target, port: int | None = None, address: str = "127.0.0.1") -> Server:
    """Serve a target; the loop is not running yet.

    Parameters
    ----------
    target : Target
        What is looked at.
    port : int, optional
        By default 5007, or any free one where that is taken.
    address : str
        Loopback only, unless another is named.

    Raises
    ------
    PixtallyError
        When the port that was asked for is taken.
    """

    def fill(doc: Document) -> None:
        make_page(doc, target)

    def serve(on: int) -> Server:
        _try_out(address, on)
        server = Server(
            {"/": Application(FunctionHandler(fill))},
            port=on,
            address=address,
            io_loop=IOLoop.current(),
            session_token_expiration=3600,
        )
        # Only the page itself may talk to the server, not any page that is open elsewhere.
        origins = server._tornado.websocket_origins
        origins.clear()
        origins.update(f"{host}:{server.port}" for host in {"localhost", "127.0.0.1", address})
        return server

    threading.Thread(target=target.warm_up, daemon=True, name="pixtally-warm").start()
    try:
        return serve(DEFAULT_PORT if port is None else port)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise PixtallyError(
                f"cannot listen on {address}: {error.strerror}; leave --address out"
            ) from None
        if port is None:
            return serve(0)
        why = "in use" if error.errno == errno.EADDRINUSE else "not open to you"
        raise PixtallyError(
            f"port {port} is {why}; choose another (--port 0 takes any free one)"
        ) from None


def _try_out(address: str, port: int) -> None:
    """Raise the OSError of a port that is taken; tornado would leave a socket open."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    socket.create_server((address, port), family=family).close()


def url_of(server: Server) -> str:
    """Return the address of the page."""
    host = server.address or "127.0.0.1"
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  # nosec B104
    return f"http://{shown}:{server.port}/"


def serve_target(
    target: Target,
    port: int | None = None,
    address: str = "127.0.0.1",
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a target until it is interrupted.

    Parameters
    ----------
    target, port, address
        As in `start_server`.
    ready : callable, optional
        Told the address of the page.
    """
    server = start_server(target, port, address)
    server.start()
    if ready is not None:
        ready(url_of(server))
    try:
        server.io_loop.start()
    finally:
        server.stop()


class Explorer:
    """A page that is served from a thread of this process; a notebook shows it inline.

    Parameters
    ----------
    target : Target
        What is looked at.
    port : int
        0: any that is free.
    height : int
        Of the frame in a notebook, in pixels.
    """

    def __init__(self, target: Target, port: int = 0, height: int = 860) -> None:
        self.height = height
        self._failed: BaseException | None = None
        self._server: Server | None = None
        started = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(target, port, started), daemon=True, name="pixtally-explore"
        )
        self._thread.start()
        started.wait()
        if self._failed is not None:
            raise self._failed
        self.url = url_of(self._running)

    @property
    def _running(self) -> Server:
        if self._server is None:
            raise PixtallyError("this explorer is closed; call explore() again")
        return self._server

    def _run(self, target: Target, port: int, started: threading.Event) -> None:
        IOLoop(make_current=True)
        try:
            self._server = start_server(target, port)
            self._server.start()
        except BaseException as error:
            self._failed = error
            return
        finally:
            started.set()
        self._server.io_loop.start()

    def close(self) -> None:
        """Stop serving."""
        server, self._server = self._server, None
        if server is not None:
            server.io_loop.add_callback(server.stop)
            server.io_loop.add_callback(server.io_loop.stop)
            self._thread.join(5)

    def _repr_html_(self) -> str:
        self._running  # noqa: B018 - says that it is closed
        return (
            f'<iframe src="{self.url}" width="100%" height="{self.height}" '
            'style="border:0;border-radius:8px" title="pixtally explorer"></iframe>'
            f'<p><a href="{self.url}" target="_blank">open in a tab</a></p>'
        )

    def __repr__(self) -> str:
        return f"<pixtally explorer at {self.url}>"
