"""Byte-level byte pair encoding as GPT-2's, learnt from a text: what GGUF files call the tokenizer `gpt2` with `pre` `gpt-2`."""

import re
from collections import Counter, defaultdict

END = "<|endoftext|>"
# GPT-2's pattern, for ASCII.
WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


def byte_letters():
    """Returns the letter by which GPT-2 writes each byte: itself where it can be printed, or one from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


LETTERS = byte_letters()


class Tokenizer:
    """`vocabulary[id]` is a token; `END` is 0, then the bytes, then a token for each of `merges`, in order."""

    def __init__(self, merges):
        self.merges = merges
        self.vocabulary = [END, *LETTERS.values(), *(a + b for a, b in merges)]
        self.ids = {token: i for i, token in enumerate(self.vocabulary)}
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.cache = {}

    def encode(self, text):
        """Returns the ids of a text."""
        return [i for word in WORDS.findall(text) for i in self.word(word)]

    def word(self, word):
        if word not in self.cache:
            parts = letters(word)
            while len(parts) > 1:
                best = min(pairs(parts), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
                if best not in self.ranks:
                    break
                parts = merged(parts, best)
            self.cache[word] = [self.ids[part] for part in parts]
        return self.cache[word]

    def decode(self, ids):
        """Returns the text of some ids."""
        bytes_of = {letter: byte for byte, letter in LETTERS.items()}
        tokens = (self.vocabulary[i] for i in ids if i)
        return bytes(bytes_of[letter] for token in tokens for letter in token).decode(errors="replace")


def learn(text, size):
    """Learns a tokenizer of `size` tokens: merges the most frequent pair, the first in alphabetical order of equals."""
    counts = Counter(WORDS.findall(text))
    words = [letters(word) for word in counts]
    weights = list(counts.values())
    frequency, places = Counter(), defaultdict(set)
    for place, word in enumerate(words):
        for pair in pairs(word):
            frequency[pair] += weights[place]
            places[pair].add(place)
    merges = []
    while len(merges) < size - 257:
        best = min(frequency, key=lambda pair: (-frequency[pair], pair))
        merges.append(best)
        for place in places.pop(best):
            for pair in pairs(words[place]):
                frequency[pair] -= weights[place]
            words[place] = merged(words[place], best)
            for pair in pairs(words[place]):
                frequency[pair] += weights[place]
                places[pair].add(place)
        del frequency[best]
    return Tokenizer(merges)


def letters(word):
    return [LETTERS[byte] for byte in word.encode()]


def pairs(parts):
    return list(zip(parts, parts[1:]))


def merged(parts, pair):
    out = []
    for part in parts:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return out
