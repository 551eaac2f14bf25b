"""One training run: data order, schedule, checkpoints."""

import json
import math
import os
import time

import torch

from network import Network

BATCH = 4
WARM_UP = 100
WEIGHT_DECAY = 0.1
# Peaks of the learning rate. The FAQ of arXiv 2402.17764: higher for ternary weights, lower in the second half, which
# also has no weight decay.
PEAK = {"ternary": (3e-3, 2e-3), "f16": (2e-3, 2e-3)}
VALIDATE_EVERY = 200


def batches(ids, context, seed):
    """Yields [BATCH][context + 1] without end: pass after pass over the ids, in windows from a new start, shuffled."""
    order = torch.Generator().manual_seed(seed)
    while True:
        start = int(torch.randint(context, (1,), generator=order))
        windows = ids[start:].unfold(0, context + 1, context)
        for chosen in torch.randperm(len(windows), generator=order).split(BATCH):
            if len(chosen) == BATCH:
                yield windows[chosen]


def rate(kind, step, progress):
    """The learning rate: linear from nothing to its peak, and down to nothing; a lower line in the second half."""
    first, second = PEAK[kind]
    return (first if progress < 0.5 else second) * (1 - progress) * min(1, (step + 1) / WARM_UP)


def train(kind, shape, training_ids, validation_ids, folder, *, steps, minutes, seed, say):
    """Trains a network and returns it as it was when the validation loss was lowest, with an account of the run.

    The run ends after `steps`, or, on a schedule that gets there in time, after `minutes`. It goes on from
    `folder/KIND.checkpoint` where that is.
    """
    torch.manual_seed(seed)
    network = Network(shape, kind == "ternary")
    matrices = [p for p in network.parameters() if p.dim() == 2]
    vectors = [p for p in network.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}], betas=(0.9, 0.95), weight_decay=WEIGHT_DECAY
    )
    run = {"step": 0, "seconds": 0.0, "best": math.inf, "best_step": 0, "best_weights": None, "curve": []}
    path = f"{folder}/{kind}.checkpoint"
    if os.path.exists(path):
        saved = torch.load(path)
        network.load_state_dict(saved.pop("network"))
        optimizer.load_state_dict(saved.pop("optimizer"))
        run = saved
    began = time.monotonic() - run["seconds"]
    for step, batch in enumerate(batches(training_ids, shape.context, seed)):
        if step < run["step"]:
            continue
        run["seconds"] = time.monotonic() - began
        progress = max(step / steps, run["seconds"] / (60 * minutes))
        done = progress >= 1
        if done or step % VALIDATE_EVERY == 0:
            run["step"] = step
            found = mean_loss(network, validation_ids)
            run["curve"].append((step, found))
            if found < run["best"]:
                weights = {name: value.clone() for name, value in network.state_dict().items()}
                run |= {"best": found, "best_step": step, "best_weights": weights}
            say(f"{kind}: step {step} of {steps}, {run['seconds']:.0f} s, validation loss {found:.4f}")
            torch.save(run | {"network": network.state_dict(), "optimizer": optimizer.state_dict()}, path + ".new")
            os.replace(path + ".new", path)
        if done:
            break
        decay = optimizer.param_groups[0]
        decay["weight_decay"] = WEIGHT_DECAY if kind == "f16" or progress < 0.5 else 0.0
        for group in optimizer.param_groups:
            group["lr"] = rate(kind, step, progress)
        optimizer.zero_grad(set_to_none=True)
        network.loss(batch).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    network.load_state_dict(run.pop("best_weights"))
    with open(f"{folder}/{kind}.json", "w") as out:
        json.dump(run, out, indent=1)
    return network, run


@torch.no_grad()
def mean_loss(network, ids, first=0):
    """Mean negative log-likelihood, in nats a token, over windows of the context's length, each from nothing.

    It counts what is predicted from position `first` of a window on.
    """
    windows = ids.unfold(0, network.shape.context, network.shape.context)
    total = sum(network.loss(some, first, reduction="sum").double() for some in windows.split(16))
    return float(total / (windows.shape[0] * (windows.shape[1] - 1 - first)))
