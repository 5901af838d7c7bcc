"""Commands as they stand on a page of the documentation."""

from __future__ import annotations

import re
import shlex


def commands(text: str) -> list[str]:
    """The commands of a page's shell blocks: continued lines joined, comments and what stands before `&&` left out."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]
    return [line.split("&&")[-1].split("#")[0].strip() for line in lines]


def chains(found: list[str]) -> list[list[str]]:
    """Commands that need nothing of each other, apart: one that names a folder joins the chain that writes it.

    A folder is written by `--out`, and named as it is or by a path in it.
    """
    out: list[list[str]] = []
    folders: list[set[str]] = []
    for command in found:
        words = shlex.split(command)
        written = {words[at + 1] for at, word in enumerate(words) if word == "--out"}
        named = [i for i, made in enumerate(folders) if any(_within(word, folder) for word in words for folder in made)]
        if len(named) > 1:
            raise ValueError(f"{command} needs the folders of two chains")
        if named:
            out[named[0]].append(command)
            folders[named[0]] |= written
        else:
            out.append([command])
            folders.append(written)
    return out


def _within(word: str, folder: str) -> bool:
    return word == folder or word.startswith(f"{folder}/")
