"""Images and runs on remote places: fsspec's memory and file system, a web server and an S3 server of this machine."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tiny_run
from PIL import Image
from tiny_run import LINE, picture, said, sig, table

import sigcli
from sigcli import files
from sigcli.errors import ImageError, OutputError, StoppedError, UsageError
from sigcli.files import aside_of, flush
from sigcli.inputs.images import find_images, read_image
from sigcli.inputs.left_out import LeftOut
from sigcli.places import lease, remote, systems
from sigcli.places.remote import Remote
from sigcli.places.urls import url_of
from sigcli.runs import stage

fsspec = pytest.importorskip("fsspec")
RUN = [*LINE, "--method", "gradient,ig", "--set", "ig.steps=2", "--no-pictures"]


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """An empty memory file system, and a working directory with four pictures in `photos`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(systems, "_PAUSE", 0.0)
    (tmp_path / "tiny_net.py").write_text(tiny_run.NET)
    for number, name in enumerate(("b.png", "a.png", "cats/a.png", "cats/z.png")):
        picture(tmp_path / "photos" / name, number, channel=number % 3)
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    monkeypatch.setattr(remote, "_recent", remote._Recent(1 << 20))
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def upload(system, folder, to):
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            name = f"{to}/{path.relative_to(folder).as_posix()}"
            if name.startswith(os.sep):
                system.makedirs(os.path.dirname(name), exist_ok=True)
            system.pipe_file(name, path.read_bytes())


def held(system, folder):
    """Name → content of every file of a remote folder."""
    return {name[len(folder) :].lstrip("/"): system.cat_file(name) for name in system.find(folder)}


def same_run(system, folder, local):
    """The remote run has the files of the local one; tables agree but for the wall time."""
    there = held(system, folder)
    here = {path.relative_to(local).as_posix(): path.read_bytes() for path in Path(local).rglob("*") if path.is_file()}
    assert there.keys() == here.keys()
    copy = Path(f"copy-{folder.replace('/', '-')}")
    copy.mkdir(exist_ok=True)
    (copy / "results.csv").write_bytes(there["results.csv"])
    assert table(copy) == table(local)
    arrays = [name for name in there if name.endswith(".npy")]
    assert arrays
    assert all(there[name] == here[name] for name in arrays)


def test_what_is_a_url():
    assert [url_of(one) for one in ("s3://b/a", Path("s3://b/a"), "file:///a", Path("memory://a"))] == [
        "s3://b/a", "s3://b/a", "file:///a", "memory://a",
    ]  # fmt: skip
    for text in ("photos/a.png", "/photos", "C:/a.png", r"C:\a", "a:b", "timm/a", "x.y:make", "openclip/a:b", 5, None):
        assert url_of(text) is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("foo://a", "unknown kind of URL"),
        ("zip://a.png::s3://b/c.zip", "chained URLs are not read"),
        ("s3://me:secret@bucket/a", "a URL cannot hold a name and password"),
        ("memory://none", "no such file, folder or bucket"),
        ("memory://none/*.png", "no such file, folder or bucket"),
        ("memory://photos/*/a.png", "a pattern in the middle of a URL"),
        ("memory://photos/*.gif", "no image matches the pattern"),
        ("memory://empty", "the folder has no images"),
        ("memory://run", "is a run of sig, not images"),
        ("memory://photos/x.npy", "arrays are read from this machine only"),
    ],
)
def test_a_url_that_names_no_images_is_refused_in_two_lines(memory, url, told):
    upload(memory, "photos", "/photos")
    memory.pipe_file("/empty/notes.txt", b"a")
    memory.pipe_file("/run/manifest.json", b"{}")
    memory.pipe_file("/run/results.csv", b"image\n")
    done = sig("explain", url, *RUN)
    assert done.exit_code == 2
    assert told in said(done)
    assert len(done.output.strip().splitlines()) <= 8
    assert "secret" not in done.output
    assert "Traceback" not in done.output


def test_a_remote_folder_is_searched_as_one_of_this_machine(memory):
    for name in (
        "c.JPG",
        ".hidden.png",
        ".git/x.png",
        "notes.txt",
        "z/9.png",
        "images/1.png",
        "masks/1.png",
        "b/2.png",
    ):
        path = Path("tree", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Path("photos/a.png").read_bytes())
    upload(memory, "tree", "/tree")
    here, there = LeftOut(), LeftOut()
    local = [path.relative_to("tree").as_posix() for path in find_images([Path("tree")], here)]
    remote = [os.fspath(one).removeprefix("/memory:/tree/") for one in find_images(["memory://tree"], there)]
    assert remote == local == ["c.JPG", "b/2.png", "images/1.png", "z/9.png"]
    assert [text.replace("/", "") for text in there.notes] == [text.replace("/", "") for text in here.notes]
    assert [one.name for one in find_images(["memory://tree/*.JPG"])] == ["c.JPG"]


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_remote_run_is_the_local_one_and_goes_on(memory, kind, tmp_path):
    system = fsspec.filesystem(kind)
    top = "" if kind == "memory" else f"{tmp_path}/far"
    upload(system, "photos", f"{top}/in/photos")
    place = f"{kind}://{top}"
    assert sig("explain", "photos", *RUN, "--out", "local").exit_code == 0
    remote = ["explain", f"{place}/in/photos", *RUN, "--out", f"{place}/runs/one"]
    done = sig(*remote)
    assert done.exit_code == 0, done.output
    assert f"written to {place}/runs/one/" in said(done)
    same_run(system, f"{top}/runs/one", "local")
    assert not any((tmp_path / "cache/sig").rglob("*.npy"))  # the staging folder is gone
    before = held(system, f"{top}/runs/one")
    dated = {"manifest.json", "gallery/data.js"}
    manifest = json.loads(before["manifest.json"])
    assert manifest["images"][0].startswith(f"{place}/in/photos/")
    assert manifest["spec"] == json.loads(Path("local/manifest.json").read_text())["spec"]
    again = sig(*remote, "--resume")
    assert again.exit_code == 0, again.output
    assert "8 of them earlier" in said(again)
    after = held(system, f"{top}/runs/one")
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in after.keys() - dated)


def test_another_run_replaces_what_sig_wrote_and_nothing_else(memory):
    upload(memory, "photos", "/photos")
    first = ["explain", "memory://photos", *RUN, "--out", "memory://run"]
    assert sig(*first).exit_code == 0
    memory.pipe_file("/run/a/mine.txt", b"mine")
    other = [
        "explain",
        "memory://photos/a.png",
        *LINE,
        "--method",
        "gradient",
        "--no-pictures",
        "--out",
        "memory://run",
    ]
    refused = sig(*other)
    assert refused.exit_code == 2
    assert "memory://run already holds another run" in said(refused)
    assert "cache" not in refused.output  # the staging folder is nobody's business
    assert sig(*other, "--overwrite").exit_code == 0
    tables = {"manifest.json", "files.jsonl", "results.csv", "predictions.csv", "index.html", "gallery/data.js"}
    assert set(held(memory, "/run")) == {*tables, "a/gradient.npy", "a/mine.txt"}
    assert held(memory, "/run")["a/mine.txt"] == b"mine"
    memory.pipe_file("/full/a.txt", b"mine")
    refused = sig(*other[:-1], "memory://full")
    assert refused.exit_code == 2
    assert "holds other files than a run of sig: a.txt" in said(refused)
    assert set(held(memory, "/full")) == {"a.txt"}


@pytest.mark.parametrize("stopped_by", ["failure", "close"])
def test_a_run_that_ends_early_keeps_its_work_there_and_goes_on(memory, stopped_by, monkeypatch):
    upload(memory, "photos", "/photos")
    assert sig("explain", "photos", *RUN, "--out", "local").exit_code == 0
    options = {
        "model": "tiny_net:net", "resize": 16, "crop": 16, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0),
        "method": "gradient,ig", "settings": {"ig.steps": "2"}, "pictures": False, "out": "memory://run", "device": "cpu",
    }  # fmt: skip
    found = sigcli.iter_explain("memory://photos", **options)
    taken = [next(found) for _ in range(3)]
    assert len(taken) == 3
    if stopped_by == "close":
        found.close()
    else:
        with pytest.raises(KeyError):
            found.throw(KeyError("the program's own"))
    there = held(memory, "/run")
    assert lease.NAME not in there
    rows = there["results.csv"].decode().splitlines()[1:]
    assert len(rows) >= 3
    listed = [json.loads(line) for line in there["files.jsonl"].splitlines()]
    owned = {f"{line['folder']}/{name}" for line in listed if "files" in line for name in line["files"]}
    assert owned <= there.keys()
    done = sigcli.explain("memory://photos", **options, resume=True)
    assert sum(one.resumed for one in done) >= 3
    same_run(memory, "/run", "local")


def test_what_is_finished_is_uploaded_while_the_run_goes_on(memory, monkeypatch):
    upload(memory, "photos", "/photos")
    monkeypatch.setattr(stage, "_EVERY", 0.02)
    options = {"model": "shapes", "method": "gradient", "pictures": False, "out": "memory://run"}
    found = sigcli.iter_explain("memory://photos", **options)
    next(found)
    for _ in range(500):
        there = held(memory, "/run")
        if b"\n" in there.get("results.csv", b"").partition(b"\n")[2]:
            break
        time.sleep(0.02)
    else:
        raise AssertionError("nothing was uploaded")
    assert "manifest.json" in there
    assert lease.NAME in there
    found.close()


def test_an_upload_that_fails_keeps_the_run_here_and_resume_sends_the_rest(memory, monkeypatch):
    upload(memory, "photos", "/photos")
    line = ["explain", "memory://photos", *RUN, "--out", "memory://run"]
    put, count = memory.pipe_file, []

    def broken(path, content, **more):
        count.append(path)
        if len(count) > 4:
            raise OSError("the network is gone")
        return put(path, content, **more)

    with monkeypatch.context() as network:
        network.setattr(type(memory), "pipe_file", lambda self, *a, **k: broken(*a, **k))
        done = sig(*line)
    assert done.exit_code == 1, done.output
    assert "could not be uploaded whole" in said(done)
    assert "--resume" in said(done)
    assert "results.csv" not in held(memory, "/run")
    again = sig(*line, "--resume")
    assert again.exit_code == 0, again.output
    assert "8 of them earlier" in said(again)
    assert sig("explain", "photos", *RUN, "--out", "local").exit_code == 0
    same_run(memory, "/run", "local")
    assert not any(Path("cache/sig").rglob("*.npy"))


def test_on_a_file_system_files_appear_whole_and_what_a_killed_process_began_is_removed(memory, tmp_path, monkeypatch):
    """An object store does not show half a file; a file system must not either."""
    place, before = tmp_path / "place", {}
    for name in ("results.csv", "a/gradient.npy"):  # killed before the manifest was there
        aside_of(place / name).parent.mkdir(parents=True, exist_ok=True)
        aside_of(place / name).write_bytes(b"half")

    def flushed(aside):
        if place in aside.parents:
            before[aside] = seen = {}
            for file in place.rglob("*.npy"):
                with suppress(FileNotFoundError):  # files of another thread that have other names by now
                    seen[file.relative_to(place).as_posix()] = file.read_bytes()
        flush(aside)

    monkeypatch.setattr(files, "flush", flushed)
    done = sig("explain", "photos", *RUN, "--out", f"file://{place}")
    assert done.exit_code == 0, done.output
    assert not list(place.rglob("*.part"))
    whole = held(fsspec.filesystem("file"), str(place))
    asides = {aside_of(place / name).name for name in [*whole, lease.NAME]}
    assert len(before) > 8
    assert {aside.name for aside in before} <= asides
    for seen in before.values():  # until it is whole, a file is not there
        assert all(content == whole[name] for name, content in seen.items())
    aside_of(place / "a" / "gradient.npy").write_bytes(b"half")
    assert sig("explain", "photos", *RUN, "--out", f"file://{place}", "--resume").exit_code == 0
    assert held(fsspec.filesystem("file"), str(place)).keys() == whole.keys()


def test_a_stage_that_was_named_stays_and_is_no_other_folder(memory):
    upload(memory, "photos", "/photos")
    line = ["explain", "memory://photos", *RUN, "--out", "memory://run"]
    Path("mine").mkdir()
    Path("mine/a.txt").write_text("mine")
    refused = sig(*line, "--stage", "mine")
    assert refused.exit_code == 2
    assert "holds other files" in said(refused)
    assert Path("mine/a.txt").read_text() == "mine"
    assert sig(*line, "--stage", "here").exit_code == 0
    same_run(memory, "/run", "here")
    done = sig(*line, "--stage", "here", "--resume")
    assert done.exit_code == 0
    assert "Going on with what stands in" in said(done)
    refused = sig(*line[:-1], "elsewhere", "--stage", "here")
    assert refused.exit_code == 2
    assert "--stage is for a run folder on a remote place" in said(refused)
    refused = sig("gridworld", "--out", "memory://grid")
    assert refused.exit_code == 2
    assert "writes to this machine only" in said(refused)
    refused = sig(*line[:-1], "memory://photos/run")
    assert refused.exit_code == 2
    assert "inside the folder of images" in said(refused)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("memory://", "--out names no folder of a remote place"),
        ("https://example.org/run", "--out names no folder of a remote place"),
        ("memory:/run", "a URL has two slashes after the colon"),
        ("foo://run", "unknown kind of URL"),
    ],
)
def test_a_url_that_is_no_folder_to_write_in_is_refused(memory, url, told):
    done = sig("explain", "photos", *RUN, "--out", url)
    assert done.exit_code == 2
    assert told in said(done)
    assert not Path(url.partition("/")[0]).exists()


def test_two_processes_do_not_write_in_one_remote_folder(memory, monkeypatch):
    memory.pipe_file("/photos/a.png", Path("photos/a.png").read_bytes())
    line = ["explain", "memory://photos", *RUN, "--out", "memory://run"]
    process = subprocess.Popen(["true"])
    process.wait()

    def holder(**facts):
        told = {"token": "x", "host": "another", "process": 1, "time": time.time(), **facts}
        memory.pipe_file(f"/run/{lease.NAME}", json.dumps(told).encode())

    holder()
    refused = sig(*line)
    assert refused.exit_code == 2
    assert "another sig process is writing in the remote folder: process 1 on another" in said(refused)
    assert set(held(memory, "/run")) == {lease.NAME}
    holder(time=time.time() - 2 * lease.STALE)
    assert sig(*line).exit_code == 0
    holder(host=lease.socket.gethostname(), process=process.pid)  # it was killed
    assert sig(*line, "--resume").exit_code == 0
    assert lease.NAME not in held(memory, "/run")
    held_by_us = lease.Lease("memory://run")
    holder()
    with pytest.raises(StoppedError, match="taken over"):
        held_by_us.renew()
    held_by_us.release()
    assert lease.NAME in held(memory, "/run")  # it is the other's


def test_hostile_files_are_refused_as_those_of_this_machine_are(memory, tmp_path):
    folder = tmp_path / "hostile"
    folder.mkdir()
    Image.new("RGB", (9, 9)).save(folder / "bomb.png")
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("<html>")
    whole = (tmp_path / "photos/a.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "heic.png").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    upload(memory, folder, "/hostile")
    for path in sorted(folder.iterdir()):
        url = f"memory://hostile/{path.name}"
        messages = []
        for source in (path, find_images([url])[0]):
            with pytest.raises(ImageError) as refused:
                read_image(source, max_pixels=80)
            messages.append(str(refused.value).replace(str(path), "FILE").replace(url, "FILE"))
        assert messages[0].replace(str(path), "FILE") == messages[1]


def test_a_file_that_is_too_large_is_not_fetched(memory, monkeypatch):
    asked = []
    monkeypatch.setattr(
        type(memory), "cat_file", lambda self, path, start, end: asked.append(end - start) or b"RIFF" * 3
    )
    with pytest.raises(ImageError, match=r"3.0 GB.*\n.*up to 1.1 GB|3.0 GB.*\n.*up to 0.27 GB"):
        read_image(Remote("memory://a.png", 3 * 10**9, "x"))
    with pytest.raises(ImageError, match=r"0\.5 GB"):
        read_image(Remote("memory://a.webp", 5 * 10**8, "x"))
    assert max(asked) <= 12


def test_a_network_that_breaks_off_is_asked_thrice_and_then_only_its_image_fails(memory, monkeypatch):
    upload(memory, "photos", "/photos")
    cat, asked = memory.cat_file, {}

    def flaky(path, start=None, end=None, **more):
        asked[path] = asked.get(path, 0) + 1
        if path.endswith("photos/a.png") or (path.endswith("z.png") and asked[path] < 3):
            raise ConnectionResetError("gone")
        return cat(path, start=start, end=end, **more)

    monkeypatch.setattr(type(memory), "cat_file", lambda self, *a, **k: flaky(*a, **k))
    done = sig("explain", "memory://photos", *RUN, "--out", "out")
    assert done.exit_code == 1
    rows = table("out")
    assert {row["image"] for row in rows if row["status"] == "ok"} == {"b.png", "cats/a.png", "cats/z.png"}
    assert {row["error"].split(":")[0] for row in rows if row["image"] == "a.png"} == {"the place does not answer"}
    assert asked["/photos/a.png"] % systems.TRIES == 0


def test_the_files_that_were_fetched_last_are_kept_in_bounded_memory():
    recent, files = remote._Recent(100), [Remote(f"memory://{number}", 20, "x") for number in range(9)]
    for file in files:
        recent.keep(file, b"a" * 20)
    recent.keep(Remote("memory://large", 30, "x"), b"a" * 30)
    assert [recent.get(file) is not None for file in files] == [False] * 4 + [True] * 5
    assert recent.get(Remote("memory://8", 20, "y")) is None  # its content changed
    assert recent.get(Remote("memory://large", 30, "x")) is None


def test_a_place_that_never_answers_is_left_after_its_time(monkeypatch):
    monkeypatch.setattr(systems, "SECONDS", 0.05)
    monkeypatch.setattr(systems, "_PAUSE", 0.0)
    begun, never = time.monotonic(), threading.Event()
    with pytest.raises(OutputError, match="does not answer: no answer for"):
        systems.ask("s3://bucket/a", never.wait, OutputError)
    assert time.monotonic() - begun < 5
    assert systems.TRIES * 18.0 < 60
    never.set()


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(systems, "_systems", {})
    for kind, package in (("s3", "s3fs"), ("gs", "gcsfs")):

        def absent(kind, package=package):
            raise ImportError(f"Install {package}")

        monkeypatch.setattr(fsspec, "filesystem", absent)
        with pytest.raises(UsageError, match=rf"needs the package {package}(.|\n)*pip install {package}"):
            systems.system_of(f"{kind}://bucket/a")
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(UsageError, match="URLs need the package fsspec"):
        systems.system_of("memory://a")


@pytest.fixture
def web(memory):
    """A web server of this machine; the address of its folder."""
    pytest.importorskip("aiohttp")
    whole = Path("photos/a.png").read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.partition("?")[0]
            status = {"/a.png": 200, "/large.png": 200, "/file.png": 302, "/secret.png": 403}.get(name, 404)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"file://{os.path.abspath('photos/a.png')}")
            if status == 200:
                self.send_header("Content-Length", str(3 << 30 if name == "/large.png" else len(whole)))
            self.end_headers()
            if status == 200 and self.command == "GET":
                self.wfile.write(whole)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("a.png?token=secret", 0, "written to"),
        ("large.png", 1, "the file has 3.2 GB"),
        ("file.png", 2, "the address leads to something that is no file of the web"),
        ("secret.png", 2, "the place refuses access"),
        ("none.png", 2, "no such file, folder or bucket"),
    ],
)
def test_single_images_of_the_web(web, name, code, told):
    done = sig("explain", f"{web}/{name}", *RUN, "--out", "out")
    assert done.exit_code == code, done.output
    assert told in said(done)
    assert "token" not in done.output
    if code == 0:
        assert "token" not in Path("out/manifest.json").read_text()
        assert sig("explain", "photos/a.png", *RUN, "--out", "local").exit_code == 0
        assert np.array_equal(np.load("out/a/ig.npy"), np.load("local/a/ig.npy"))


def test_two_images_of_the_web_that_differ_behind_the_question_mark_are_told_apart(web):
    with pytest.raises(UsageError, match="differ only behind the question mark"):
        find_images([f"{web}/a.png?id=1", f"{web}/a.png?id=2"])


def test_weights_labels_masks_and_a_run_on_a_server_of_s3(memory, monkeypatch, tmp_path):
    """Everything remote, against the same on this machine; then the run goes on from another machine's cache."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setattr(systems, "_systems", {})
        fsspec.filesystem("s3").clear_instance_cache()
        system = fsspec.filesystem("s3")
        system.mkdir("bucket")
        Path("labels.csv").write_text("image,class\na.png,1\nb.png,0\n")
        for name in ("a", "b"):
            picture(Path("more", f"{name}.png"), 5)
            mask = np.zeros((16, 16), np.uint8)
            mask[4:9, 4:9] = 255
            Path("masks").mkdir(exist_ok=True)
            Image.fromarray(mask).save(f"masks/{name}.png")
        for folder in ("more", "masks"):
            upload(system, folder, f"bucket/{folder}")
        system.pipe_file("bucket/labels.csv", Path("labels.csv").read_bytes())
        rest = ["--method", "gradient", "--metric", "sparseness,pointing-game", "--no-pictures", *LINE]

        def evaluate(at, out, *more):
            given = [f"{at}more", "--labels", f"{at}labels.csv", "--masks", f"{at}masks", "--out", out]
            done = sig("evaluate", *given, *rest, *more)
            assert done.exit_code == 0, done.output
            return done

        evaluate("", "local")
        evaluate("s3://bucket/", "s3://bucket/runs/one")
        same_run(system, "bucket/runs/one", "local")
        for name in ("metrics.csv", "summary.csv"):
            assert held(system, "bucket/runs/one")[name] == Path("local", name).read_bytes()
        assert json.loads(held(system, "bucket/runs/one")["evaluation.json"])["masks"] == "s3://bucket/masks"
        shutil.rmtree("cache")
        evaluate("s3://bucket/", "s3://bucket/runs/one", "--resume")
        same_run(system, "bucket/runs/one", "local")
        for line in (["s3://none/photos"], ["more", "--out", "s3://none/run"]):
            done = sig("explain", *line, *RUN)
            assert done.exit_code == 2
            assert "no such file, folder or bucket" in said(done)
    finally:
        server.stop()
