"""Checks of the exercises on limits: intervals, rank correlation, randomized layers, controls.

Networks are tiny, in float64; nothing here uses `deepinside.limits` or `deepinside.measures`.
"""

import math
from collections import OrderedDict
from functools import partial

import numpy as np
import torch
from scipy import ndimage, stats
from torch import Tensor, nn

from deepinside.classroom.answers import (
    Answer,
    Compared,
    Comparisons,
    Hint,
    compare,
    task,
    tensor_of,
)
from deepinside.classroom.small_networks import (
    class_gradient,
    drawn,
    drawn_image,
    fill,
    gradient,
    relu_network,
)

_IGNORED = (
    "Other generators change nothing: hand the generator on to every call that draws, as in "
    "`torch.randn(shape, generator=generator)`."
)


@task("limits-interval", points=2, praise="95 % of the means of images drawn again lie within it.")
def check_mean_interval(answer: Answer) -> Comparisons:
    """Check ``mean_interval(values, generator)``.

    It should return the two ends of an interval that holds 95 % of the means of values
    (N,) drawn again.
    """
    values = torch.tensor([0.16, 0.94, 0.40, 0.55, 0.95, 0.12, 0.54, 0.23], dtype=torch.float64)
    results = []
    for seed in range(8):
        value = tensor_of(answer(values, torch.Generator().manual_seed(seed)), "the interval")
        if value.shape != (2,):
            raise Hint(
                "Expected the two ends of the interval, `low, high`, got a result of shape "
                f"{tuple(value.shape)}."
            )
        results.append(value)
    generator = torch.Generator().manual_seed(1000)
    draws = values[torch.randint(8, (100_000, 8), generator=generator)]
    # what draws at random is compared in the mean of several runs, as deviations from the mean
    means, mean = draws.mean(1) - values.mean(), values.mean()
    deviation, error = values.std(), values.std() / math.sqrt(8)
    around = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    right = _ends(means)
    mistakes = {
        "Both ends are the mean: all values were drawn each time, none of them twice. Draw *with* "
        "replacement, as `torch.randint` does and `torch.randperm` does not.": torch.zeros(2),
        "This is an interval of 90 %: leave out 2.5 % at each end, the quantiles 0.025 and "
        "0.975.": _ends(means, 0.05, 0.95),
        "One end is wrong: leave out 2.5 % at *each* end, the quantiles 0.025 and 0.975.": [
            _ends(means, 0.05, 0.975),
            _ends(means, 0.0, 0.95),
            _ends(means, 0.05, 1.0),
        ],
        "The ends come in the wrong order: `low, high`.": right.flip(0),
        "These are quantiles of the values. The interval is about their *mean*: take the mean of "
        "each draw first.": [_ends(values - mean), _ends(draws[:, 0] - mean)],
        "This is the standard deviation of the values, or twice that, about the mean: it says how "
        "much photos differ, not how sure their mean is.": [
            around * k * d for k in (1, 1.96, 2) for d in (deviation, values.std(correction=0))
        ],
        "This is one standard error about the mean, which holds 68 %: the task wants 95 %.": [
            around * means.std(),
            around * error,
        ],
        "The sums of the draws were taken, not their means.": _ends(draws.sum(1) - mean),
    }
    what, ends = "the interval's distance from the mean", torch.stack(results)
    yield Compared(what, ends.mean(0) - mean, right, mistakes, tolerance=0.06)
    if (ends == ends[0]).all():
        raise Hint(_IGNORED)


def _ends(values: Tensor, low: float = 0.025, high: float = 0.975) -> Tensor:
    """Return two quantiles as 2000 draws give them on average."""
    ends = torch.tensor((low, high), dtype=torch.float64)
    return torch.stack([part.quantile(ends) for part in values.split(2000)]).mean(0)


@task("limits-rank-correlation", points=1, praise="It depends on the order of the pixels alone.")
def check_rank_correlation(answer: Answer) -> Comparisons:
    """Check ``rank_correlation(first, second)``.

    It should return the rank correlation (Spearman) of two maps (H, W), a number.
    """
    a, b = drawn(3, 5, seed=30), drawn(3, 5, seed=31)
    zeros, other_zeros = (drawn(4, 5, seed=seed).clamp(min=0) for seed in (32, 33))
    cases = [(a, a.exp()), (a, -(a**3)), (a, b + 0.7 * a), (a, b - a), (zeros, zeros + other_zeros)]
    for first, second in cases:
        pair = [first.flatten().numpy(), second.flatten().numpy()]
        ranks = [stats.rankdata(values) for values in pair]
        n, right = first.numel(), _pearson(*ranks)
        mistakes = {
            "This is the correlation of the values. Replace each value by its rank first.": (
                _pearson(*pair)
            ),
            "`argsort` gives the places of the values in their order, not the rank of each value. "
            "Use it twice, or `scipy.stats.rankdata`.": [
                _pearson(*(np.argsort(sign * values) for values in pair)) for sign in (1, -1)
            ],
            "Right for values that all differ, but equal values, such as a map's zeros, have to "
            "share the mean of their ranks, and the formula with the sum of d² holds for different "
            "values only. `scipy.stats.rankdata` gives these ranks; correlate them.": [
                1 - 6 * np.sum((ranks[0] - ranks[1]) ** 2) / (n * (n**2 - 1)),
                *(
                    _pearson(*(stats.rankdata(values, method=method) for values in pair))
                    for method in ("ordinal", "min", "max", "dense")
                ),
            ],
            "The magnitudes were ranked: here the sign is a part of the order.": _pearson(
                *(stats.rankdata(np.abs(values)) for values in pair)
            ),
            "The mean was not subtracted from the ranks, so that even unrelated maps are close to "
            "1.": [_cosine(*ranks), _cosine(ranks[0] - 1, ranks[1] - 1)],
            "This is Kendall's rank correlation, which counts pairs. The task wants "
            "Spearman's.": stats.kendalltau(*pair)[0],
            "`spearmanr` returns two numbers, the correlation and a p-value: take "
            "`.statistic`.": tuple(stats.spearmanr(*pair)),
            "`spearmanr` takes each column of a matrix for a variable: `flatten` the maps "
            "first.": stats.spearmanr(first.numpy(), second.numpy())[0],
            "It is 1 minus the correlation: the same order has to give 1.": 1 - right,
        }
        yield Compared("the rank correlation", answer(first, second), right, mistakes)


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    return np.corrcoef(first, second)[0, 1]


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    return first @ second / np.linalg.norm(first) / np.linalg.norm(second)


@task(
    "limits-randomize",
    points=3,
    praise="The upper layers know nothing any more, the lower ones and the original all.",
)
def check_randomize_top(answer: Answer) -> Comparisons:
    """Check ``randomize_top(network, count, generator)``.

    It should return a copy in which the last `count` layers with weights have normal
    weights of variance 2 / inputs and no bias.
    """
    network = _nested_network()
    names = _weighted(network)
    for count in (1, 2, 3, len(names)):
        made = [_network_from(answer, network, count, seed) for seed in (0, 0, 1)]
        _check_changed(network, made[0], count)
        for name in names[-count:]:
            _check_drawn(
                name, *(some.get_parameter(f"{name}.weight").detach() for some in (network, *made))
            )
    return ()


def _nested_network() -> nn.Sequential:
    features = nn.Sequential(
        nn.Conv2d(2, 40, kernel_size=3), nn.ReLU(), nn.Conv2d(40, 12, 3, bias=False), nn.ReLU()
    )
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(48, 60), nn.ReLU(), nn.Linear(60, 20))
    network = nn.Sequential(OrderedDict(features=features, classifier=classifier)).double()
    fill(network, 0.05, seed=40)
    return network.eval()


def _weighted(network: nn.Module) -> list[str]:
    kinds = nn.Conv2d | nn.Linear
    return [name for name, module in network.named_modules() if isinstance(module, kinds)]


def _network_from(answer: Answer, network: nn.Module, count: int, seed: int) -> nn.Module:
    made = answer(network, count, torch.Generator().manual_seed(seed))
    if not isinstance(made, nn.Module):
        raise Hint(f"Expected a network, got {type(made).__name__}.")
    shapes, made_shapes = (
        {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
        for module in (network, made)
    )
    if made_shapes != shapes:
        raise Hint("The network that came back has other layers than the one that was given.")
    return made


def _check_changed(network: nn.Module, made: nn.Module, count: int) -> None:
    """Raise the hint that fits the layers that have other weights or another bias."""
    old, new = dict(network.named_parameters()), dict(made.named_parameters())
    equal = {name: torch.equal(old[name], new[name]) for name in old}
    names = _weighted(network)
    leaves = [name for name, layer in network.named_modules() if not list(layer.children())]
    changed, wanted = [name for name in names if not equal[f"{name}.weight"]], names[-count:]
    # in this order, as with few layers one mistake may look like another
    mistakes = {
        "No layer has other weights than before.": [],
        "All layers were drawn anew: the task wants the last `count` of them.": names,
        "The *first* layers were drawn anew. The top is where the class scores come out: the last "
        "layers.": names[:count],
        "Too few layers were drawn anew: the task wants the last `count` with weights; ReLU and "
        "Flatten have none, and do not count.": [name for name in leaves[-count:] if name in names],
        "One layer alone was drawn anew, and those above it kept what they learned: the task wants "
        "the last `count` layers together.": wanted[:1],
    }
    if changed != wanted:
        for hint, result in mistakes.items():
            if changed == result:
                raise Hint(hint)
        raise Hint(
            f"With count={count} expected new weights in {', '.join(wanted)}; they are new in "
            f"{', '.join(changed)}."
        )
    biased = [name for name in names if f"{name}.bias" in old]
    if any(new[f"{name}.bias"].count_nonzero() for name in biased if name in wanted):
        raise Hint(
            "A bias of a layer that was drawn anew is not 0: what it learned is to be forgotten as "
            "well."
        )
    if not all(equal[f"{name}.bias"] for name in biased if name not in wanted):
        raise Hint(
            "The bias of a lower layer has changed: only the last `count` layers are to forget."
        )


def _check_drawn(name: str, old: Tensor, new: Tensor, same: Tensor, other: Tensor) -> None:
    """Raise the hint that fits how weights were drawn, once each with two seeds, one repeated."""
    if new.std() <= 1e-9 * max(1.0, new.abs().max().item()):
        raise Hint(
            "All new weights of a layer are the same: no pixel's signal differs from another's by "
            "them. Draw them at random."
        )
    if torch.equal(new.flatten().sort().values, old.flatten().sort().values):
        raise Hint("These are the old weights in another order. Draw new ones.")
    if torch.corrcoef(torch.stack([new.flatten(), old.flatten()]))[0, 1].abs() > 0.3:
        raise Hint(
            "The new weights resemble the old ones: was noise added to them? The layer has to "
            "forget all of them."
        )
    if (new >= 0).all():
        raise Hint(
            "All new weights are positive: `torch.rand` is uniform from 0 to 1. Draw from a normal "
            "distribution about 0, `torch.randn`."
        )
    _check_variance(name, new)
    if torch.equal(same, other):
        raise Hint(_IGNORED)
    if not torch.equal(new, same):
        raise Hint("The same generator state gave other weights: draw from the generator alone.")


def _check_variance(name: str, weight: Tensor) -> None:
    inputs, outputs = weight[0].numel(), weight.shape[0] * weight[0, 0].numel()
    deviation, expected = weight.std().item(), math.sqrt(2 / inputs)
    # five standard deviations of what so many draws give
    tolerance = 5 / math.sqrt(2 * weight.numel())
    if abs(deviation / expected - 1) <= tolerance:
        return
    mistakes = {
        "The new weights are too small: 2 / inputs is their *variance*, so multiply by its root.": 2
        / inputs,
        "The new weights have variance 1, whatever the layer: the signal would grow with each "
        "layer. Multiply by the root of 2 / inputs.": 1.0,
        "The outputs of the layer were counted: the variance is 2 / *inputs* of one unit, "
        "`weight[0].numel()` of them.": math.sqrt(2 / outputs),
        "The input channels alone were counted: a unit of a convolution has channels × rows × "
        "columns inputs, `weight[0].numel()` of them.": math.sqrt(2 / weight.shape[1]),
        "The variance is 1 / inputs: behind a ReLU, which shuts half of the units, it takes "
        "2 / inputs to keep the signal's size.": math.sqrt(1 / inputs),
        "The variance is 1 / (3 inputs), as PyTorch draws a new layer (`reset_parameters`): the "
        "task wants 2 / inputs.": math.sqrt(1 / (3 * inputs)),
    }
    for hint, value in mistakes.items():
        if abs(deviation / value - 1) <= tolerance:
            raise Hint(hint)
    raise Hint(
        f"The weights of {name}, with {inputs} inputs a unit, should have a standard deviation of "
        f"about {expected:.3f}, got {deviation:.3f}."
    )


@task("limits-edges", points=1, praise="High at edges, whatever a network makes of them.")
def check_edge_map(answer: Answer) -> Comparisons:
    """Check ``edge_map(image)``.

    It should return the strength of edges (H, W) in an image (3, H, W): the length of the
    Sobel gradient of the channels' mean, up to a factor.
    """
    for image in (drawn_image(3, 7, 7, seed=60), drawn_image(3, 6, 9, seed=61)):
        value = tensor_of(answer(image), "the map")
        if value.shape != image.shape[1:]:
            raise Hint(
                f"Expected a map of the image's size, {tuple(image.shape[1:])}, got "
                f"{tuple(value.shape)}."
            )
        (x, y), *of_channels = (_slopes(plane) for plane in (image.mean(0), *image))
        length, differences = torch.hypot(x, y), np.gradient(image.mean(0).numpy())
        mistakes = {
            "Only the changes along one axis count here, so that edges along it are missed: take "
            "both derivatives.": [x, y, x.abs(), y.abs()],
            "The two derivatives are added with their signs, so that they cancel: take the root of "
            "the sum of their squares.": [x + y, (x + y).abs()],
            "The root is missing: this is the square of the gradient's length.": [x**2 + y**2],
            "This is the sum, or the larger, of the two magnitudes: the length of the gradient is "
            "the root of the sum of squares.": [x.abs() + y.abs(), torch.maximum(x.abs(), y.abs())],
            "One channel alone was taken: average the three.": [
                torch.hypot(*slopes) for slopes in of_channels
            ],
            "These are differences of two neighbors. A Sobel filter averages over three rows or "
            "columns as well, with weights 1, 2, 1.": [torch.from_numpy(np.hypot(*differences))],
            "This is the image's brightness, not its change.": [image.mean(0)],
            "Rows and columns are swapped: the map has the height and width of the image.": [
                length.T
            ],
        }
        what = "the map, as a share of its largest value,"
        inner = {hint: [_inner(wrong) for wrong in listed] for hint, listed in mistakes.items()}
        yield Compared(what, _inner(value), _inner(length), inner)


def _slopes(plane: Tensor) -> list[Tensor]:
    """Return the Sobel derivatives along x and y."""
    return [torch.from_numpy(ndimage.sobel(plane.numpy(), axis)) for axis in (1, 0)]


def _inner(values: Tensor) -> Tensor:
    """Return a map without the border, which every library does differently, as is the factor."""
    values = values[1:-1, 1:-1]
    return values / (values.abs().max() or 1.0)


@task(
    "limits-deletion", points=3, praise="From the image's probability to that of the replacement."
)
def check_deletion_curve(answer: Answer) -> Comparisons:
    """Check ``deletion_curve(network, image, saliency, c, replacement, steps)``.

    It should return the probabilities (steps + 1,) of the class c while the pixels of an
    image (C, H, W) turn into those of a replacement, the highest of a map (H, W) first.
    """
    c = 2

    def curve(scores: Tensor) -> Tensor:
        return scores.softmax(1)[:, c]

    # first where rows for columns do not fail, so that the mistake can be named
    for size, steps, seed in (((6, 6), 6, 70), ((4, 6), 8, 80)):
        network = relu_network(size, classes=4, seed=5)
        image, replacement = (drawn_image(3, *size, seed=seed + i) for i in (0, 1))
        saliency = drawn_image(*size, seed=seed + 2)
        transposed = saliency.T if size[0] == size[1] else saliency
        deleted = partial(_deleted, network, steps)
        scores = deleted(image, saliency, replacement)
        right = curve(scores)
        mistakes = {
            "The lowest pixels go first: the map's highest values mark those that should matter "
            "most, so sort from the top, `descending=True`.": curve(
                deleted(image, -saliency, replacement)
            ),
            "This is the class score. The curve is one of the class probability, after "
            "soft-max.": scores[:, c],
            "This is the log-probability: the curve is one of the probability itself.": right.log(),
            "This is the probability of the most probable class at each step: it has to be that of "
            "class `c` throughout.": scores.softmax(1).amax(1),
            "Soft-max runs over the images here. It has to run over the classes, `dim=1` of scores "
            "(N, classes).": [scores.softmax(0)[:, c], torch.ones_like(right)],
            "It runs the other way, from the replacement to the image: that is the insertion "
            "curve.": curve(deleted(replacement, saliency, image)),
            "The pixels of earlier steps come back. What was replaced stays replaced.": curve(
                deleted(image, saliency, replacement, stays=False)
            ),
            "The curve lacks its start or its end: it has steps + 1 values, the image itself is "
            "the first, the whole replacement the last.": [right[1:], right[:-1]],
            "Only one channel of a pixel is replaced: `image[:, row, column]` holds all of "
            "them.": curve(deleted(image, saliency, replacement, channels=1)),
            "The pixels turn black. What stands in their place is given: `replacement`.": curve(
                deleted(image, saliency, 0 * replacement)
            ),
            "Rows and columns are swapped: place p of a flattened map is row p // width, column "
            "p % width.": curve(deleted(image, transposed, replacement)),
            "This is the area under the curve: the task wants the curve.": [
                torch.trapezoid(right, dx=1 / steps),
                right.mean(),
            ],
        }
        value = answer(network, image, saliency, c, replacement, steps)
        compare([Compared("the curve", value, right, mistakes)])
    return ()


def _deleted(
    network: nn.Module,
    steps: int,
    image: Tensor,
    saliency: Tensor,
    replacement: Tensor,
    *,
    stays: bool = True,
    channels: int = 3,
) -> Tensor:
    """Return the scores at each step, (steps + 1, classes)."""
    order = saliency.flatten().argsort(descending=True)
    share = len(order) // steps
    there, stages = image.clone(), [image]
    for places in order.split(share):
        there = there.clone() if stays else image.clone()
        for place in places.tolist():
            row, column = divmod(place, image.shape[2])
            there[:channels, row, column] = replacement[:channels, row, column]
        stages.append(there)
    return network(torch.stack(stages)).detach()


@task(
    "limits-predicted-change",
    points=2,
    praise="What the tangent at the image says of the change, and no more.",
)
def check_predicted_change(answer: Answer) -> Comparisons:
    """Check ``predicted_change(network, image, changed, c)``.

    It should return the change of a class score that its gradient predicts, in logits.
    """
    network = relu_network((4, 6), classes=4, seed=6)
    images = [drawn_image(3, 4, 6, seed=seed) for seed in (90, 91, 92)]
    for image, changed, c in ((images[0], images[1], 1), (images[1], images[2], 3)):
        change = changed - image
        before, after = network(torch.stack([image, changed]))[:, c].detach()
        w, at_changed, softmax, log_softmax, of_all, of_top = (
            class_gradient(network, image, c),
            class_gradient(network, changed, c),
            class_gradient(network, image, c, torch.softmax),
            class_gradient(network, image, c, torch.log_softmax),
            gradient(network, image, torch.sum),
            gradient(network, image, torch.max),
        )
        right = (w * change).sum()
        mistakes = {
            "Soft-max was taken, so this is about the probability, in which the other classes take "
            "part. The task asks for the class score, as the network returns it.": [
                (softmax * change).sum(),
                (log_softmax * change).sum(),
            ],
            "This is the real change, measured with the network. The task wants what the gradient "
            "at the image predicts.": after - before,
            "The sign is wrong: the change is `changed - image`.": -right,
            "The gradient was taken at the changed image: it has to be that at the image, from "
            "where the change is predicted.": (at_changed * change).sum(),
            "The gradient's sign is lost: a brighter pixel may lower the score as well. Use the "
            "signed gradient, not the saliency map.": [
                (w.abs() * change).sum(),
                (w * change).abs().sum(),
                right.abs(),
                (w.abs().amax(0) * change).sum(),
            ],
            "The products are averaged: every pixel's change adds to the score, so sum them up.": (
                w * change
            ).mean(),
            "The products are not summed up: the task wants one number.": [
                w * change,
                (w * change).sum(0),
            ],
            "The gradient is multiplied with an image. The task wants the product with the "
            "*change*, `changed - image`.": [(w * image).sum(), (w * changed).sum()],
            "This belongs to the class of the highest score: take the class that was asked for.": (
                of_top * change
            ).sum(),
            "All scores were added up: take that of class `c` alone.": (of_all * change).sum(),
            "The change is added to the score of the image: the task wants the change "
            "alone.": before + right,
        }
        value = answer(network, image, changed, c)
        yield Compared("the predicted change", value, right, mistakes)
        answer.repeat(right)
