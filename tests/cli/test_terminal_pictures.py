"""`--show`: pictures, maps and answers in the terminal."""

import base64
import dataclasses
import io
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from rich.color import Color, ColorSystem
from rich.console import Console
from screens import EVERY, screen, sig

from sigcli.attribution.explanation import Explanation
from sigcli.attribution.predictions import Prediction
from sigcli.attribution.samples.seen import Seen
from sigcli.cli.answers import Answers
from sigcli.cli.command import Screen
from sigcli.cli.console import Guard
from sigcli.cli.graphics import PIXELS, blocks, drawn, kitty, pixels_of, sixels, way_of
from sigcli.cli.refusing import _shown
from sigcli.cli.show import Show, _map, bars
from sigcli.errors import UsageError

from repository import ROOT

RED_BLUE = np.zeros((8, 12, 3), np.uint8)
RED_BLUE[:4], RED_BLUE[4:, :6] = (255, 0, 0), (0, 0, 255)


def test_blocks_show_the_pixels():
    text = blocks(Image.fromarray(RED_BLUE), 12, ColorSystem.TRUECOLOR)
    lines = text.split("\n")
    assert len(lines) == 4
    found = [[tuple(map(int, part)) for part in re.findall(r";2;(\d+);(\d+);(\d+)m", line)] for line in lines]
    upper, lower = np.array(found)[:, 0::2], np.array(found)[:, 1::2]
    assert np.array_equal(np.stack([upper, lower], 1).reshape(8, 12, 3), RED_BLUE)
    assert all(line.endswith("\x1b[0m") for line in lines)


def test_256_colours_are_the_nearest():
    text = blocks(Image.new("RGB", (2, 2), (255, 0, 0)), 2, ColorSystem.EIGHT_BIT)
    (number,) = set(re.findall(r";5;(\d+)m", text))
    assert Color.from_ansi(int(number)).get_truecolor() == (255, 0, 0)


def test_kitty_gets_the_picture_in_pieces():
    noise = np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8)
    pieces = re.findall(r"\x1b_G(.*?);(.*?)\x1b\\", kitty(Image.fromarray(noise), 20))
    assert all(len(data) <= 4096 for _, data in pieces)
    assert [head[-1] for head, _ in pieces] == ["1"] * (len(pieces) - 1) + ["0"]
    picture = Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in pieces))))
    assert np.array_equal(np.asarray(picture), noise)


def decoded(text):
    """A slow reader of sixels."""
    width, height = map(int, re.search(r'"1;1;(\d+);(\d+)', text).groups())
    made, palette = np.zeros((height + 6, width, 3)), {}
    body, x, top, colour = text[text.index("#") : -2], 0, 0, None
    for number, share, count, char, move in re.findall(r"#(\d+)((?:;\d+)*)|(?:!(\d+))?([?-~])|([$-])", body):
        if share:
            palette[number] = [round(int(one) * 2.55) for one in share.split(";")[2:]]
        elif number:
            colour = palette[number]
        elif move:
            x, top = 0, top + 6 * (move == "-")
        else:
            run = int(count or 1)
            for bit in range(6):
                if (ord(char) - 63) >> bit & 1:
                    made[top + bit, x : x + run] = colour
            x += run
    return made[:height]


def test_sixels_show_the_pixels():
    assert np.abs(decoded(sixels(Image.fromarray(RED_BLUE))) - RED_BLUE).max() <= 2


def photograph():
    return Image.open(ROOT / "sample_images" / "coffee.jpg").convert("RGB")


def test_a_photograph_has_more_colours_than_a_drawing_and_arrives_whole():
    """255 colours, of which the later ones stand behind byte 255 of the palette; a height that is no multiple of six."""
    picture = photograph().resize((160, 121))
    found = decoded(sixels(picture)).astype(int)
    assert found.shape == (121, 160, 3)
    assert np.abs(found - np.asarray(picture)).mean() < 6
    assert len(np.unique(found.reshape(-1, 3), axis=0)) > 200


@pytest.mark.skipif(not shutil.which("sixel2png"), reason="needs libsixel's sixel2png")
def test_libsixel_reads_the_same(tmp_path):
    text = drawn(photograph(), 24, "sixel", {})
    (tmp_path / "a.six").write_text(text)
    subprocess.run(["sixel2png", "-i", tmp_path / "a.six", "-o", tmp_path / "a.png"], check=True)
    with Image.open(tmp_path / "a.png") as read:
        assert np.abs(np.asarray(read.convert("RGB")).astype(int) - decoded(text)).max() <= 2


@pytest.mark.parametrize("way", ["kitty", "sixel"])
def test_what_is_sent_is_the_photograph_and_its_map_beside_each_other(way):
    """All of `--show`, decoded as a terminal would, and compared with the pictures it is made of."""
    item = explained()
    item = dataclasses.replace(item, seen=Seen(np.asarray(photograph().resize((64, 64)))))
    text = shown(way, {}, [item], terminal=True, width=80)
    columns = 32
    if way == "kitty":
        pieces = re.findall(r"\x1b_G([^;]*);(.*?)\x1b\\", text)
        assert f"c={2 * columns + 2}," in pieces[0][0]
        found = np.asarray(Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in pieces)))))
    else:
        found = decoded(re.search(r"\x1bPq.*?\x1b\\", text, re.S)[0])
    side, gap = columns * PIXELS, 2 * PIXELS
    assert found.shape == (side, 2 * side + gap, 3)
    parts = [item.picture, np.asarray(_map(item, "red-blue"))]
    for place, part in enumerate(parts):
        expected = np.asarray(Image.fromarray(part).convert("RGB").resize((side, side))).astype(int)
        sent = found[:, place * (side + gap) : place * (side + gap) + side].astype(int)
        assert np.abs(sent - expected).mean() < (6 if way == "sixel" else 1e-9)
    assert (found[:, side : side + gap] >= 250).all()
    assert "\x1b" not in re.sub(r"\x1b_G[^\x1b]*\x1b\\|\x1bP.*?\x1b\\|\x1b\[[0-9;]*m", "", text, flags=re.S)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("window", "pixels"), [((40, 110, 660, 520), 6), ((40, 100, 1850, 800), 18), ((40, 80, 0, 0), PIXELS)]
)
def test_a_terminal_is_asked_how_wide_its_columns_are(window, pixels):
    """xterm's are 6 pixels wide: pictures for 8 stood beside their titles, and the last was cut off."""
    import fcntl
    import pty
    import struct
    import termios

    own, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", *window))
    with open(other, "w") as stream, open(own):
        assert pixels_of(stream) == pixels
        made = Console(file=stream, force_terminal=True, width=window[1])
        show = Show("sixel", Screen(made, Answers(None), Guard(""), False, False, show="sixel"), "red-blue", {})
        text = show._drawn([photograph(), photograph()], 32)
    assert re.search(r'"1;1;(\d+);', text)[1] == str((2 * 32 + 2) * pixels)
    assert pixels_of(io.StringIO()) == PIXELS


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({"TERM": "xterm-256color"}, "blocks"), ({}, "blocks"), ({"KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM_PROGRAM": "ghostty"}, "kitty"), ({"TERM_PROGRAM": "WezTerm"}, "sixel"), ({"TERM": "foot-extra"}, "sixel"),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, "blocks"), ({"TMUX": "x", "TERM": "foot"}, "blocks"),
    ],
)  # fmt: skip
def test_a_terminal_gets_what_it_says_it_has(environment, way):
    assert way_of(environment) == way


def explained(image="a.png", method="ig"):
    values = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32)
    answers = (Prediction(0, "cat", 0.75), Prediction(1, "dog", 0.25))
    seen = Seen(np.full((16, 16, 3), 90, np.uint8))
    return Explanation(image, method, 0, score=1.0, values=values, seen=seen, predictions=answers)


def shown(way, environment, items, **known):
    made, stream = screen(show=way, **known)
    show = Show(way, made, "red-blue", environment)
    for item in items:
        show.take(item)
    show.end()
    return stream.getvalue()


def test_images_maps_and_answers_stand_in_the_terminal():
    text = shown("auto", {"COLORTERM": "truecolor"}, [explained(), explained(method="gradient")], terminal=True)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert plain[0].split() == ["a.png", "ig", "gradient"]
    assert max(map(len, plain)) <= 99
    assert plain[1].count("▀") == 3 * 31
    assert plain[-3:-1] == ["cat  ███████████████       75 %", "dog  █████                 25 %"]


@pytest.mark.parametrize(
    ("environment", "known", "told"),
    [
        ({}, {"terminal": False}, "no terminal"), ({"TERM": "dumb"}, {"terminal": True}, "no terminal"),
        ({"NO_COLOR": "1"}, {"terminal": True}, "NO_COLOR"), ({}, {"terminal": True, "as_json": True}, "--json"),
    ],
)  # fmt: skip
def test_where_nothing_can_be_shown_one_line_says_why(environment, known, told):
    lines = shown("auto", environment, [explained(), explained("b.png")], **known).splitlines()
    assert len(lines) == 1
    assert told in lines[0]


def test_without_show_nothing_is_said():
    assert shown(None, {}, [explained()], terminal=True) == ""


def test_hundreds_of_images_are_counted():
    text = shown("blocks", {}, [explained(f"{i}.png") for i in range(11)], terminal=True)
    assert "… and 3 more images" in text


def test_an_unknown_way_is_refused():
    with pytest.raises(UsageError, match="Did you mean 'kitty'"):
        shown("kity", {}, [])


def test_a_misspelt_way_of_showing_is_not_taken_for_a_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (["--show", "kity"], ["--show", "Sixels"], ["star.png", "--show", "block"]):
        done = sig("explain", *words)
        assert (done.exit_code, "unknown value of --show" in done.output) == (2, True), words
    for word in ("a.png", "kity.png", "photos", "in/kity", "--json"):
        assert _shown(EVERY["explain",], ["--show", word]) == ["--show", "auto", word]
    (tmp_path / "kity").mkdir()
    assert _shown(EVERY["explain",], ["--show", "kity"]) == ["--show", "auto", "kity"]
    assert _shown(EVERY["explain",], ["a.png", "--show"]) == ["a.png", "--show", "auto"]


def test_bars_of_outputs_without_probabilities_are_none():
    assert bars(Explanation("a", "ig")) == []
