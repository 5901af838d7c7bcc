"""`sig view`: who has the token reads the files of one folder, and nobody reads anything else."""

import http.client
import os
import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sigcli.errors import UsageError
from sigcli.gallery.serving import Viewing, page_of


@pytest.fixture
def folder(tmp_path):
    run = tmp_path / "run"
    (run / "gallery").mkdir(parents=True)
    (run / "index.html").write_text('<meta name="generator" content="sig">page')
    (run / "gallery" / "data.js").write_text("data")
    (run / "a #1?.png").write_bytes(b"png")
    (run / "words.html").write_text("<script>1</script>")
    (run / ".0123.sig.part").write_text("half")
    (tmp_path / "secret.txt").write_text("secret")
    (run / "link.txt").symlink_to(tmp_path / "secret.txt")
    (run / "up").symlink_to(tmp_path)
    (run / "same.js").symlink_to(run / "gallery" / "data.js")
    return run


@contextmanager
def served(folder):
    with Viewing(folder) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server, path, *, cookie=None, host=None, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    headers = {} if cookie is None else {"Cookie": cookie}
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": host or f"127.0.0.1:{server.port}", **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_the_token_opens_the_door_and_the_cookie_keeps_it_open(folder):
    with served(folder) as server:
        address = urlsplit(server.url)
        assert address.hostname == "127.0.0.1"
        first, _ = ask(server, f"{address.path}?{address.query}")
        assert (first.status, first.headers["Location"]) == (303, "/index.html")
        given = first.headers["Set-Cookie"]
        assert "HttpOnly" in given
        assert "SameSite=Strict" in given
        cookie = given.split(";")[0]
        for path, body in (
            ("/", b"page"),
            ("/gallery/data.js", b"data"),
            ("/a%20%231%3F.png", b"png"),
            ("/same.js", b"data"),
        ):
            answer, found = ask(server, path, cookie=cookie)
            assert answer.status == 200
            assert found.endswith(body)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        answer, found = ask(server, "/index.html", cookie=cookie, method="HEAD")
        assert (answer.status, found) == (200, b"")
        answer, _ = ask(server, "/words.html", cookie=cookie)  # not the page: its scripts do not run
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        for host in (f"localhost:{server.port}", "localhost:8000"):  # through ssh, at another port
            assert ask(server, "/", cookie=cookie, host=host)[0].status == 200


def test_nothing_without_the_token_or_from_another_site(folder):
    with served(folder) as server:
        cookie = f"{server.cookie}={server.token}"
        wrong = f"{server.cookie}={server.token[:-1]}x"
        for path in (
            "/",
            "/index.html",
            "/gallery/data.js",
            "/?token=",
            "/?token=%C3%A9",
            "/missing",
        ):
            for known in (None, wrong, "nonsense; =", f"sig-1={server.token}"):
                assert ask(server, path, cookie=known)[0].status == 403
        for host in ("evil.example", f"evil.example:{server.port}", "[", ""):
            answer = ask(server, "/", cookie=cookie, host=host or " ")[0]
            assert answer.status == 403
        assert ask(server, "/", cookie=cookie, method="POST")[0].status == 501


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/gallery/../../secret.txt", "/link.txt",
        "/up/secret.txt",
        "//etc/passwd", "/%2fetc/passwd", "/gallery", "/gallery/", "/.0123.sig.part", "/index.html%00.png",
        "/a%ff", "/./index.html",
        "/index.html/", "/~root",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_folder_and_none_is_listed(folder, path):
    with Viewing(folder) as server:  # the part that decides, without a connection for each
        assert server.file_of(path) is None


def test_it_listens_to_this_machine_only(folder):
    with Viewing(folder) as server:
        assert server.server_address[0] == "127.0.0.1"
        here = {one[4][0] for one in socket.getaddrinfo(socket.gethostname(), 0, socket.AF_INET)} - {"127.0.0.1"}
        for other in here:
            with pytest.raises(OSError), socket.create_connection((other, server.port), timeout=2):
                pass
        with pytest.raises(UsageError, match="port cannot be had"):
            Viewing(folder, port=server.port)
    with pytest.raises(UsageError, match="no such port"):
        Viewing(folder, port=70_000)


def test_a_page_in_a_folder_of_other_things_is_served_with_its_own_files_and_runs(folder, tmp_path):
    (tmp_path / "cmp.html").write_text('<meta name="generator" content="sig">page')
    (tmp_path / "cmp-files" / "0").mkdir(parents=True)
    (tmp_path / "cmp-files" / "0" / "1.jpg").write_bytes(b"jpg")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"jpg")
    with Viewing(*page_of(tmp_path / "cmp.html")) as server:
        for name in ("", "cmp.html", "cmp-files/0/1.jpg", "run/index.html", "run/gallery/data.js", "run/same.js"):
            assert server.file_of(f"/{name}") is not None, name
        for name in ("secret.txt", "photos/me.jpg", "run/link.txt", "run/up/secret.txt", "cmp-files/../secret.txt"):
            assert server.file_of(f"/{name}") is None, name


def test_what_can_be_viewed(folder, tmp_path):
    assert page_of(folder) == (folder.resolve(), "index.html")
    assert page_of(folder / "index.html") == (folder.resolve(), "index.html")
    with pytest.raises(UsageError, match="did not write"):
        page_of(folder / "words.html")
    with pytest.raises(UsageError, match="folders of this machine"):
        page_of(Path("s3://bucket/run"))
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(UsageError):
            page_of(path)
    assert sorted(os.listdir(tmp_path)) == ["run", "secret.txt"]
