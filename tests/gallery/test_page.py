"""The page of a run as files: it parses, it says what the tables say, and no name or label becomes anything but text."""

import base64
import csv
import os
import re
import shutil
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

import sigcli
from sigcli.errors import OutputError, UsageError
from sigcli.files import load_array
from sigcli.gallery.data import data_script
from sigcli.gallery.differences import GRID, cells_of, difference
from sigcli.gallery.live import LivePage
from sigcli.gallery.paper import page
from sigcli.gallery.publishing import publish
from sigcli.gallery.report import report
from sigcli.gallery.thumbnails import SIDE as LARGEST
from sigcli.inputs.images import find_images
from sigcli.runs.folder import open_run, run_names
from sigcli.runs.order import RowOrder

from made_runs import HOSTILE, SIDE, add_metrics, add_predictions, data_in, data_of, make_run, manifest, photographs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run over hostile names with metrics, predictions and a failure, and its page."""
    place = tmp_path_factory.mktemp("page")
    paths = photographs(place / "in", HOSTILE)
    rows = make_run(place / "out", paths, failing=("plain.png",), labels=("<b>cat</b>", "dog\u202e"))
    add_metrics(place / "out", rows)
    add_predictions(place / "out", rows, wrong=(rows[0]["image"],))
    publish(place / "out")
    return place / "out", rows


def test_the_page_is_html_without_a_fault_and_with_a_policy(run):
    html5lib = pytest.importorskip("html5lib", reason="needs html5lib")
    text = (run[0] / "index.html").read_text()
    document = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    policy = next(meta.get("content") for meta in document.iter("meta") if meta.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    sources = [one.get(name) for one in document.iter() for name in ("src", "href") if one.get(name)]
    assert sources == ["data:,", "#main", "gallery/data.js"]
    assert not [name for one in document.iter() for name in one.keys() if name.startswith("on") or name == "style"]  # noqa: SIM118


def test_the_page_asks_nothing_of_the_network(run):
    text = (run[0] / "index.html").read_text()
    assert set(re.findall(r"https?://[^'\"\s]+", text)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import|eval|Function)\s*\(", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", text)


def test_the_data_are_those_of_the_table(run):
    out, rows = run
    data = data_of(out / "gallery" / "data.js")
    columns = [one["method"] for one in data["columns"]]
    cells = {(card["image"], columns[at]): cell for card in data["cards"] for at, cell in enumerate(card["cells"])}
    assert len(cells) == len(rows)
    for row in rows:
        cell = cells[row["image"], row["method"]]
        assert bool(cell.get("failed")) == (row["status"] == "failed")
        assert cell.get("note", "") == row["error"]
        assert cell.get("label", "") == row["label"]
        for name, column in (
            ("score", "score"),
            ("gap", "relative_gap"),
            ("shown", "shown_standard_error"),
            ("seconds", "seconds"),
        ):
            assert cell.get(name) == (float(row[column]) if row[column] else None)
        assert cell.get("evaluations") == (4 if row["status"] == "ok" else None)
    assert [card["image"] for card in data["cards"]] == list(dict.fromkeys(row["image"] for row in rows))
    values = [cell["metrics"]["deletion blur"] for cell in cells.values() if "metrics" in cell]
    assert sorted(values) == pytest.approx([0.1 + 0.05 * at for at in range(len(rows) - 2)])
    told = [card["runs"][0].get("told") for card in data["cards"]]
    assert told.count(None) == 1
    assert [one[0][1] for one in told if one] == [0.7] * (len(told) - 1)
    assert [card["image"] for card in data["cards"] if card["runs"][0].get("wrong")] == [rows[0]["image"]]
    assert data["going"] is None


def test_names_and_labels_cannot_leave_the_data(run):
    text = (run[0] / "gallery" / "data.js").read_text()
    assert text.isascii()
    assert not set("<>&") & set(text)
    assert text.count("\n") == 1
    assert "alert(1)" in text  # it is there, as text


def test_pictures_are_there_and_have_harmless_names(run):
    out, _ = run
    data = data_of(out / "gallery" / "data.js")
    found = {
        name for card in data["cards"] for cell in card["cells"] for name in (cell.get("map"), cell.get("over")) if name
    }
    found |= {card["runs"][0]["photo"] for card in data["cards"] if "photo" in card["runs"][0]}
    done = len(HOSTILE) - 1
    assert len(found) == done * 5  # a photograph, two maps and two overlays each
    assert sorted(os.listdir(out / "gallery")) == sorted([*(f"{name}.jpg" for name in found), "data.js"])
    for name in found:
        assert re.fullmatch(r"[0-9a-f]{16}", name)
        with Image.open(out / "gallery" / f"{name}.jpg") as image:
            assert image.format == "JPEG"
            assert max(image.size) <= LARGEST


def test_a_map_is_red_where_it_is_positive_and_blue_where_negative(tmp_path):
    paths = photographs(tmp_path / "in", ["a.png"])
    halves = np.zeros((3, SIDE, SIDE))
    halves[:, :, : SIDE // 2], halves[:, :, SIDE // 2 :] = 1, -1
    make_run(tmp_path / "out", paths, ("ig",), maps=lambda *_: halves)
    publish(tmp_path / "out")
    cell = data_of(tmp_path / "out" / "gallery" / "data.js")["cards"][0]["cells"][0]
    for kind in ("map", "over"):
        pixels = np.asarray(Image.open(tmp_path / "out" / "gallery" / f"{cell[kind]}.jpg")).astype(int)
        wide = pixels.shape[1]
        left, right = pixels[:, : wide // 3].mean((0, 1)), pixels[:, -wide // 3 :].mean((0, 1))
        assert left[0] > left[2] + 60
        assert right[2] > right[0] + 40


def test_a_page_follows_its_run_and_is_as_cheap_as_it_says(tmp_path, monkeypatch):
    paths = photographs(tmp_path / "in", [f"{n}.png" for n in range(3)])
    names = run_names(paths)
    run = open_run(tmp_path / "out", manifest(paths, ["ig"]), resume=False, images=names, page=True)
    clock = [100.0]
    monkeypatch.setattr("sigcli.gallery.live.time.monotonic", lambda: clock[0])
    live, script = LivePage(run, 3), tmp_path / "out" / "gallery" / "data.js"
    assert data_of(script)["going"] == {"done": 0, "planned": 3, "stage": "", "ended": False}
    assert data_of(script)["cards"] == []
    row = {"method": "ig", "target": "1", "status": "ok", "seconds": "1.000", "score": "2"}
    run.add({"image": names[0][0], **row})
    live.look()
    assert data_of(script)["going"]["done"] == 0  # too soon
    clock[0] += 10.5
    live.look()
    assert data_of(script)["going"]["done"] == 1
    assert len(data_of(script)["cards"]) == 1
    live.end(whole=False)
    assert data_of(script)["going"] == {"done": 1, "planned": 3, "stage": "", "ended": True}
    live.end(whole=True)
    assert data_of(script)["going"] is None
    run.close()


def test_images_stand_on_the_page_in_the_order_of_the_run_whatever_came_first(tmp_path):
    """Workers, and a run that was killed and resumed, make them in another order."""
    paths = photographs(tmp_path / "in", [f"{n}.png" for n in range(3)])
    names = run_names(paths)
    run = open_run(tmp_path / "out", manifest(paths, ["ig"]), resume=False, images=names, page=True)
    live = LivePage(run, 3)
    for number in (2, 0, 1):
        run.add({"image": names[number][0], "method": "ig", "target": "", "status": "failed", "error": "unreadable"})
    run.settle(RowOrder([name for name, _ in names], ["ig"], 3))
    live.end(whole=True)
    cards = data_of(tmp_path / "out" / "gallery" / "data.js")["cards"]
    assert [card["image"] for card in cards] == [name for name, _ in names]
    run.close()


def test_the_time_of_a_page_is_a_fiftieth_of_the_run_at_most(tmp_path, monkeypatch):
    paths = photographs(tmp_path / "in", ["a.png"])
    run = open_run(tmp_path / "out", manifest(paths, ["ig"]), resume=False, images=run_names(paths), page=True)
    clock, spent, written = [0.0], [0.0], [0]
    monkeypatch.setattr("sigcli.gallery.live.time.monotonic", lambda: clock[0])

    def slow(*_):  # a page of a table that grows: the longer the run, the more it takes
        cost = 0.001 * clock[0]
        written[0], spent[0], clock[0] = written[0] + 1, spent[0] + cost, clock[0] + cost
        return 0, set()

    monkeypatch.setattr("sigcli.gallery.live.write_page", slow)
    live = LivePage(run, 1)
    for _ in range(200_000):
        clock[0] += 0.1
        live.look()
    assert written[0] > 20
    assert spent[0] <= 0.021 * clock[0]
    run.close()


def test_a_page_that_cannot_be_written_stops_no_run(tmp_path, monkeypatch):
    paths = photographs(tmp_path / "in", ["a.png"])
    run = open_run(tmp_path / "out", manifest(paths, ["ig"]), resume=False, images=run_names(paths), page=True)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sigcli.gallery.live.write_page", full)
    live = LivePage(run, 1)
    live.look()
    live.end(whole=True)
    assert run.notes == [
        f"index.html could not be written: No space left on device. 'sig report {tmp_path / 'out'}' makes it later."
    ]
    run.close()


def test_a_page_of_someone_else_stays(tmp_path):
    paths = photographs(tmp_path / "in", ["a.png"])
    make_run(tmp_path / "out", paths)
    (tmp_path / "out" / "index.html").write_text("mine")
    with pytest.raises(OutputError, match=r"index\.html, which sig did not write"):
        publish(tmp_path / "out")
    assert (tmp_path / "out" / "index.html").read_text() == "mine"
    with pytest.raises(OutputError, match=r"index\.html, which sig did not write"):
        open_run(tmp_path / "out", manifest(paths, ["ig", "sig"]), resume=True, images=run_names(paths), page=True)


def test_small_pictures_are_no_photographs_and_go_with_the_run(tmp_path):
    paths = photographs(tmp_path / "out", ["a.png"])  # photographs beside the run, as when one stands in its folder
    make_run(tmp_path / "out", paths, ("ig",))
    publish(tmp_path / "out")
    assert find_images([tmp_path / "out"]) == paths
    other = manifest(paths, ["gradient"], model="another")
    open_run(tmp_path / "out", other, resume=False, overwrite=True, images=run_names(paths)).close()
    assert sorted(one.name for one in (tmp_path / "out").iterdir() if one.name != "a.png") == [
        "files.jsonl", "manifest.json", "results.csv",
    ]  # fmt: skip


# Photographs that are gone, arrays that are gone


def test_without_its_photograph_a_map_is_shown_alone(tmp_path):
    paths = photographs(tmp_path / "in", ["a.png", "b.png"])
    make_run(tmp_path / "out", paths)
    paths[0].unlink()
    photographs(tmp_path / "in", ["b.png", "c.png"])  # b is another picture now
    publish(tmp_path / "out")
    for card in data_of(tmp_path / "out" / "gallery" / "data.js")["cards"]:
        assert "photo" not in card["runs"][0]
        assert all("map" in cell and "over" not in cell for cell in card["cells"])


def test_without_arrays_there_is_a_table_and_a_note(tmp_path):
    paths = photographs(tmp_path / "in", ["a.png", "b.png"])
    make_run(tmp_path / "out", paths)
    (tmp_path / "out" / "a" / "ig.npy").unlink()
    (tmp_path / "out" / "b" / "ig.npy").write_bytes(b"\x93NUMPY damaged")
    _, notes = publish(tmp_path / "out")
    assert notes == ["2 explanations are shown without pictures, since their arrays are missing or damaged."]
    cells = [card["cells"][0] for card in data_of(tmp_path / "out" / "gallery" / "data.js")["cards"]]
    assert [("map" in cell, cell["score"]) for cell in cells] == [(False, -1.5), (False, -0.5)]


# Several runs


def test_two_runs_stand_side_by_side_with_what_differs(tmp_path):
    paths = photographs(tmp_path / "in", ["a.png", "b.png", "c.png"])
    make_run(tmp_path / "one", paths)
    kept = {}

    def maps(name, method):  # of the second run: a as in the first, b reversed, c at random
        values = load_array(tmp_path / "one" / name[0] / f"{method}.npy")
        kept[name, method] = {"a": values, "b": -values}.get(
            name[0], np.random.default_rng(9).normal(size=values.shape)
        )
        return kept[name, method]

    make_run(tmp_path / "two", paths, maps=maps, seed=1)
    found = report([tmp_path / "one", tmp_path / "two"], out=tmp_path / "page.html")
    assert found.cards == 3
    data = data_of(tmp_path / "page-files" / "data.js")
    assert [(one["method"], one["run"]) for one in data["columns"]] == [("ig", 0), ("ig", 1), ("sig", 0), ("sig", 1)]
    differs = {card["image"]: card["differs"] for card in data["cards"]}
    assert differs["a.png"] == 0
    assert differs["b.png"] == pytest.approx(2, abs=1e-5)
    assert 0.7 < differs["c.png"] < 1.3
    assert all(card["cells"][1]["change"] == 1 for card in data["cards"])
    assert "differs" not in data["cards"][0]["cells"][0]
    for number, run in enumerate(data["runs"]):
        assert (tmp_path / unquote(run["files"]) / "manifest.json").is_file()
        named = {cell["map"] for card in data["cards"] for cell in card["cells"][number::2]}
        assert named <= {file.stem for file in (tmp_path / unquote(run["thumbnails"])).iterdir()}


def test_the_difference_is_that_of_ranks():
    draw = np.random.default_rng(0)
    one = draw.normal(size=(GRID, GRID))
    stats = pytest.importorskip("scipy.stats")
    for other in (one**3, draw.normal(size=one.shape), np.round(one)):
        assert difference(one, other) == pytest.approx(
            1 - stats.spearmanr(one.ravel(), other.ravel()).statistic, abs=1e-6
        )
    assert difference(one, np.zeros_like(one)) is None
    assert difference(one * 1e-60, one * 1e60) == pytest.approx(0, abs=1e-6)
    large = np.kron(one, np.ones((4, 4)))
    assert np.allclose(cells_of(large), one / np.abs(one).max(), atol=1e-6)
    assert difference(large, one) == pytest.approx(0, abs=1e-6)


def test_runs_that_share_nothing_or_have_one_name(tmp_path):
    make_run(tmp_path / "x" / "out", photographs(tmp_path / "in", ["a.png"]))
    make_run(tmp_path / "y" / "out", photographs(tmp_path / "other", ["b.png"]))
    found = report([tmp_path / "x" / "out", tmp_path / "y" / "out"], out=tmp_path / "page.html")
    assert found.notes == ["the runs share no image, by name: nothing is compared."]
    data = data_of(tmp_path / "page-files" / "data.js")
    assert [run["name"] for run in data["runs"]] == ["x/out", "y/out"]
    assert [[cell is None for cell in card["cells"]] for card in data["cards"]] == [
        [False, True] * 2,
        [True, False] * 2,
    ]


def test_a_single_file_holds_all(tmp_path):
    make_run(tmp_path / "out", photographs(tmp_path / "in", ["a.png", "b.png"]), ("ig",))
    report(tmp_path / "out", out=tmp_path / "one.html", single_file=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in", "one.html", "out"]
    text = (tmp_path / "one.html").read_text()
    data = data_in(text)
    assert len(data["inside"]) == 6
    for picture in data["inside"].values():
        assert base64.b64decode(picture.removeprefix("data:image/jpeg;base64,"))[:2] == b"\xff\xd8"
    assert "file:" not in re.search(r"script-src ([^;]*)", text)[1]


@pytest.mark.parametrize(
    ("runs", "out", "message"),
    [
        ([], None, "no run is named"),
        (["missing"], None, "no such run folder"),
        (["in"], None, "holds no run"),
        (["out", "out/../out"], None, "named twice"),
        (["out"], "out", "the page is a folder"),
        (["out"], "page.txt", r"ends in \.html"),
        (["out"], " ", "impossible"),
        (["out"], "theirs.html", "did not write"),
        (["trained"], None, "explained no images"),
    ],
)
def test_what_cannot_be_reported(tmp_path, monkeypatch, runs, out, message):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "out", photographs(tmp_path / "in", ["a.png"]), ("ig",))
    (tmp_path / "theirs.html").write_text("<p>mine")
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "manifest.json").write_text('{"spec": {}, "versions": {}}')
    with pytest.raises((UsageError, OutputError), match=message):
        report(runs, out=out)
    assert (tmp_path / "theirs.html").read_text() == "<p>mine"


def test_a_title_is_text():
    text = page("</title><script>alert(1)</script>", "a&b.js")
    assert "</title><script>" not in text
    assert 'src="a&amp;b.js"' in text
    assert "</script>" not in "".join(data_script({"a": "</script><!--", "cards": []}))


def test_a_table_that_lost_rows_is_told(run, tmp_path):
    shutil.copytree(run[0], tmp_path / "run")
    table = tmp_path / "run" / "results.csv"
    assert not sigcli.report(tmp_path / "run", out=tmp_path / "whole.html").notes
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join(lines[:2]), encoding="utf-8")
    (note,) = sigcli.report(tmp_path / "run", out=tmp_path / "part.html").notes
    lost = sum(row["status"] == "ok" for row in csv.DictReader(lines)) - 1
    assert lost > 1
    assert f"no row of {lost} explanations" in note


def test_a_manifest_that_cannot_be_read_is_told_without_a_way_that_removes_the_run(run, tmp_path):
    shutil.copytree(run[0], tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_text("{")
    with pytest.raises(OutputError, match="cannot be read") as refused:
        sigcli.report(tmp_path / "run", out=tmp_path / "page.html")
    assert "overwrite" not in str(refused.value)
