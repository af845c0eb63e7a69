"""The server: a page and what it asks for, for one person on this computer and nobody else.

It listens on 127.0.0.1 only.  Every request must carry the token in its path, name this very
address as its host (so no name that is made to point here will do) and, where the browser says so,
come from this page (so no other page can send one).  The address that a browser is started with
opens once and leads to the lasting one, because anybody on a computer can read command lines.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import socket
import tempfile
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.log import app_log
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

from ..detect import Detector
from ..errors import InputError
from ..report.page import style
from ..report.phrases import escaped
from .judge import Judge, Settings
from .uploads import Event, TooLarge, Upload, Uploads

HOST = "127.0.0.1"
#: Nothing is asked of anybody else, and no script but ours runs.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TOKEN_BYTES = 32
_MOST_NAME = 255
_MOST_DIGITS = 20


class Server:
    """Serves the page.

    Args:
        detector: judges; is closed by whoever made it.
        settings: how, beside it.
        most_bytes: of all files that are here at once.
        port: to listen on; 0 takes a free one.

    Attributes:
        address: of the page, with its token: for who is to see it, and nobody else.
        opening: an address that leads there once, for a command line.

    Raises:
        InputError: the port cannot be had.
    """

    def __init__(
        self, detector: Detector, settings: Settings, most_bytes: int, port: int = 0
    ) -> None:
        try:
            self._socket = socket.create_server((HOST, port))
        except OSError as error:
            raise InputError(f"port {port}: {error.strerror or error}: name another one") from None
        self.origin = f"http://{HOST}:{self._socket.getsockname()[1]}"
        self.token = secrets.token_urlsafe(_TOKEN_BYTES)
        self.address = f"{self.origin}/{self.token}/"
        self._once: str | None = secrets.token_urlsafe(_TOKEN_BYTES)
        self.opening = f"{self.origin}/{self._once}/"
        self.uploads = Uploads(most_bytes)
        self.running: dict[int, Upload] = {}
        self._given = detector, settings
        self.judge: Judge

    def opens(self, key: str) -> bool:
        """Whether this is the key that leads to the page once; then it is used up."""
        if self._once is None or not _same(key, self._once):
            return False
        self._once = None
        return True

    async def serve(self, until: asyncio.Event) -> None:
        """Serve until somebody sets the event; then whatever was going on is over."""
        self.judge = Judge(*self._given)
        page = r"/[^/]*"
        server = HTTPServer(
            Application(
                [
                    (f"{page}/", _Page, {"server": self}),
                    (f"{page}/(page\\.css|page\\.js)", _Asset, {"server": self}),
                    (f"{page}/files", _File, {"server": self}),
                    (f"{page}/files/([0-9]{{1,18}})/stop", _Stop, {"server": self}),
                ],
                default_handler_class=_Guarded,
                default_handler_args={"server": self},
                log_function=lambda handler: None,  # addresses have the token in them
            ),
            max_body_size=self.uploads.most_bytes,
        )
        self._socket.setblocking(False)
        server.add_socket(self._socket)
        try:
            await until.wait()
        finally:
            server.stop()
            for upload in list(self.running.values()):
                upload.stop()
            await server.close_all_connections()
            self.judge.close()


def _same(given: str, expected: str) -> bool:
    """Compared in a time that tells nothing."""
    return hmac.compare_digest(given.encode(), expected.encode())


class _Guarded(RequestHandler):
    """Every answer: nobody but the page of this server gets one, and none is kept."""

    SUPPORTED_METHODS = ("GET", "POST")

    def initialize(self, server: Server) -> None:
        self.server = server

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        self.check_who_asks()
        if not _same(self.key, self.server.token):
            raise HTTPError(403)
        if type(self) is _Guarded:
            raise HTTPError(404)

    @property
    def key(self) -> str:
        """The first part of the path: the token, if all is well."""
        return [*self.request.path.split("/"), ""][1]

    def check_who_asks(self) -> None:
        """``HTTPError`` unless it is this address, and no other page, that is asked from."""
        headers, origin = self.request.headers, self.server.origin
        of_ours = headers.get("Origin", origin if self.request.method == "GET" else "")
        site = headers.get("Sec-Fetch-Site", "none")
        if (
            headers.get_list("Host") != [origin.partition("//")[2]]
            or of_ours != origin
            or site not in ("none", "same-origin")
        ):
            raise HTTPError(403)

    def log_exception(self, *error: Any) -> None:
        """Without the address, which has the token in it, and so not as Tornado does."""
        if not isinstance(error[1], HTTPError):
            app_log.error("an answer failed", exc_info=error)

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(_ERRORS.get(status_code, self._reason))


_ERRORS = {
    403: "Not allowed: use the address that minimeso printed.",
    404: "There is nothing here.",
    413: "Larger than uploads may be: start minimeso gui with a larger --max-upload.",
}


class _Page(_Guarded):
    """The page itself, and the way to it by the key that opens it once."""

    def prepare(self) -> None:
        self.check_who_asks()
        if self.request.method == "GET" and self.server.opens(self.key):
            self.redirect(self.server.address)
            return
        super().prepare()

    def get(self) -> None:
        most = self.server.uploads.most_bytes
        text = _read("page.html").replace("{most}", str(most))
        self.finish(text.replace("{size}", escaped(_size(most))))


class _Asset(_Guarded):
    """Style and script."""

    def get(self, name: str) -> None:
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.finish((style() if kind == "text/css" else "") + _read(name))


@stream_request_body
class _File(_Guarded):
    """A file comes in, and what is said of it goes out, a line of JSON each time.

    The request lives as long as somebody wants to know: when the page is closed, the file is
    stopped and forgotten.
    """

    upload: Upload | None = None

    def prepare(self) -> None:
        super().prepare()
        if self.request.method != "POST":
            return
        name = self.get_query_argument("name", "") or "file"
        length = self.request.headers.get("Content-Length", "")
        try:
            # the first digits of what has too many for a number are too large as well
            self.server.uploads.check(int(length[:_MOST_DIGITS]) if length.isdecimal() else 0)
        except TooLarge:
            raise HTTPError(413) from None
        try:
            self.upload = self.server.uploads.open(name[:_MOST_NAME])
        except OSError as error:
            self._refuse(error)

    def data_received(self, chunk: bytes) -> None:
        try:
            if self.upload is not None:
                self.upload.write(chunk)
        except (TooLarge, OSError) as error:
            self._forget()
            self._refuse(error)

    def _refuse(self, error: TooLarge | OSError) -> None:
        self.set_status(507 if isinstance(error, OSError) else 413)
        if isinstance(error, OSError):
            place = tempfile.tempdir or "a temporary folder"
            self.finish(
                f"It cannot be kept in {place}: {error.strerror or error}: make room there, or "
                "start minimeso gui with another folder in TMPDIR."
            )
        else:
            self.finish(_ERRORS[413])

    async def post(self) -> None:
        try:
            if self.upload is not None:
                self.upload.whole()
        except OSError as error:
            self._forget()
            self._refuse(error)
        upload, self.upload = self.upload, None
        if upload is None:
            return
        self.server.running[upload.number] = upload
        self.set_header("Content-Type", "application/x-ndjson")
        try:
            self._running = upload
            await self._say({"number": upload.number})
            self.server.judge.submit(upload)
            async for event in upload.events():
                await self._say(event)
        except (StreamClosedError, asyncio.CancelledError):  # nobody listens, or the server ends
            upload.stop()
        finally:
            del self.server.running[upload.number]

    _running: Upload | None = None

    async def _say(self, event: Event) -> None:
        self.write(json.dumps(event) + "\n")
        await self.flush()

    def on_connection_close(self) -> None:
        self._forget()
        if self._running is not None:
            self._running.stop()

    def _forget(self) -> None:
        """What was sent so far is not wanted."""
        if self.upload is not None:
            self.upload.close()
            self.upload = None


class _Stop(_Guarded):
    """A file that is to be judged by what was seen of it."""

    def post(self, number: str) -> None:
        upload = self.server.running.get(int(number))
        if upload is None:
            raise HTTPError(404)
        upload.stop()
        self.set_status(204)


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _size(count: int) -> str:
    return f"{count / (1 << 30):.3g} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.3g} MiB"
