"""The server of ``minimeso gui``: who is let in, what may come, what goes out, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from support.detectors import constant_detector, saved
from support.gui import SlowDetector, clip, png, served, wait_for

pytest.importorskip("tornado", reason="the extra gui is not installed")

from tornado.iostream import StreamClosedError

from minimeso import InputError
from minimeso.cli import main
from minimeso.gui import require_packages
from minimeso.gui.judge import Settings
from minimeso.gui.server import Server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served() as found:
        yield found


class Printed(NamedTuple):
    """What the address says that the command prints."""

    origin: str
    token: str


def ask(
    server: Server | Printed,
    path: str,
    method: str = "GET",
    body: Any = None,
    **headers: str | None,
) -> HTTPResponse:
    """An answer to what a page might send; a header that is None is left out."""
    host = server.origin.partition("//")[2]
    given = {
        "connection": "close",
        "host": host,
        "origin": server.origin if method == "POST" else None,
        **headers,
    }
    chunked = body is not None and not isinstance(body, bytes)
    connection = HTTPConnection(host, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name.replace("_", "-"), value)
        if body is not None and "content_length" not in headers:
            if chunked:
                connection.putheader("Transfer-Encoding", "chunked")
            else:
                connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body, encode_chunked=chunked)
        return connection.getresponse()
    except BaseException:
        connection.close()
        raise


def events(answer: HTTPResponse) -> list[dict[str, Any]]:
    assert answer.status == 200
    return [json.loads(line) for line in answer]


def judged(server: Server, data: Any, name: str = "a.png") -> list[dict[str, Any]]:
    return events(ask(server, f"/{server.token}/files?name={quote(name)}", "POST", data))


# --- who is let in -----------------------------------------------------------------------


def test_the_page_and_what_it_needs(server: Server) -> None:
    for name, kind in (("", "text/html"), ("page.css", "text/css"), ("page.js", "text/javascript")):
        answer = ask(server, f"/{server.token}/{name}")
        assert answer.status == 200 and answer.headers["Content-Type"].startswith(kind)
        assert b"{" not in answer.read() or name
    assert ask(server, f"/{server.token}/else").status == 404
    assert ask(server, f"/{server.token}/files").status == 405
    assert ask(server, f"/{server.token}/", "DELETE").status == 405


STRANGERS: list[dict[str, str | None]] = [
    {"host": "localhost:{port}"}, {"host": "127.0.0.1"}, {"host": "evil.example:{port}"},
    {"host": "127.0.0.1:1"}, {"origin": "http://evil.example"}, {"origin": "null"},
    {"origin": "http://localhost:{port}"}, {"origin": "https://127.0.0.1:{port}"},
    {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"},
]  # fmt: skip


@pytest.mark.parametrize("headers", STRANGERS, ids=str)
def test_strangers_get_nothing(server: Server, headers: dict[str, str]) -> None:
    port = server.origin.rpartition(":")[2]
    given = {name: value.format(port=port) for name, value in headers.items()}
    for place in ("", "page.js", "files", "files/1/stop", "else"):
        method = "POST" if place.startswith("files") else "GET"
        answer = ask(server, f"/{server.token}/{place}", method, b"x" * 99, **given)
        assert answer.status == 403 and answer.read().startswith(b"Not allowed")


@pytest.mark.parametrize("token", ["", "x", "{token}x", "..", "%2e", "{token}%00", "favicon.ico"])
def test_without_the_token_there_is_nothing(server: Server, token: str) -> None:
    for place in ("", "/", "/page.css", "/files", "/files/1/stop"):
        path = "/" + token.format(token=server.token) + place
        for method in ("GET", "POST"):
            assert ask(server, path, method, b"").status in (403, 405)


def test_who_sends_says_where_from(server: Server) -> None:
    path = f"/{server.token}/files?name=a.png"
    assert ask(server, path, "POST", png(), origin=None).status == 403


def test_every_answer_is_guarded(server: Server) -> None:
    for path in (f"/{server.token}/", f"/{server.token}/page.js", "/x/", f"/{server.token}/else"):
        headers = ask(server, path).headers
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store" and "Server" not in headers
        assert not any(name.startswith("Access-Control") for name in headers)


def test_the_opening_address_leads_there_once(server: Server) -> None:
    path = server.opening.removeprefix(server.origin)
    assert ask(server, path, host="evil.example").status == 403
    answer = ask(server, path)
    assert answer.status == 302 and answer.headers["Location"] == server.address
    assert ask(server, path).status == 403


def test_it_listens_on_this_computer_only(server: Server) -> None:
    port = int(server.origin.rpartition(":")[2])
    socket.create_connection(("127.0.0.1", port)).close()
    for host in ("127.0.0.2", "::1", socket.gethostname()):
        with pytest.raises(OSError), socket.create_connection((host, port), timeout=5) as found:
            assert found.getsockname()[0] == "127.0.0.1"  # the name of this computer may mean it
            raise OSError


# --- what may come, and what comes back --------------------------------------------------


def test_a_picture(server: Server) -> None:
    first, *_, last = judged(server, png(), "<b>é.png")
    assert list(first) == ["number"]
    assert (last["kind"], last["said"], last["score"]) == ("fake", "fake", "95.3\xa0%")
    assert f'id="file-{first["number"]}"' in last["document"]
    assert "&lt;b&gt;é.png</bdi>" in last["document"] and "<b>é" not in last["document"]
    assert "SHA-256" in last["document"]


def test_a_clip_grows(server: Server) -> None:
    with served(SlowDetector(0.1)) as slow:
        found = judged(slow, clip(75), "a.mp4")
    growing = [event for event in found if event.get("html")]
    assert len(growing) >= 2
    shares = [event["done"] for event in growing]
    assert shares == sorted(shares) and 0 < shares[-1] <= 1
    assert "So far: " in growing[-1]["html"] and 'class="timeline"' in growing[-1]["html"]
    assert "data:image/jpeg" in growing[-1]["html"]
    assert found[-1]["kind"] == "fake" and "75 frames read" in found[-1]["document"]


@pytest.mark.parametrize("data", [b"no picture at all", b"", png()[:60], clip(9)[:300]])
def test_a_damaged_file(server: Server, data: bytes) -> None:
    last = judged(server, data, "broken.mp4")[-1]
    assert last["kind"] == "unreadable" and "broken.mp4" in last["document"]


def test_what_nobody_expected_ends_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError("odd")

    with monkeypatch.context() as patch:
        patch.setattr(SlowDetector, "check", fail)
        assert judged(server, png())[-1] == {"error": "ZeroDivisionError: odd"}
    assert judged(server, png())[-1]["kind"] == "fake"


def test_a_picture_that_needs_too_much_memory(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(SlowDetector, "check", fail)
    assert judged(server, png())[-1] == {"error": "needs more memory than there is: scale it down"}


def test_no_complaint_names_the_token() -> None:
    """In a process of its own, where what is logged goes to stderr."""
    code = (
        "import sys; sys.path[:0] = ['tests', 'tests/gui']\n"
        "from support.gui import SlowDetector, png, served\n"
        "from test_server import ask\n"
        "with served() as server:\n"
        "    files = f'/{server.token}/files?name='\n"
        "    print(ask(server, files + '%ff', 'POST', png()).status)\n"
        "    print(ask(server, files, 'POST', b'', content_length='9' * 5000).status)\n"
        "    server.judge.submit = None\n"
        "    print(ask(server, files, 'POST', png()).status)\n"
        "    print(server.token)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    *statuses, token = done.stdout.split()
    assert statuses == ["400", "413", "200"], done.stderr
    assert token not in done.stderr and "TypeError" in done.stderr


def test_uploads_have_a_limit() -> None:
    with served(most_bytes=5000) as small:
        path = f"/{small.token}/files?name=a"
        answer = ask(small, path, "POST", b"x" * 5001)
        assert answer.status == 413 and b"--max-upload" in answer.read()
        answer = ask(small, path, "POST", (b"x" * 1000 for _ in range(5)))
        assert events(answer)[-1]["kind"] == "unreadable"
        assert ask(small, path, "POST", b"", content_length="99999999999999").status == 413
        assert judged(small, b"x" * 5000)[-1]["kind"] == "unreadable"  # the room is free again
        with small.uploads._lock:
            assert small.uploads._held == 0


def test_no_room_for_an_upload_is_said(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minimeso.gui.uploads.tempfile.TemporaryFile", full)
    nowhere = SimpleNamespace(tempdir=None, gettempdir=full)  # as where no folder has room
    monkeypatch.setattr("minimeso.gui.server.tempfile", nowhere)
    answer = ask(server, f"/{server.token}/files", "POST", png())
    assert answer.status == 507
    text = answer.read().decode()
    assert "No space left on device" in text and "TMPDIR" in text
    assert server.token not in "".join(capfd.readouterr())


def test_no_room_for_the_last_of_an_upload_is_said(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small file lies in memory until it is whole."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no disk that is always full")
    monkeypatch.setattr("minimeso.gui.uploads.tempfile.TemporaryFile", lambda: full.open("w+b"))
    for size in (100, 100_000):
        answer = ask(server, f"/{server.token}/files", "POST", b"x" * size)
        assert answer.status == 507 and b"No space left on device" in answer.read()
    assert server.uploads._held == 0


def test_more_than_was_promised_is_refused() -> None:
    with (
        served(most_bytes=5000) as small,
        pytest.raises((ConnectionError, OSError, AssertionError)),
    ):
        answer = ask(small, f"/{small.token}/files", "POST", (b"x" * 4000 for _ in range(50)))
        assert answer.status == 200
    assert small.uploads._held == 0


def test_a_page_that_is_closed_while_it_sends(server: Server) -> None:
    host, _, port = server.origin.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        head = (
            f"POST /{server.token}/files?name=a HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Origin: {server.origin}\r\nContent-Length: 100000\r\n\r\n"
        )
        connection.sendall(head.encode() + b"x" * 9000)
        wait_for(lambda: server.uploads._held == 9000)
    wait_for(lambda: server.uploads._held == 0)


def test_a_page_that_is_closed_while_its_file_is_judged() -> None:
    detector = SlowDetector(0.2)
    with served(detector) as slow:
        answer = ask(slow, f"/{slow.token}/files?name=a.mp4", "POST", clip(250))
        assert json.loads(answer.readline()) == {"number": 1}
        answer.readline()
        assert answer.fp is not None
        answer.close()
        wait_for(lambda: detector.ended == 1, 5)  # 8 s, were it looked at to its end
        wait_for(lambda: not slow.running and slow.uploads._held == 0)


def test_stopped_in_the_middle() -> None:
    with served(SlowDetector(0.2)) as slow:
        answer = ask(slow, f"/{slow.token}/files?name=a.mp4", "POST", clip(250))
        found = [json.loads(answer.readline()) for _ in range(4)]
        assert found[-1]["html"]
        stop = f"/{slow.token}/files/{found[0]['number']}/stop"
        assert ask(slow, stop, "POST", b"", origin="null").status == 403
        assert ask(slow, stop, "POST", b"").status == 204
        last = [json.loads(line) for line in answer][-1]
        assert "It was not looked at to its end" in last["document"]
        assert ask(slow, stop, "POST", b"").status == 404


def test_two_pages_wait_for_each_other() -> None:
    with served(SlowDetector(0.1)) as slow:
        path = f"/{slow.token}/files?name=a.mp4"
        first = ask(slow, path, "POST", clip(50))
        first.readline(), first.readline()
        second = events(ask(slow, path, "POST", png()))
        assert second[1] == {"waiting": True} and second[-1]["kind"] == "fake"
        assert [json.loads(line) for line in first][-1]["kind"] == "fake"


def test_what_waits_is_stopped_at_once_and_leaves_no_room_taken() -> None:
    with served(SlowDetector(0.2)) as slow:
        path = f"/{slow.token}/files?name=a.mp4"
        first = ask(slow, path, "POST", clip(250))
        first.readline(), first.readline()
        held = slow.uploads._held
        for closed in (False, True):  # stopped by its button; closed with its page
            second = ask(slow, path, "POST", png())
            number = json.loads(second.readline())["number"]
            assert json.loads(second.readline()) == {"waiting": True}
            assert slow.uploads._held > held
            if closed:
                assert second.fp is not None
                second.close()
                wait_for(lambda: slow.uploads._held == held and len(slow.running) == 1)
            else:
                assert ask(slow, f"/{slow.token}/files/{number}/stop", "POST", b"").status == 204
                assert "stopped before" in json.loads(second.readline())["error"]
                assert slow.uploads._held == held
        assert json.loads(first.readline())["html"]  # the other one goes on
        first.close()


def test_a_page_that_is_closed_before_it_hears_the_number(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def closed(*_: object) -> None:
        raise StreamClosedError

    monkeypatch.setattr("minimeso.gui.server._File._say", closed)
    ask(server, f"/{server.token}/files", "POST", png()).read()
    assert server.uploads._held == 0 and not server.running


def test_ended_while_a_file_is_judged_and_another_waits() -> None:
    with served(SlowDetector(0.2)) as slow:
        path = f"/{slow.token}/files?name=a.mp4"
        answers = [ask(slow, path, "POST", clip(250)) for _ in range(2)]
        for answer in answers:
            assert b"number" in answer.readline()
    wait_for(lambda: slow.uploads._held == 0, 5)


# --- the command -------------------------------------------------------------------------


def started(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    model = saved(constant_detector(3.0), tmp_path)
    (tmp_path / "tmp").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "minimeso", "gui", "--model", model, "--crops", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), **environment},
    )  # fmt: skip


def printed(running: subprocess.Popen[str]) -> Printed:
    assert running.stdout is not None
    origin, _, token = running.stdout.readline().strip().rstrip("/").rpartition("/")
    return Printed(origin, token)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    running = started(tmp_path, "--no-browser")
    found = printed(running)
    answer = ask(found, f"/{found.token}/files", "POST", clip(400))
    assert answer.readline() and answer.readline()
    running.send_signal(number)
    _, errors = running.communicate(timeout=20)
    assert running.returncode == 0
    assert errors == "minimeso: drop pictures or clips on the page; Ctrl-C ends it\n"
    assert not list((tmp_path / "tmp").iterdir())
    answer.close()


@pytest.mark.skipif(os.name != "posix", reason="a script")
def test_the_browser_opens_and_its_command_line_tells_nobody_the_token(tmp_path: Path) -> None:
    script = tmp_path / "browser"
    part, opened = tmp_path / "part", tmp_path / "opened"
    script.write_text(f'#!/bin/sh\nprintf %s "$1" > {part}; mv {part} {opened}\n')
    script.chmod(0o700)
    running = started(tmp_path, BROWSER=f"{script} %s")
    try:
        found = printed(running)
        wait_for(opened.exists)
        told = opened.read_text()
        assert told.startswith(found.origin) and found.token not in told
        answer = ask(found, told.removeprefix(found.origin))
        assert answer.headers["Location"] == f"{found.origin}/{found.token}/"
        answer.read()
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=20)


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = saved(constant_detector(3.0), tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["gui", "--no-browser", "--port", port, "--model", model, "--crops"]) == 2
    assert "name another one" in capsys.readouterr().err


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"minimeso\[gui\]"):
        require_packages()


def test_settings_that_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gui", "--fps", "2", "--every-frame"]) == 2
    assert Settings().fps is None
    assert "exclude" in capsys.readouterr().err
