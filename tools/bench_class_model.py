"""Time the ascent of class models against a plain autograd loop: ``make bench``.

The loop climbs EfficientNet-Lite0 as timm loads it and SqueezeNet as torchvision has it,
`deepinside` the same networks, prepared. Both take the same steps from the same start, in
turn; what counts is the ratio of each pair.
"""

import itertools
from functools import partial

import torch
from bench_saliency import THREADS, as_published, compared

from deepinside.class_model import class_model
from deepinside.networks import load_network

CLASS = 130


def print_times(name: str, l2_weight: float, step_size: float) -> None:
    """Print median times and the ratios' median and range, for batches of 1 and 16."""
    network, plain = load_network(name), as_published(name)
    std = network.normalization.std

    def theirs(batch: int, steps: int) -> None:
        centered = torch.zeros(batch, 3, *network.input_size)
        for _ in range(steps):
            centered.requires_grad_()
            score = plain(centered / std)[:, CLASS]
            value = score - l2_weight * centered.square().sum((1, 2, 3))
            gradient = torch.autograd.grad(value.sum(), centered)[0]
            centered = (centered + step_size * gradient).detach()

    def ours(batch: int, steps: int) -> None:
        options = {"l2_weight": l2_weight, "step_size": step_size, "snapshots": 1}
        class_model(network, [CLASS] * batch, steps=steps, **options)

    print(f"\n{name}")
    print(f"threads {'batch':>5s} {'plain loop':>13s} {'ours':>11s} {'ratio':>6s}   (min to max)")
    for threads, run in itertools.product(THREADS, ((1, 30), (16, 8))):
        torch.set_num_threads(threads)
        print(f"{threads:7d} {run[0]:5d} {compared(partial(theirs, *run), partial(ours, *run), 5)}")


def main() -> None:
    """Print the times of both networks."""
    print(f"torch {torch.__version__}, ascents of 30 steps, and of 8 for the batches of 16")
    print_times("efficientnet_lite0", l2_weight=0.001, step_size=10.0)
    print_times("squeezenet", l2_weight=1.0, step_size=0.06)


if __name__ == "__main__":
    main()
