"""Downloads from a real server on loopback that behaves in every way it should not."""

from __future__ import annotations

import gzip
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from domain.errors import FirstlightError, PermanentError, RetryableError
from domain.setting_groups import FetchSettings
from workers.fetch import MediaFetcher
from workers.uploads import Uploads

if TYPE_CHECKING:
    from tests.fixtures.media_server import MediaServer, Request

CERTIFICATE = Path(__file__).parents[1] / "fixtures" / "pictures-internal.pem"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(300)

Make = Callable[..., MediaFetcher]


class Names:
    """A name server made in the test: each look-up takes the next answer of its name."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = self.answers[host]
        return found.pop(0) if len(found) > 1 else found[0]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[MediaFetcher] = []

    def build(*, resolve: Any = None, private: bool = True, **fields: Any) -> MediaFetcher:
        if private:
            fields.setdefault("allow_private", ["127.0.0.1"])
        settings = FetchSettings(**{"timeout_s": 5.0, **fields})
        made.append(MediaFetcher(settings, tmp_path / "uploads", resolve=resolve))
        return made[-1]

    yield build
    for fetcher in made:
        fetcher.close()


def one(fetcher: MediaFetcher, reference: str, kind: str = "image") -> bytes:
    """The content, or the failure raised."""
    (outcome,) = fetcher.fetch_all([(kind, reference)])
    if isinstance(outcome, FirstlightError):
        raise outcome
    return outcome


def raw(*parts: bytes, pause_s: float = 0.0) -> Callable[[socket.socket, Request], None]:
    """A handler that sends these bytes, then closes."""

    def handler(connection: socket.socket, request: Request) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause_s)
        connection.shutdown(socket.SHUT_RDWR)

    return handler


def test_outcomes_come_in_order_and_each_for_itself(make: Make, media_server: MediaServer) -> None:
    good = media_server.serve("/a.png", PNG)
    clip = media_server.serve("/b.wav", WAV)
    gone = media_server.serve("/gone", b"", status="404 Not Found")
    found = make().fetch_all([("image", good), ("image", gone), ("audio", clip), ("image", good)])
    assert found[0] == PNG
    assert isinstance(found[1], PermanentError)
    assert found[2] == WAV
    assert found[3] == PNG
    assert media_server.seen["/a.png"] == 1


def test_a_request_is_plain(make: Make, media_server: MediaServer, monkeypatch: Any) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    fetcher = make()
    url = media_server.serve("/a.png", PNG, Set_Cookie="session=1")
    assert one(fetcher, url) == PNG
    assert one(fetcher, url) == PNG
    for request in media_server.requests:
        assert request.headers["host"] == f"127.0.0.1:{media_server.port}"
        assert request.headers["accept-encoding"] == "identity"
        assert "cookie" not in request.headers
        assert "authorization" not in request.headers


@pytest.mark.parametrize(
    ("path", "body", "kind", "says"),
    [
        ("/photo.jpg", b"<!DOCTYPE html><html>", "image", "is an HTML page, not a picture"),
        ("/empty.png", b"", "image", "is empty, not a picture"),
        ("/sound.mp3", PNG, "audio", "is a PNG picture, not a recording"),
        ("/photo.png", WAV, "image", "is a WAV recording, not a picture"),
        ("/tune.ogg", b"Not found", "audio", "is plain text, not a recording"),
    ],
)
def test_the_type_is_decided_by_content_whatever_name_and_header_say(
    make: Make, media_server: MediaServer, path: str, body: bytes, kind: str, says: str
) -> None:
    url = media_server.serve(path, body, Content_Type="image/png")
    with pytest.raises(PermanentError, match=says):
        one(make(), url, kind)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("400 Bad Request", PermanentError),
        ("401 Unauthorized", PermanentError),
        ("403 Forbidden", PermanentError),
        ("404 Not Found", PermanentError),
        ("410 Gone", PermanentError),
        ("304 Not Modified", PermanentError),
        ("204 No Content", PermanentError),
        ("408 Request Timeout", RetryableError),
        ("429 Too Many Requests", RetryableError),
        ("500 Internal Server Error", RetryableError),
        ("503 Service Unavailable", RetryableError),
        ("599 Odd", RetryableError),
    ],
)
def test_a_status_decides_whether_it_is_worth_trying_again(
    make: Make, media_server: MediaServer, status: str, error: type[FirstlightError]
) -> None:
    url = media_server.serve("/x.png", PNG if status[0] in "45" else b"", status=status)
    with pytest.raises(error, match=f"127.0.0.1 answered {status[:3]}"):
        one(make(), url)


# --- addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0"],
)
def test_loopback_is_refused_however_it_is_spelled(
    make: Make, media_server: MediaServer, host: str
) -> None:
    media_server.serve("/a.png", PNG)
    fetcher = make(private=False)
    with pytest.raises(PermanentError, match=r"resolves to .*, an? (loopback|unspecified) addr"):
        one(fetcher, media_server.url("/a.png", host))
    assert media_server.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1]:1/a.png",
        "http://[::ffff:127.0.0.1]:1/a.png",
        "http://[::ffff:7f00:1]/a.png",
        "http://[64:ff9b::7f00:1]/a.png",
        "http://10.0.0.1/a.png",
        "http://192.168.0.10/a.png",
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "http://[fd00:ec2::254]/",
        "http://100.64.3.2/",
        "http://224.0.0.1/",
    ],
)
def test_literal_addresses_that_lead_inside_are_refused(make: Make, url: str) -> None:
    async def as_written(host: str, port: int) -> Sequence[str]:
        return [host]

    fetcher = make(private=False, resolve=as_written)
    with pytest.raises(PermanentError, match="FIRSTLIGHT_FETCH_ALLOW_PRIVATE"):
        one(fetcher, url)


def test_a_name_that_resolves_to_a_private_address_is_refused_with_reason_and_remedy(
    make: Make,
) -> None:
    fetcher = make(resolve=Names(media_example=[["93.184.216.34", "192.168.7.7"]]))
    with pytest.raises(
        PermanentError,
        match=r"media\.example resolves to 192\.168\.7\.7, a private address; publish the file"
        r" under a public address.*FIRSTLIGHT_FETCH_ALLOW_PRIVATE",
    ):
        one(fetcher, "https://media.example/a.png")


def test_the_address_that_was_checked_is_the_one_connected_to(
    make: Make, media_server: MediaServer, monkeypatch: Any
) -> None:
    """DNS rebinding: the second look-up would lead inside, so there must be no second."""
    import httpcore

    connected: list[str] = []

    async def connect(self: Any, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        connected.append(host)
        raise httpcore.ConnectError("no route in this test")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    names = Names(rebind_example=[["93.184.216.34"], ["127.0.0.1"]])
    with pytest.raises(RetryableError, match="could not be connected to"):
        one(make(resolve=names), f"http://rebind.example:{media_server.port}/a.png")
    assert connected == ["93.184.216.34"]
    assert names.asked == ["rebind.example"]


def test_a_name_is_resolved_here_and_stays_in_the_host_header(
    make: Make, media_server: MediaServer
) -> None:
    media_server.serve("/a.png", PNG)
    names = Names(pictures_internal=[["127.0.0.2", "127.0.0.1"]])
    fetcher = make(resolve=names, allow_private=[f"pictures.internal:{media_server.port}"])
    assert one(fetcher, media_server.url("/a.png", "Pictures.internal")) == PNG
    assert media_server.requests[0].headers["host"] == f"pictures.internal:{media_server.port}"


def test_a_name_that_does_not_resolve_is_tried_again_later(make: Make) -> None:
    with pytest.raises(RetryableError, match=r"host name nowhere\.example does not resolve"):
        one(make(resolve=Names()), "https://nowhere.example/a.png")


# --- TLS -----------------------------------------------------------------------------------------


def test_the_certificate_is_checked_against_the_name_not_the_address(
    make: Make, tls_media_server: MediaServer, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    tls_media_server.serve("/a.png", PNG)
    names = Names(pictures_internal=[["127.0.0.1"]], other_internal=[["127.0.0.1"]])
    fetcher = make(resolve=names, allow_private=["pictures.internal", "other.internal"])
    assert one(fetcher, tls_media_server.url("/a.png", "pictures.internal")) == PNG
    with pytest.raises(PermanentError, match=r"certificate of other\.internal is not valid"):
        one(fetcher, tls_media_server.url("/a.png", "other.internal"))


def test_a_certificate_of_nobody_known_is_refused(
    make: Make, tls_media_server: MediaServer
) -> None:
    tls_media_server.serve("/a.png", PNG)
    names = Names(pictures_internal=[["127.0.0.1"]])
    fetcher = make(resolve=names, allow_private=["pictures.internal"])
    with pytest.raises(PermanentError, match=r"is not valid \(self.signed certificate"):
        one(fetcher, tls_media_server.url("/a.png", "pictures.internal"))
    assert tls_media_server.requests == []


# --- redirects ---------------------------------------------------------------------------------


def redirect(server: MediaServer, path: str, target: str, status: str = "302 Found") -> str:
    return server.serve(path, b"", status=status, Location=target)


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
def test_redirects_are_followed(make: Make, media_server: MediaServer, status: str) -> None:
    media_server.serve("/b.png", PNG)
    assert one(make(), redirect(media_server, "/a", "/b.png", status)) == PNG


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("http://localhost:1/x.png", "localhost resolves to .* a loopback address"),
        ("http://10.0.0.1/x.png", "10.0.0.1, a private address"),
        ("//169.254.169.254/latest", "a cloud metadata address"),
        ("http://inside.example/x.png", "inside.example resolves to 10.9.8.7, a private"),
        ("file:///etc/passwd", "is a file URL"),
        ("ftp://example.com/x.png", "is a ftp URL"),
        ("http://user:secret@example.com/", "holds a user name or password"),
        ("http://[", "names no valid host and port"),
        ("http://1.2.3.400/", "redirects to no valid URL"),
        ("", "redirects to nowhere"),
    ],
)
def test_every_redirect_is_checked_like_the_first_url(
    make: Make, media_server: MediaServer, target: str, says: str
) -> None:
    names = Names(
        **{
            "127_0_0_1": [["127.0.0.1"]],
            "localhost": [["127.0.0.1"]],
            "10_0_0_1": [["10.0.0.1"]],
            "169_254_169_254": [["169.254.169.254"]],
            "inside_example": [["10.9.8.7"]],
        }
    )
    with pytest.raises(PermanentError, match=says):
        one(make(resolve=names), redirect(media_server, "/a", target))


def test_an_https_only_worker_refuses_http_also_after_a_redirect(
    make: Make, media_server: MediaServer
) -> None:
    with pytest.raises(PermanentError, match=r"is an http URL.*FIRSTLIGHT_FETCH_ALLOW_HTTP"):
        one(make(allow_http=False), media_server.serve("/a.png", PNG))


def test_a_circle_of_redirects_ends(make: Make, media_server: MediaServer) -> None:
    url = redirect(media_server, "/a", "/a")
    with pytest.raises(PermanentError, match="redirects more than 3 times"):
        one(make(redirects=3), url)
    assert media_server.seen["/a"] == 4


# --- limits ------------------------------------------------------------------------------------


def test_a_declared_size_beyond_the_limit_is_refused_before_the_body(
    make: Make, media_server: MediaServer
) -> None:
    url = media_server.url("/a.png")
    media_server.routes["/a.png"] = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n", PNG)
    with pytest.raises(PermanentError, match="has 9,000,000 bytes, the limit is 5,000 bytes"):
        one(make(image_bytes=5000), url)


def test_an_undeclared_size_is_cut_off_at_the_limit(make: Make, media_server: MediaServer) -> None:
    sent = 0

    def endless(connection: socket.socket, request: Request) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + PNG)
        while True:
            sent += connection.send(bytes(65536))

    media_server.routes["/a.png"] = endless
    with pytest.raises(PermanentError, match="has more than the limit of 200,000 bytes"):
        one(make(image_bytes=200_000), media_server.url("/a.png"))
    assert sent < 20_000_000


def test_each_kind_has_its_own_limit(make: Make, media_server: MediaServer) -> None:
    fetcher = make(image_bytes=100, audio_bytes=2000)
    assert one(fetcher, media_server.serve("/a.wav", WAV), "audio") == WAV
    with pytest.raises(PermanentError, match="limit is 100 bytes"):
        one(fetcher, media_server.serve("/a.png", PNG))


def test_a_gzip_bomb_is_cut_off_at_the_limit(make: Make, media_server: MediaServer) -> None:
    bomb = gzip.compress(PNG + bytes(100_000_000))
    url = media_server.serve("/a.png", bomb, Content_Encoding="gzip")
    with pytest.raises(PermanentError, match="has more than the limit of 1,000,000 bytes"):
        one(make(image_bytes=1_000_000), url)


@pytest.mark.parametrize(
    ("encoding", "body"), [("gzip", gzip.compress(PNG)), ("deflate", zlib.compress(PNG))]
)
def test_a_file_stored_compressed_is_read_all_the_same(
    make: Make, media_server: MediaServer, encoding: str, body: bytes
) -> None:
    url = media_server.serve("/a.png", body, Content_Encoding=encoding)
    assert one(make(), url) == PNG


@pytest.mark.parametrize(
    ("encoding", "body", "error", "says"),
    [
        ("br", PNG, PermanentError, "Content-Encoding br though identity was asked for"),
        ("gzip", PNG, PermanentError, "is not the gzip its server calls it"),
        ("gzip", gzip.compress(PNG)[:-9], RetryableError, "the gzip stream ends early"),
    ],
)
def test_an_encoding_that_cannot_be_undone_is_told(
    make: Make,
    media_server: MediaServer,
    encoding: str,
    body: bytes,
    error: type[FirstlightError],
    says: str,
) -> None:
    with pytest.raises(error, match=says):
        one(make(), media_server.serve("/a.png", body, Content_Encoding=encoding))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + PNG,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n12345",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
    ids=["short body", "broken chunk", "another protocol", "nothing", "endless header"],
)
def test_a_broken_answer_is_tried_again_later(
    make: Make, media_server: MediaServer, answer: bytes
) -> None:
    media_server.routes["/a.png"] = raw(answer)
    with pytest.raises(RetryableError, match=r"127.0.0.1 broke off its answer"):
        one(make(), media_server.url("/a.png"))


def test_a_port_where_nobody_listens_is_tried_again_later(make: Make) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RetryableError, match="could not be connected to"):
        one(make(), f"http://127.0.0.1:{port}/a.png")


# --- time --------------------------------------------------------------------------------------


def silence(server: MediaServer) -> Callable[[socket.socket, Request], None]:
    return lambda connection, request: server.stopped.wait(30) and None


def drip(server: MediaServer, head: bytes, drop: bytes) -> Callable[..., None]:
    def handler(connection: socket.socket, request: Request) -> None:
        connection.sendall(head)
        while not server.stopped.wait(0.02):
            connection.sendall(drop)

    return handler


@pytest.mark.parametrize("behaviour", ["never answers", "slow body", "slow header", "redirects"])
def test_a_download_ends_at_its_deadline_whatever_the_server_does(
    make: Make, media_server: MediaServer, behaviour: str
) -> None:
    def redirects_slowly(connection: socket.socket, request: Request) -> None:
        time.sleep(0.2)
        connection.sendall(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /a.png\r\n\r\n")

    media_server.routes["/a.png"] = {
        "never answers": silence(media_server),
        "slow body": drip(media_server, b"HTTP/1.1 200 OK\r\n\r\n" + PNG, b"x"),
        "slow header": drip(media_server, b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        "redirects": redirects_slowly,
    }[behaviour]
    fetcher = make(timeout_s=0.5, redirects=50)
    with pytest.raises(RetryableError, match=r"127.0.0.1 did not deliver within 0.5 s"):
        one(fetcher, media_server.url("/a.png"))


def test_a_name_server_that_never_answers_ends_at_the_deadline(make: Make) -> None:
    import asyncio

    async def forever(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(30)
        return []

    with pytest.raises(RetryableError, match=r"slow\.example did not deliver within 0.3 s"):
        one(make(timeout_s=0.3, resolve=forever), "https://slow.example/a.png")


def test_a_full_backlog_ends_at_the_connect_timeout(make: Make) -> None:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fill = [socket.socket() for _ in range(4)]
        for one_more in fill:
            one_more.setblocking(False)
            one_more.connect_ex(("127.0.0.1", port))
        with pytest.raises(RetryableError, match=r"did not connect within 0.3 s"):
            one(make(connect_timeout_s=0.3), f"http://127.0.0.1:{port}/a.png")
        for one_more in fill:
            one_more.close()


def test_a_host_that_lets_everything_time_out_is_left_alone_for_a_while(
    make: Make, media_server: MediaServer
) -> None:
    for number in range(40):
        media_server.routes[f"/{number}"] = silence(media_server)
    fetcher = make(timeout_s=0.6, host_connections=4)
    outcomes = fetcher.fetch_all(
        [("image", media_server.url(f"/{number}")) for number in range(40)]
    )
    assert all(isinstance(outcome, RetryableError) for outcome in outcomes)
    assert sum("downloads run out of time" in str(outcome) for outcome in outcomes) >= 32
    assert len(media_server.requests) <= 8
    good = media_server.serve("/good.png", PNG)
    time.sleep(0.6)
    assert one(fetcher, good) == PNG


# --- side by side ------------------------------------------------------------------------------


def test_downloads_from_one_host_run_at_once_up_to_the_limit(
    make: Make, media_server: MediaServer
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PNG) + PNG

    def slow(connection: socket.socket, request: Request) -> None:
        time.sleep(0.05)
        connection.sendall(answer)

    urls = []
    for number in range(20):
        media_server.routes[f"/{number}"] = slow
        urls.append(("image", media_server.url(f"/{number}")))
    assert make(host_connections=5).fetch_all(urls) == [PNG] * 20
    assert media_server.most_at_once == 5


def test_a_silent_host_does_not_hold_up_another(make: Make, media_server: MediaServer) -> None:
    media_server.routes["/silent"] = silence(media_server)
    media_server.serve("/a.png", PNG)
    names = Names(silent_example=[["127.0.0.1"]], quick_example=[["127.0.0.1"]])
    fetcher = make(
        resolve=names, host_connections=1, connections=2, timeout_s=1.5,
        allow_private=["silent.example", "quick.example"],
    )  # fmt: skip
    waiting = [
        threading.Thread(
            target=fetcher.fetch_all,
            args=([("image", media_server.url(f"/silent?{n}", "silent.example"))],),
        )
        for n in range(4)
    ]
    media_server.routes.update({f"/silent?{n}": silence(media_server) for n in range(4)})
    for thread in waiting:
        thread.start()
    time.sleep(0.1)
    assert one(fetcher, media_server.url("/a.png", "quick.example")) == PNG
    assert any(thread.is_alive() for thread in waiting), "it did not wait for them"
    for thread in waiting:
        thread.join()


def test_closing_gives_up_what_is_under_way(make: Make, media_server: MediaServer) -> None:
    media_server.routes["/silent"] = silence(media_server)
    fetcher = make(timeout_s=30)
    raised: list[Exception] = []

    def fetch() -> None:
        try:
            fetcher.fetch_all([("image", media_server.url("/silent"))])
        except RetryableError as error:
            raised.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    while not media_server.requests:
        time.sleep(0.01)
    fetcher.close()
    thread.join(5)
    assert [str(error) for error in raised] == ["the worker is stopping"]


# --- files and uploads -------------------------------------------------------------------------


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "a b.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG)
    return folder


def test_files_in_an_allowed_directory_are_read(make: Make, allowed: Path) -> None:
    fetcher = make(local_dirs=[allowed])
    assert one(fetcher, str(allowed / "a b.png")) == PNG
    assert one(fetcher, f"file://{allowed}/a%20b.png") == PNG
    (allowed / "link.png").symlink_to(allowed / "a b.png")
    assert one(fetcher, str(allowed / "link.png")) == PNG


def test_an_allowed_directory_may_itself_be_a_link(
    make: Make, allowed: Path, tmp_path: Path
) -> None:
    (tmp_path / "shortcut").symlink_to(allowed)
    fetcher = make(local_dirs=[tmp_path / "shortcut"])
    assert one(fetcher, str(tmp_path / "shortcut" / "a b.png")) == PNG


def test_nothing_outside_is_read_and_nothing_is_told_about_it(
    make: Make, allowed: Path, tmp_path: Path
) -> None:
    (allowed / "out.png").symlink_to(tmp_path / "secret.png")
    (allowed / "up").symlink_to(tmp_path)
    outside = [
        str(tmp_path / "secret.png"),
        str(tmp_path / "absent.png"),
        str(allowed / ".." / "secret.png"),
        f"file://{allowed}/%2e%2e/secret.png",
        str(allowed / "out.png"),
        str(allowed / "up" / "secret.png"),
        str(allowed) + "-beside/a.png",
        "/proc/self/environ",
    ]
    fetcher = make(local_dirs=[allowed])
    outcomes = fetcher.fetch_all([("image", reference) for reference in outside])
    assert len({str(outcome) for outcome in outcomes}) == 1
    assert "lies outside the directories that may be read" in str(outcomes[0])
    assert "FIRSTLIGHT_FETCH_LOCAL_DIRS" in str(outcomes[0])


def test_without_allowed_directories_no_file_is_read(make: Make, allowed: Path) -> None:
    with pytest.raises(PermanentError, match="lies outside"):
        one(make(), str(allowed / "a b.png"))


def test_only_regular_files_of_bounded_size_are_read(make: Make, allowed: Path) -> None:
    os.mkfifo(allowed / "pipe.png")
    (allowed / "big.png").write_bytes(PNG * 100)
    (allowed / "folder.png").mkdir()
    (allowed / "loop.png").symlink_to(allowed / "loop.png")
    fetcher = make(local_dirs=[allowed], image_bytes=2000)
    for name, says in [
        ("pipe.png", "is no regular file"),
        ("folder.png", "is no regular file"),
        ("big.png", "bytes, the limit is 2,000 bytes"),
        ("none.png", "no such file"),
        ("a b.png/x", "no such file"),
        ("loop.png", "."),
        ("", "is no regular file"),
        ("x" * 300, "."),
    ]:
        with pytest.raises(FirstlightError, match=says):
            one(fetcher, f"{allowed}/{name}")


def test_an_upload_is_fetched_by_its_hash_and_a_missing_one_is_told(
    make: Make, tmp_path: Path
) -> None:
    sha256 = Uploads(tmp_path / "uploads").put(PNG, 10_000)
    fetcher = make()
    assert one(fetcher, f"upload:{sha256}") == PNG
    for absent in ("0" * 64, "../../secret.png", ""):
        with pytest.raises(PermanentError, match=r"no upload .*; send the file with POST /v1/upl"):
            one(fetcher, f"upload:{absent}")
    with pytest.raises(PermanentError, match="is a PNG picture, not a recording"):
        one(fetcher, f"upload:{sha256}", "audio")


@pytest.mark.parametrize(
    "reference",
    [
        "http://",
        "http:///a.png",
        "https://exa mple.com/",
        "http://example.com:99999/",
        "http://[x/",
    ],
)
def test_a_url_that_is_none_is_refused(make: Make, reference: str) -> None:
    with pytest.raises(PermanentError):
        one(make(), reference)
