"""Trains the pair, a process for each of the two, and writes the files that `scripts/train-tiny` promises."""

import argparse
import hashlib
import json
import math
import multiprocessing
import os

import torch

import bpe
import corpus
import gguf
from network import Shape
from training import mean_loss, train

KINDS = "ternary", "f16"
PROMPT = "And it came to pass"
# The windows at the start of the held-out text that tests run too.
PIECE = 4


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/train-tiny")
    parser.add_argument("folder", help="where the files go; a run that was stopped goes on from the checkpoints in it")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=math.inf, help="end in this time, with fewer steps if need be")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="a few steps, to see that all works")
    return parser.parse_args()


def say(line):
    print(line, flush=True)


def make(kind, options, shape, tokenizer, parts):
    """Trains one of the two, writes it, and writes what was found about it."""
    torch.set_num_threads(1)
    ids = {part: torch.tensor(tokenizer.encode(text)) for part, text in parts.items()}
    if options.smoke:
        ids = {part: some[: 40 * shape.context] for part, some in ids.items()}
    limits = {"steps": 10 if options.smoke else options.steps, "minutes": options.minutes}
    network, account = train(
        kind, shape, ids["training"], ids["validation"], options.folder, seed=options.seed, say=say, **limits
    )
    network.as_stored()
    gguf.write(f"{options.folder}/{kind}.gguf", network, tokenizer, f"bitbench pair, {kind}")
    account |= measured(network, tokenizer, ids["held out"])
    account["torch"] = torch.__version__
    with open(f"{options.folder}/{kind}.json", "w") as out:
        json.dump(account, out, indent=1)
        out.write("\n")
    say(f"{kind}: {account['step']} steps in {account['seconds']:.0f} s, best at {account['best_step']}")
    say(f"{kind}: perplexity {math.exp(account['held_out_nats_per_token']):.2f} a token on the held-out text")
    say(f"{kind}: {PROMPT}{account['greedy_text']}")


def measured(network, tokenizer, held_out):
    """Figures that other programs should find again; a loss by the rule of `bitbench perplexity` and llama-perplexity, which
    count the second half of each window."""
    half = network.shape.context // 2
    loss = mean_loss(network, held_out, half)
    text_bytes = len(tokenizer.decode(held_out.tolist()).encode())
    prompt_ids = tokenizer.encode(PROMPT)
    greedy_ids = continuation(network, prompt_ids, 32)
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "held_out_nats_per_token": loss,
        "held_out_bits_per_byte": loss / math.log(2) * len(held_out) / text_bytes,
        "piece_windows": PIECE,
        "piece_nats_per_token": mean_loss(network, held_out[: PIECE * network.shape.context], half),
        "prompt_ids": prompt_ids,
        "greedy_ids": greedy_ids,
        "greedy_text": tokenizer.decode(greedy_ids),
    }


@torch.no_grad()
def continuation(network, ids, count):
    """The most probable next tokens, one after the other."""
    ids = list(ids)
    for _ in range(count):
        ids.append(int(network(torch.tensor([ids]))[0, -1].argmax()))
    return ids[-count:]


def main():
    options = arguments()
    os.makedirs(options.folder, exist_ok=True)
    shape = Shape()
    parts = corpus.parts()
    with open(f"{options.folder}/heldout.txt", "w") as out:
        out.write(parts["held out"])
    tokenizer = bpe.learn(parts["training"], shape.vocabulary)
    say("; ".join(f"{part}: {len(text)} bytes" for part, text in parts.items()))
    process = multiprocessing.get_context("fork").Process
    runs = [process(target=make, args=(kind, options, shape, tokenizer, parts)) for kind in KINDS]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    if any(run.exitcode for run in runs):
        raise SystemExit(1)
    for name in (*(f"{kind}.gguf" for kind in KINDS), "heldout.txt"):
        with open(f"{options.folder}/{name}", "rb") as file:
            data = file.read()
        say(f"{hashlib.sha256(data).hexdigest()}  {name}  {len(data)} bytes")


if __name__ == "__main__":
    main()
