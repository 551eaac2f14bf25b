"""The King James Bible out of Debian's package `bible-kjv`, by chapters, and its three parts."""

import itertools
import subprocess

# Of every 40 chapters in their order, one is held out and one chooses the checkpoint; training sees neither.
EVERY = 40
HELD_OUT, VALIDATION = 39, 19


def chapters():
    """Returns the text of each chapter in order: one verse a line, without its number."""
    text = subprocess.run(
        ["bible", "-f", "Gen1:1-Rev22:21"], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
    ).stdout
    verses = (line.split(" ", 1) for line in text.splitlines())
    by_chapter = itertools.groupby(verses, key=lambda verse: verse[0].rsplit(":", 1)[0])
    found = ["".join(f"{text}\n" for _, text in verses) for _, verses in by_chapter]
    assert len(found) == 1189 and all(chapter.isascii() for chapter in found), "not the text this was made for"
    return found


def parts():
    """Returns the texts to train on, to choose the checkpoint by, and to measure on; a blank line ends a chapter."""
    kinds = {"training": [], "validation": [], "held out": []}
    for index, chapter in enumerate(chapters()):
        kind = {HELD_OUT: "held out", VALIDATION: "validation"}.get(index % EVERY, "training")
        kinds[kind].append(chapter)
    return {kind: "\n".join(texts) for kind, texts in kinds.items()}
