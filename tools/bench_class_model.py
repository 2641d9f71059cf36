"""Time the ascent of class models against a plain autograd loop: ``make bench``.

The loop climbs the network as timm loads it, `deepinside` the same network, prepared. Both
take the same steps from the same start, in turn; what counts is the ratio of each pair.
"""

import statistics

import torch
from bench_saliency import as_timm_loads_it, seconds

from deepinside.class_model import class_model
from deepinside.networks import load_network

CLASS, L2_WEIGHT, STEP_SIZE = 130, 0.001, 10.0


def main() -> None:
    """Print median times a step and the ratios' median and range for batches of 1 and 16."""
    network, plain = load_network(), as_timm_loads_it()
    std = network.normalization.std

    def theirs(batch: int, steps: int) -> None:
        centered = torch.zeros(batch, 3, *network.input_size)
        for _ in range(steps):
            centered.requires_grad_()
            score = plain(centered / std)[:, CLASS]
            value = score - L2_WEIGHT * centered.square().sum((1, 2, 3))
            gradient = torch.autograd.grad(value.sum(), centered)[0]
            centered = (centered + STEP_SIZE * gradient).detach()

    def ours(batch: int, steps: int) -> None:
        options = {"l2_weight": L2_WEIGHT, "step_size": STEP_SIZE, "steps": steps}
        class_model(network, [CLASS] * batch, snapshots=1, **options)

    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, a step:")
    print(f"{'batch':>5s} {'plain, timm':>12s} {'deepinside':>11s} {'ratio':>6s}   (min to max)")
    for batch, steps, repeats in ((1, 30, 9), (16, 4, 7)):
        theirs(batch, 2)
        ours(batch, 2)
        times = []
        for _ in range(repeats):
            of_loop = seconds(lambda b=batch, s=steps: theirs(b, s))
            times.append((of_loop, seconds(lambda b=batch, s=steps: ours(b, s))))
        loop, ascent = (1e3 * statistics.median(row) / steps for row in zip(*times, strict=True))
        ratios = sorted(of_loop / of_ascent for of_loop, of_ascent in times)
        print(
            f"{batch:5d} {loop:9.1f} ms {ascent:8.1f} ms {statistics.median(ratios):6.2f}   "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
