"""What a page says is true: of the order, of the colours, of probabilities, of the best; and it follows what happens."""

import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from sigcli.attribution.explanation import Explanation
from sigcli.attribution.predictions import percent
from sigcli.attribution.samples.pairs import PairSeen
from sigcli.attribution.samples.seen import Seen
from sigcli.files import load_array
from sigcli.gallery.colours import ENDS, colours_of, ends_of
from sigcli.gallery.data import data_script
from sigcli.gallery.paper import _text
from sigcli.gallery.publishing import lacking, publish
from sigcli.gallery.report import report
from sigcli.methods import METHODS
from sigcli.metrics.statistics import DECIDING
from sigcli.render.maps.palette import palette

from browsing import HASTE, names, wait
from made_runs import add_metrics, add_predictions, data_of, make_run, photographs, save_table

SEARCH = "document.querySelector('#search').value"
FEW_LINES = (
    "document.querySelectorAll('.row .figures').forEach(one => one.replaceChildren(...[...one.children].slice(0, 2)))"
)
TOPS = (
    "[...document.querySelectorAll('.row .figures')].map(one => [...one.children].map(line => line.offsetTop))"
    ".filter(tops => tops.length)"
)
PICTURES = ["a.png", "b.png", "c.png"]


def some_maps(one, shares):
    """Of a second run: image → how much of the first run's map is in that of each method, besides noise."""

    def made(name, method):
        values = load_array(one / name[0] / f"{method}.npy")
        share = shares[name][method]
        noise = np.random.default_rng([ord(name[0]), len(method)]).normal(size=values.shape)
        return share * values + (1 - abs(share)) * noise

    return made


def test_the_difference_that_is_shown_decides_the_order_and_the_sentence_is_true(visit, tmp_path):
    """`a` has the largest difference of one method, `b` the largest mean, which badge and sentence tell."""
    paths = photographs(tmp_path / "in", PICTURES)
    rows = make_run(tmp_path / "one", paths)
    shares = {"a.png": {"ig": 1, "sig": -1}, "b.png": {"ig": -0.4, "sig": -0.4}, "c.png": {"ig": 1, "sig": 1}}
    other = make_run(tmp_path / "two", paths, maps=some_maps(tmp_path / "one", shares), labels=("bird", "fish"))
    for name, known in (("one", rows), ("two", other)):
        add_predictions(tmp_path / name, known)
    report([tmp_path / "one", tmp_path / "two"], out=tmp_path / "page.html")
    page = visit(tmp_path / "page.html")
    assert names(page) == ["b.png", "a.png", "c.png"]
    badges = [float(text.split()[1]) for text in page.locator(".badges .badge").all_inner_texts()]
    assert badges == sorted(badges, reverse=True)
    assert max(float(text) for text in page.locator(".mark").all_inner_texts()) > badges[0]
    said = page.locator("#measure").inner_text
    assert said().startswith("Maps that differ most come first: 1 − Spearman's ρ")
    assert said().endswith("averaged over methods.")
    page.get_by_label("of", exact=True).select_option(label="sig · two")
    assert names(page) == ["a.png", "b.png", "c.png"]
    assert said().endswith(", of sig · two.")
    page.get_by_role("button", name="Direction: Largest first").click()
    assert said().startswith("Maps that differ least come first")
    page.get_by_label("Sort by").select_option("image")
    assert "come first" not in said()
    page.get_by_label("Sort by").select_option("differs")
    page.evaluate(FEW_LINES)
    for tops in page.evaluate(TOPS):
        assert [below - above for above, below in pairwise(tops)] == [17]  # no line is left blank between them
    page.locator(".row").first.click()
    assert page.locator(".large.beside figcaption").all_inner_texts() == ["one", "two"]
    told = page.locator("dialog .bars .target .of").all_inner_texts()
    assert told == ["cat\n(explained, true class)\n✓", "bird\n(explained)"]


def test_nothing_is_said_of_an_order_where_nothing_is_compared(visit, tmp_path):
    make_run(tmp_path / "one", photographs(tmp_path / "in", ["a.png"]))
    make_run(tmp_path / "two", photographs(tmp_path / "other", ["b.png"]))
    report([tmp_path / "one", tmp_path / "two"], out=tmp_path / "page.html")
    page = visit(tmp_path / "page.html")
    assert page.locator("#measure").inner_text() == "These runs share no image, by name, so nothing is compared."


def written(script, data, **now):
    script.write_text("".join(data_script({**data, **now})), encoding="utf-8")


def test_a_page_that_is_open_before_the_first_map_follows_the_run(visit, tmp_path):
    paths = photographs(tmp_path / "in", PICTURES)
    add_predictions(tmp_path / "out", make_run(tmp_path / "out", paths))
    publish(tmp_path / "out")
    script = tmp_path / "out" / "gallery" / "data.js"
    data = data_of(script)
    going = {"done": 0, "planned": 1, "stage": ""}
    written(script, data, cards=[], made="2026-01-01T00:00:00+00:00", going=going)
    page = visit(tmp_path / "out" / "index.html", ready="#none", before=HASTE)
    assert "0 of 1 map is done" in page.locator(".news").inner_text()
    assert page.locator("#none").inner_text().startswith("No map is done yet.")
    page.locator("#search").fill("png")
    a, b, c = data["cards"]
    written(script, data, cards=[b], made="2026-01-01T00:00:10+00:00", going={**going, "planned": 6})
    page.wait_for_selector(".row")
    assert page.locator("#none").is_hidden()
    assert page.locator("#count").inner_text() == "1 image"
    assert page.evaluate("document.activeElement.id") == "search"
    page.locator(".row").click()
    assert page.locator("#detail-name").inner_text() == "b.png"
    written(script, data, cards=[a, b], made="2026-01-01T00:00:20+00:00", going={**going, "planned": 6})
    wait(page, "document.querySelector('dialog.detail .count').textContent === '2 of 2'")  # the same image
    assert page.locator("#detail-name").inner_text() == "b.png"
    page.keyboard.press("Escape")
    page.locator("#search").fill("a.png")
    page.get_by_role("tab", name="Run").click()
    written(script, data, cards=[a, b], made="2026-01-01T00:00:30+00:00", going={**going, "planned": 6, "ended": True})
    wait(page, "document.querySelector('.news strong').textContent === 'Stopped'")
    assert page.locator(".news").inner_text().strip().endswith("Its command with --resume continues it.")
    written(script, data, cards=[a, b, c])
    wait(page, "!document.querySelector('.news')")
    page.get_by_role("tab", name="Images").click()
    assert page.locator("#count").inner_text() == "1 of 3 images"
    page.get_by_text("Clear filters").click()
    assert names(page) == PICTURES
    page.locator("#search").fill("none")
    assert page.locator("#none").inner_text() == "No image fits these filters."


def test_the_list_follows_the_search_box_however_it_is_emptied(visit, tmp_path):
    make_run(tmp_path / "out", photographs(tmp_path / "in", ["koala.png", "b.png"]))
    publish(tmp_path / "out")
    page = visit(tmp_path / "out" / "index.html")
    count = page.locator("#count").inner_text
    page.keyboard.press("/")
    page.keyboard.type("koa")
    assert count() == "1 of 2 images"
    assert page.get_by_text("Clear filters").is_visible()
    page.keyboard.press("Escape")
    assert (page.evaluate(SEARCH), count()) == ("", "2 images")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") != "search"
    page.keyboard.press("/")
    page.keyboard.type("koa")
    box = page.locator("#search").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 17, box["y"] + box["height"] / 2)  # Chromium's own cross
    assert (page.evaluate(SEARCH), count()) == ("", "2 images")
    page.evaluate(
        "{ const one = document.querySelector('#search'); one.value = 'koa'; one.dispatchEvent(new Event('search')); }"
    )
    assert count() == "1 of 2 images"


def coloured(out, cmap):
    """Of a run, the page with a colour map."""
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**manifest, "cmap": cmap}))
    publish(out)
    return out / "index.html"


def test_legend_and_words_are_those_of_the_colours_and_methods(visit, tmp_path):
    methods = ("sig", "ig", "gradient", "fullgrad")
    assert {"gradient", "fullgrad"} <= set(METHODS)
    make_run(tmp_path / "out", photographs(tmp_path / "in", ["a.png"]), methods)
    page = visit(coloured(tmp_path / "out", "orange-purple"))
    shown = [text.split("\n") for text in page.locator(".bar .legend p").all_inner_texts()]
    assert shown == [["against", "for"], ["gradient", "lowers", "raises"], ["fullgrad", "not salient", "salient"]]
    ramp = page.evaluate("getComputedStyle(document.querySelector('.ramp')).backgroundImage")
    table = palette("orange-purple").signed
    for end in (table[0], table[-1]):
        assert f"rgb({end[0]}, {end[1]}, {end[2]})" in ramp
    page.keyboard.press("?")
    told = page.locator("dialog.help p").first.inner_text()
    assert told.startswith("Orange speaks for the target, purple against it. ")
    assert (
        "Of gradient, orange is where a larger value of the input raises the score, purple where it lowers it." in told
    )
    assert "Of fullgrad, orange marks what matters, whether for or against the target." in told
    page.keyboard.press("Escape")
    page.get_by_role("button", name="gradient", exact=True).click()
    assert page.locator(".bar .legend p").count() == 2
    page.locator(".row").click()
    assert page.locator(".stage .legend").inner_text().split("\n") == ["against", "for"]
    page = visit(coloured(tmp_path / "out", "viridis"))
    assert page.locator(".bar .legend p").last.inner_text().split("\n") == ["no negative values", "0", "most"]


@pytest.mark.parametrize("name", list(METHODS))
def test_the_words_of_a_method_are_those_of_its_sheets(name):
    positive = str(METHODS[name].properties.get("positive", "for"))
    assert positive in ENDS
    spec = {"methods": {"mine": {"method": name}}, "output": "logit"}
    assert ends_of({"spec": spec}, "mine") == words_of_sheets(positive)
    assert colours_of({"cmap": "of another version"})["names"] == ["blue", "red"]
    pair = {"spec": {**spec, "output": "minus cosine-distance"}}
    assert ends_of(pair, "mine") == words_of_sheets(positive, paired=True)


def words_of_sheets(positive, *, paired=False):
    """`Explanation.ends`, without an explanation."""
    seen = PairSeen() if paired else Seen()
    return vars(Explanation)["ends"].fget(SimpleNamespace(positive=positive, seen=seen))


def test_probabilities_are_written_as_in_terminal_and_sheets(browser):
    shares = [0, 1e-9, 0.0005, 0.001, 0.0012, 0.0995, 0.125, 0.225, 0.375, 0.995, 0.998478, 0.999, 0.99901, 1 - 1e-9, 1]
    shares += np.random.default_rng(0).uniform(size=500).tolist() + [n / 2048 for n in range(2049)]
    page = browser.new_page()
    try:
        said = page.evaluate(
            f"shares => {{ {_text('words.js')}; return shares.map((share) => chance(share)); }}", shares
        )
    finally:
        page.close()
    assert said == [percent(share) for share in shares]
    assert percent(0.998478) == "99.8 %"


@pytest.mark.parametrize(
    ("low", "n", "bold"), [(0.01, DECIDING, ["0.900"]), (-0.01, DECIDING, []), (0.01, DECIDING - 1, [])]
)
def test_bold_is_what_paired_intervals_support_as_in_the_table(visit, tmp_path, low, n, bold):
    rows = make_run(tmp_path / "out", photographs(tmp_path / "in", ["a.png"]))
    add_metrics(tmp_path / "out", rows)
    of = {
        "metric": "insertion",
        "imputation": "blur",
        "unit": "probability",
        "better": "higher",
        "interval": "score",
        "n": n,
    }
    save_table(tmp_path / "out" / "summary.csv", [
        {"method": "sig", "minus": "", **of, "mean": 0.9, "ci_low": 0.2, "ci_high": 0.95, "failed": 0},
        {"method": "ig", "minus": "", **of, "mean": 0.25, "ci_low": 0.2, "ci_high": 0.3, "failed": 0},
        {"method": "sig", "minus": "ig", **of, "mean": 0.65, "ci_low": low, "ci_high": 0.9, "failed": 0},
    ])  # fmt: skip
    publish(tmp_path / "out")
    page = visit(tmp_path / "out" / "index.html")
    page.get_by_role("tab", name="Metrics").click()
    assert page.locator("[aria-label='Means over images'] strong").all_inner_texts() == bold
    assert f"leaves out zero, over at least {DECIDING} images" in page.locator("#metrics .hint").first.inner_text()


def test_curves_say_what_they_measure(visit, tmp_path):
    add_metrics(tmp_path / "out", make_run(tmp_path / "out", photographs(tmp_path / "in", ["a.png"])))
    publish(tmp_path / "out")
    page = visit(tmp_path / "out" / "index.html")
    page.get_by_role("tab", name="Metrics").click()
    assert "probability (↓ lower is better)" in page.locator(".chart svg text").all_text_contents()


def test_one_of_a_thing_is_one():
    assert lacking(0) == []
    assert lacking(1) == ["1 explanation is shown without a picture, since its array is missing or damaged."]
    assert "2 explanations are" in lacking(2)[0]
