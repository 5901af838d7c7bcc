"""Attributions of words as colours: read back from the page, and hostile names stay text."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from sigcli.attribution.explanation import Explanation
from sigcli.attribution.samples.arrays import ArraySeen
from sigcli.attribution.samples.bars import write_table
from sigcli.render.words import coloured_words


class Page(HTMLParser):
    """Tags, and the words with their style and value."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.inside = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = dict(attrs) if tag == "span" else None

    def handle_data(self, data):
        if self.inside is not None:
            self.words.append((data, self.inside["style"], float(self.inside["title"])))

    def handle_endtag(self, tag):
        self.inside = None


def shade(style):
    return [float(one) for one in re.search(r"rgba\((.*)\)", style)[1].split(",")]


def test_red_is_for_blue_against_and_colour_in_proportion():
    page = Page(coloured_words(["not", "so", "good"], np.array([-2.0, 0.0, 1.0]), title="t", unit="logit"))
    assert [(word, value) for word, _, value in page.words] == [("not", -2.0), ("so", 0.0), ("good", 1.0)]
    against, nothing, speaks = (shade(style) for _, style, _ in page.words)
    assert against[2] > against[0]  # blue
    assert speaks[0] > speaks[2]  # red
    assert nothing[3] == 0
    assert speaks[3] == pytest.approx(against[3] / 2)
    nothing = Page(coloured_words(["a"], np.zeros(1), title="t", unit="logit"))
    assert shade(nothing.words[0][1])[3] == 0


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "a & b", "</span></p>"])
def test_names_and_titles_stay_text(name):
    page = Page(coloured_words([name], np.ones(1), title=name, unit=name))
    assert page.words[0][0] == name
    assert set(page.tags) == {"html", "meta", "title", "style", "h1", "p", "span", "b"}


def test_a_run_leaves_a_page_where_the_players_have_names(tmp_path):
    values = np.array([[1.0, 2.0], [-4.0, 1.0]], np.float32)
    players = np.array([[0, 0], [1, 1]])
    common = {"values": values, "label": "positive", "score": 1.0}
    seen = ArraySeen(None, np.ones((2, 2), np.float32), players)
    item = Explanation("0.npy", "ig", 1, seen=replace(seen, names=("fine", "bad")), **common)
    assert write_table(tmp_path, item) == [f"{item.name}.csv", f"{item.name}.html"]
    page = Page((tmp_path / f"{item.name}.html").read_text(encoding="utf-8"))
    assert [(word, value) for word, _, value in page.words] == [("fine", 3.0), ("bad", -3.0)]
    text = (tmp_path / f"{item.name}.html").read_text(encoding="utf-8")
    assert "<h1>0.npy, ig: positive" in text  # which method says so
    assert re.search(r'class="scale".*<b>-3</b><b>0</b><b>\+3</b>', text)  # what the full colours stand for
    write_table(tmp_path, Explanation("0.npy", "sig", 1, seen=seen, **common))
    assert len(list(tmp_path.glob("*.html"))) == 1
