"""The page in a real Chromium: opened from disk, filtered, sorted, slid, read by keyboard, and silent on the network."""

import csv
import os
import shutil
import subprocess
import threading
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import pytest

from sigcli.gallery.publishing import publish
from sigcli.gallery.report import report
from sigcli.gallery.serving import Viewing

from browsing import HASTE, names, wait
from made_runs import HOSTILE, add_metrics, add_predictions, make_run, photographs, save_table


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("browser")
    names = [*HOSTILE, *(f"more/{number:02d}.png" for number in range(23))]
    rows = make_run(
        place / "out", photographs(place / "in", names), failing=("plain.png",), labels=("<b>cat</b>", "dog")
    )
    add_metrics(place / "out", rows)
    add_predictions(place / "out", rows, wrong=[row["image"] for row in rows[:8]])
    publish(place / "out")
    return place / "out"


def test_what_it_shows_is_the_table_and_pictures_load(visit, run):
    page = visit(run / "index.html")
    with (run / "results.csv").open(newline="", encoding="utf-8") as stream:
        images = list(dict.fromkeys(row["image"] for row in csv.DictReader(stream)))
    shown = names(page)
    assert shown == images[: len(shown)]  # hostile names, letter by letter
    assert page.locator("#count").inner_text() == f"{len(images)} images"
    assert page.locator(".row").count() < len(images)  # those near the window only
    assert page.evaluate("document.querySelectorAll('script').length") == 2
    wait(
        page,
        "[...document.querySelectorAll('.row img')].slice(0, 6).every(one => one.complete && one.naturalWidth > 0)",
    )
    assert "<b>cat</b>" in page.locator(".row").first.inner_text()
    assert page.title() == "out · sig"
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    wait(page, f"document.querySelector('.row:last-child').getAttribute('aria-posinset') == {len(images)}")
    assert names(page)[-1] == images[-1]


LOADED = "[...document.querySelectorAll('.row img')].every(one => one.src && one.complete && one.naturalWidth > 0)"
RACE = """async () => {
  const rows = new Set(), high = document.body.scrollHeight, waits = window.setTimeout, held = [];
  window.setTimeout = (act) => held.push(act);  // no row stands long enough, however slow this machine is
  for (let top = 1000; top < high; top += 400) {
    scrollTo(0, top);
    for (let frame = 0; frame < 3; frame += 1) await new Promise(done => requestAnimationFrame(done));
    for (const row of document.querySelectorAll('.row')) rows.add(row.getAttribute('aria-posinset'));
  }
  window.setTimeout = waits;
  window.resumed = () => held.forEach(act => act());
  return rows.size;
}"""


def test_pictures_of_rows_that_race_by_are_not_loaded(visit, run):
    """Only of those that stand still for a moment: thousands of decoded thumbnails would fill the memory."""
    page = visit(run / "index.html", viewport={"width": 1280, "height": 400})
    assert page.evaluate(
        "[...document.querySelectorAll('.row img')].every(one => one.src)"
    )  # at once where nothing moves
    wait(page, LOADED)
    asked = []
    page.on("request", lambda one: asked.append(one.url))
    assert page.evaluate(RACE) > 20
    assert asked == []
    page.wait_for_timeout(100)
    page.evaluate("resumed()")
    wait(page, LOADED)  # where it stands
    page.evaluate("scrollTo(0, 0)")
    wait(page, LOADED)


FAULTS = """() => {
  const found = [];
  const every = (query) => [...document.querySelectorAll(query)];
  for (const one of every('figcaption:not(:first-child, :last-child)'))
    found.push(`figcaption in the middle of ${one.parentNode.className}`);
  for (const one of every(':is(button, span, p, h1, h2, h3, summary, label) :is(div, p, figure, section, ul)'))
    found.push(`${one.tagName} ${one.className} within ${one.parentNode.tagName}`);
  for (const one of every('[list]')) if (!one.list) found.push(`list of ${one.id}`);
  for (const one of every('[aria-posinset]:not([role])')) found.push(`no role: ${one.className}`);
  const links = (name) => every(`[${name}]:not(dialog:not([open]))`);
  for (const name of ['aria-labelledby', 'aria-controls', 'for']) for (const one of links(name))
    if (!document.getElementById(one.getAttribute(name))) found.push(`${name} of ${one.tagName} ${one.id}`);
  const ids = every('[id]').map(one => one.id);
  return [...found, ...ids.filter((id, at) => ids.indexOf(id) < at).map(id => `id ${id} twice`)];
}"""


def test_what_the_script_builds_is_html_without_a_fault(visit, run, tmp_path):
    """The rules that a validator found broken, in every panel; all others too where $SIG_VNU names vnu.jar."""
    page = visit(run / "index.html")
    for number, act in enumerate(["", "#tab-metrics", "#tab-failed", "#tab-about", "#tab-images", ".row h3"]):
        if act:
            page.locator(act).first.click()
        assert page.evaluate(FAULTS) == []
        (tmp_path / f"{number}.html").write_text(page.content(), encoding="utf-8")
    if jar := os.environ.get("SIG_VNU"):
        told = subprocess.run(
            ["java", "-jar", jar, "--errors-only", tmp_path], capture_output=True, text=True, check=False
        )
        assert told.stderr == ""


def test_search_filters_and_order(visit, run):
    page = visit(run / "index.html")
    page.keyboard.press("/")
    page.keyboard.type("MORE 1")
    assert page.locator("#count").inner_text() == "12 of 30 images"
    page.keyboard.press("Control+a")
    page.keyboard.type("no such image")
    assert page.locator("#none").is_visible()
    assert page.locator(".row").count() == 0
    page.locator("#search").fill("")
    page.get_by_label("Class", exact=True).select_option("dog")
    assert page.locator("#count").inner_text() == "14 of 30 images"
    page.get_by_text("Clear filters").click()
    page.get_by_label("Status").select_option("failed")
    assert names(page) == ["plain.png"]
    assert "the image is <damaged>" in page.locator(".row").inner_text()
    page.get_by_label("Status").select_option("")
    page.get_by_label("Predicted ≠ true (4)").check()
    assert page.locator("#count").inner_text() == "4 of 30 images"
    page.get_by_label("Predicted ≠ true (4)").uncheck()
    page.get_by_label("Sort by").select_option("score")
    scores = page.locator(".row .mark").all_inner_texts()
    values = [float(text.replace("−", "-")) for text in scores]
    assert values == sorted(values, reverse=True)
    assert values[0] == 26.5  # of 28 - 1.5: the last image failed
    page.get_by_role("button", name="Direction: Largest first").click()
    assert page.locator(".row .mark").first.inner_text() == "−1.5"
    page.get_by_label("Sort by").select_option("metric:deletion blur")
    assert page.locator(".row .mark").all_inner_texts()[:2] == ["2.900", "2.950"]
    page.get_by_role("button", name="ig", exact=True).click()
    assert page.locator(".row").first.locator(".tiles .method").all_inner_texts() == ["photograph", "sig"]


def test_the_slider_goes_from_photograph_over_overlay_to_map(visit, run):
    page = visit(run / "index.html")
    images = "[...document.querySelector('.row .tiles figure:nth-child(2)').querySelectorAll('img')]"
    kinds = f"{images}.map(one => [one.className, getComputedStyle(one).opacity])"
    assert page.evaluate(kinds) == [["over", "1"]]
    slide = (
        "to => { const one = document.querySelector('#blend'); one.value = to; one.dispatchEvent(new Event('input')); }"
    )
    for to, shown in (
        (0, [["photo", "1"]]),
        (25, [["photo", "1"], ["over", "0.5"]]),
        (75, [["over", "1"], ["map", "0.5"]]),
        (100, [["map", "1"]]),
    ):
        page.evaluate(slide, to)
        assert page.evaluate(kinds) == shown
    assert page.locator("#blend").get_attribute("aria-valuetext") == "map"


def test_the_keyboard_is_enough(visit, run):
    page = visit(run / "index.html")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    place = "document.activeElement.getAttribute('aria-posinset')"
    assert page.evaluate(place) == "2"
    page.keyboard.press("End")
    assert page.evaluate(place) == "30"
    assert page.evaluate("document.activeElement.getBoundingClientRect().bottom <= innerHeight + 1")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert page.locator("dialog.detail").is_visible()
    assert page.locator("#detail-name").inner_text() == names(page)[0]
    page.keyboard.press("ArrowRight")
    assert page.locator("dialog.detail .count").inner_text() == "2 of 30"
    page.keyboard.press("ArrowDown")
    assert page.locator(".strip [aria-pressed=true]").inner_text() == "sig"
    page.keyboard.press(" ")
    assert page.locator(".large img").get_attribute("class") == "map"
    page.keyboard.press("?")
    assert page.locator("dialog.help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert not page.locator("dialog.detail").is_visible()
    wait(page, f"{place} === '2'")


def test_links_of_the_large_view_resolve_whatever_the_names(visit, run):
    page = visit(run / "index.html")
    page.locator(".row").first.click()
    found = []
    for _ in range(30):
        found += page.evaluate("[...document.querySelectorAll('dialog .links a')].map(one => one.href)")
        page.keyboard.press("ArrowRight")
    assert len(found) == 29  # the array of each that did not fail
    for address in found:
        assert address.startswith("file:///")
        assert Path(os.fsdecode(unquote_to_bytes(urlsplit(address).path))).is_file()


def test_metrics_failures_and_facts(visit, run):
    page = visit(run / "index.html")
    page.get_by_role("tab", name="Metrics").click()
    cells = page.locator("[aria-label='Means over images'] tbody tr").all_inner_texts()
    assert cells == ["ig\t0.250\n0.200 to 0.300", "sig\t1.250\n0.200 to 1.300"]
    assert page.locator("[aria-label='Means over images'] strong").count() == 0  # no paired interval tells them apart
    assert page.locator("svg path.line").count() == 2
    page.keyboard.press("ArrowRight")
    assert page.locator("[aria-label=Failures] tbody tr").all_inner_texts() == [
        "plain.png\tig, sig\tthe image is <damaged>"
    ]
    page.get_by_role("tab", name="Run").click()
    assert "tiny" in page.locator(".known").first.inner_text()
    assert page.locator(".links a").first.get_attribute("href") == "./results.csv"


@pytest.mark.parametrize("how", [{"viewport": {"width": 375, "height": 760}}, {"color_scheme": "dark"}])
def test_a_phone_and_the_dark(visit, run, how):
    page = visit(run / "index.html", **how)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(", "))) < 150) == ("color_scheme" in how)
    page.locator(".row").first.click()
    assert page.locator("dialog.detail").is_visible()
    assert page.evaluate("document.querySelector('dialog.detail').scrollWidth <= innerWidth")


@pytest.mark.parametrize("large", [False, True])
def test_probabilities_near_1_are_whole_and_not_rounded_up(visit, tmp_path, large):
    """predictions.csv has six digits: 1 beside another possible class was rounded up, and the terminal says so, too."""
    rows = make_run(tmp_path / "out", photographs(tmp_path / "in", ["a.png", "b.png", "c.png"]))
    answers = {"a.png": (1, 1.1e-7), "b.png": (0.99997, 3e-5), "c.png": (1, 0)}
    save_table(tmp_path / "out" / "predictions.csv", [
        {"image": image, "rank": rank, "class": name, "probability": share}
        for image, shares in answers.items()
        for rank, (name, share) in enumerate(zip((rows[0]["label"], "other"), shares, strict=True), 1)
    ])  # fmt: skip
    publish(tmp_path / "out")
    page = visit(tmp_path / "out" / "index.html")
    if large:
        page.locator(".row").first.click()
    shown = page.locator("dialog.detail .much" if large else ".row .much")
    wanted = ["> 99.9 %", "< 0.1 %", "> 99.9 %", "< 0.1 %", "100 %", "< 0.1 %"]
    assert shown.all_inner_texts() == (wanted[:2] if large else wanted)
    assert shown.evaluate_all("all => all.filter(one => one.scrollWidth > one.clientWidth).length") == 0


def test_a_served_page_opens_with_its_token_and_works(browser, run):
    """`sig view`: the token goes from the address, the page's own links are let in by the cookie, and strangers are not."""
    with Viewing(run) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        page, told = browser.new_page(), []
        page.on("console", lambda one: told.append(one.text))
        page.on("pageerror", lambda one: told.append(str(one)))
        page.on("response", lambda one: one.status < 400 or told.append(f"{one.status} {one.url}"))
        try:
            page.goto(server.url)
            page.wait_for_selector(".row")
            assert page.url == f"http://127.0.0.1:{server.port}/index.html"
            wait(page, LOADED)
            page.locator("#search").fill("more 1")
            assert page.locator("#count").inner_text() == "12 of 30 images"
            page.locator(".row").first.click()
            links = page.evaluate("[...document.querySelectorAll('dialog .links a')].map(one => one.href)")
            assert [page.request.get(link).status for link in links] == [200] * len(links) != []
            assert told == []
            stranger = browser.new_context()
            assert stranger.request.get(page.url).status == 403
            stranger.close()
        finally:
            page.close()
            server.shutdown()
            thread.join()


def test_two_runs_and_a_single_file(visit, tmp_path):
    paths = photographs(tmp_path / "in", ["a.png", "b.png"])
    make_run(tmp_path / "one", paths)
    make_run(tmp_path / "two", paths, seed=3)
    report([tmp_path / "one", tmp_path / "two"], out=tmp_path / "p #1.html")
    report([tmp_path / "one", tmp_path / "two"], out=tmp_path / "single.html", single_file=True)
    shutil.move(tmp_path / "single.html", tmp_path / "in" / "alone.html")
    for file in (tmp_path / "p #1.html", tmp_path / "in" / "alone.html"):
        page = visit(file)
        assert page.locator("h1").inner_text() == "one vs two"
        differs = [float(text.split()[1]) for text in page.locator(".badges .badge").all_inner_texts()]
        assert len(differs) == 2
        assert differs == sorted(differs, reverse=True)
        wait(page, "[...document.querySelectorAll('.row img')].every(one => one.complete && one.naturalWidth > 0)")


def test_a_run_that_goes_on_is_followed(visit, run, tmp_path):
    shutil.copytree(run, tmp_path / "out")
    script = tmp_path / "out" / "gallery" / "data.js"
    whole = script.read_text()
    script.write_text(
        whole.replace('"going":null', '"going":{"done":3,"planned":9,"stage":""}').replace('"made":"2', '"made":"1')
    )
    page = visit(tmp_path / "out" / "index.html", before=HASTE)
    assert "3 of 9 maps are done" in page.locator(".news").inner_text()
    script.write_text(whole)
    wait(page, "!document.querySelector('.news')")
