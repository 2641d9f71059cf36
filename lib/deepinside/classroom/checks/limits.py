"""Checks of the exercises on limits: intervals, rank correlation, randomized layers, controls.

Each takes a student's function and says what kind of wrong it is. Networks are tiny, in
float64; nothing here uses `deepinside.limits` or `deepinside.measures`.
"""

import math
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage, stats
from torch import Tensor, nn

from deepinside.classroom.answers import (
    Answer,
    Hint,
    Result,
    compare,
    compare_cases,
    judged,
    tensor_of,
)
from deepinside.classroom.small_networks import drawn, drawn_image, relu_network

_IGNORED = (
    "Other generators change nothing: hand the generator on to every call that draws, as in "
    "`torch.randn(shape, generator=generator)`."
)


def check_mean_interval(mean_interval: object) -> Result:
    """Return what a check says of a bootstrap interval of a mean.

    Expected is ``mean_interval(values, generator)``, from values (N,) to the two ends of an
    interval that holds 95 % of the means of values drawn again.
    """
    return judged("mean_interval", mean_interval, _judge_mean_interval)


def check_rank_correlation(rank_correlation: object) -> Result:
    """Return what a check says of the rank correlation (Spearman) of two maps.

    Expected is ``rank_correlation(one, other)``, from maps (H, W) to a number.
    """
    return judged("rank_correlation", rank_correlation, _judge_rank_correlation)


def check_randomize_top(randomize_top: object) -> Result:
    """Return what a check says of a network whose upper layers were drawn anew.

    Expected is ``randomize_top(network, count, generator)``, a copy in which the last
    `count` layers with weights have normal weights of variance 2 / inputs and no bias.
    """
    return judged("randomize_top", randomize_top, _judge_randomize_top)


def check_edge_map(edge_map: object) -> Result:
    """Return what a check says of the strength of edges in an image.

    Expected is ``edge_map(image)``, from (3, H, W) to (H, W): the length of the Sobel
    gradient of the channels' mean, up to a factor.
    """
    return judged("edge_map", edge_map, _judge_edge_map)


def check_deletion_curve(deletion_curve: object) -> Result:
    """Return what a check says of the class probability while pixels are replaced.

    Expected is ``deletion_curve(network, image, saliency, c, replacement, steps)``, from
    an image and a replacement (C, H, W) and a map (H, W) to probabilities (steps + 1,).
    """
    return judged("deletion_curve", deletion_curve, _judge_deletion_curve)


def check_predicted_change(predicted_change: object) -> Result:
    """Return what a check says of the change of a class score that its gradient predicts.

    Expected is ``predicted_change(network, image, changed, c)``, a number in logits.
    """
    return judged("predicted_change", predicted_change, _judge_predicted_change)


# ---- interval

_VALUES = torch.tensor([0.16, 0.94, 0.40, 0.55, 0.95, 0.12, 0.54, 0.23], dtype=torch.float64)
_QUANTILES = (0.025, 0.975)


def _judge_mean_interval(answer: Answer) -> str:
    ends = []
    for seed in range(8):
        value = tensor_of(answer(_VALUES, torch.Generator().manual_seed(seed)), "the interval")
        if value.shape != (2,):
            raise Hint(
                "Expected the two ends of the interval, `low, high`, got a result of shape "
                f"{tuple(value.shape)}."
            )
        ends.append(value)
    mean = _VALUES.mean()
    mistakes = {
        hint: [one - mean for one in results] for hint, results in _interval_mistakes().items()
    }
    # what draws at random is compared in the mean of several runs, as deviations from the mean
    got = torch.stack(ends)
    compare(
        got.mean(0) - mean,
        _ends(_drawn_means()) - mean,
        mistakes,
        what="the interval's distance from the mean",
        tolerance=0.06,
    )
    if (got == got[0]).all():
        raise Hint(_IGNORED)
    return "95 % of the means of images drawn again lie within it."


def _drawn_means(count: int = 8, reduce: Callable = torch.mean) -> Tensor:
    generator = torch.Generator().manual_seed(1000)
    return reduce(_VALUES[torch.randint(8, (100_000, count), generator=generator)], dim=1)


def _ends(values: Tensor, quantiles: tuple[float, float] = _QUANTILES) -> Tensor:
    """Return two quantiles as 2000 draws give them on average."""
    ends = torch.tensor(quantiles, dtype=torch.float64)
    return torch.stack([part.quantile(ends) for part in values.split(2000)]).mean(0)


def _interval_mistakes() -> dict[str, list[Tensor]]:
    mean, deviation = _VALUES.mean(), _VALUES.std()
    around = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    return {
        "Both ends are the mean: all values were drawn each time, none of them twice. Draw *with* "
        "replacement, as `torch.randint` does and `torch.randperm` does not.": [
            torch.stack([mean, mean])
        ],
        "This is an interval of 90 %: leave out 2.5 % at each end, the quantiles 0.025 and "
        "0.975.": [_ends(_drawn_means(), (0.05, 0.95))],
        "One end is wrong: leave out 2.5 % at *each* end, the quantiles 0.025 and 0.975.": [
            _ends(_drawn_means(), (0.05, 0.975)),
            _ends(_drawn_means(), (0.0, 0.95)),
            _ends(_drawn_means(), (0.05, 1.0)),
        ],
        "The ends come in the wrong order: `low, high`.": [_ends(_drawn_means()).flip(0)],
        "These are quantiles of the values. The interval is about their *mean*: take the mean of "
        "each draw first.": [
            _ends(_VALUES),
            _ends(_drawn_means(count=1)),
        ],
        "This is the standard deviation of the values, or twice that, about the mean: it says how "
        "much photos differ, not how sure their mean is.": [
            mean + around * k * d
            for k in (1, 1.96, 2)
            for d in (deviation, _VALUES.std(correction=0))
        ],
        "This is one standard error about the mean, which holds 68 %: the task wants 95 %.": [
            mean + around * _drawn_means().std(),
            mean + around * deviation / math.sqrt(8),
        ],
        "The sums of the draws were taken, not their means.": [
            _ends(_drawn_means(reduce=torch.sum))
        ],
    }


# ---- rank correlation


def _judge_rank_correlation(answer: Answer) -> str:
    one, other = drawn(3, 5, seed=30), drawn(3, 5, seed=31)
    zeros = [drawn(4, 5, seed=seed).clamp(min=0) for seed in (32, 33)]
    cases = [
        (one, one.exp()),
        (one, -(one**3)),
        (one, other + 0.7 * one),
        (one, other - one),
        (zeros[0], zeros[0] + zeros[1]),
    ]
    compare_cases(answer, cases, _spearman, _RANK_MISTAKES, what="the rank correlation")
    return "It depends on the order of the pixels alone."


def _ranks(values: Tensor, method: str = "average") -> np.ndarray:
    return stats.rankdata(values.flatten().numpy(), method=method)


def _pearson(one: np.ndarray, other: np.ndarray) -> Tensor:
    return torch.as_tensor(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1])


def _spearman(one: Tensor, other: Tensor, method: str = "average") -> Tensor:
    return _pearson(_ranks(one, method), _ranks(other, method))


def _by_differences(one: Tensor, other: Tensor) -> Tensor:
    n, differences = one.numel(), _ranks(one) - _ranks(other)
    return torch.as_tensor(1 - 6 * np.sum(differences**2) / (n * (n**2 - 1)))


def _by_places(one: Tensor, other: Tensor, sign: int = 1) -> Tensor:
    places = [np.argsort(sign * values.flatten().numpy()) for values in (one, other)]
    return _pearson(*places)


def _cosine(one: np.ndarray, other: np.ndarray) -> Tensor:
    return torch.as_tensor(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


_RANK_MISTAKES = {
    "This is the correlation of the values. Replace each value by its rank first.": (
        lambda a, b: _pearson(a.numpy(), b.numpy())
    ),
    "`argsort` gives the places of the values in their order, not the rank of each value. Use it "
    "twice, or `scipy.stats.rankdata`.": [
        _by_places,
        lambda a, b: _by_places(a, b, -1),
    ],
    "Right for values that all differ, but equal values, such as a map's zeros, have to share the "
    "mean of their ranks, and the formula with the sum of d² holds for different values "
    "only. `scipy.stats.rankdata` gives these ranks; correlate them.": [
        _by_differences,
        *(lambda a, b, m=m: _spearman(a, b, m) for m in ("ordinal", "min", "max", "dense")),
    ],
    "The magnitudes were ranked: here the sign is a part of the order.": lambda a, b: _spearman(
        a.abs(), b.abs()
    ),
    "The mean was not subtracted from the ranks, so that even unrelated maps are close to 1.": [
        lambda a, b: _cosine(_ranks(a), _ranks(b)),
        lambda a, b: _cosine(_ranks(a) - 1, _ranks(b) - 1),
    ],
    "This is Kendall's rank correlation, which counts pairs. The task wants Spearman's.": (
        lambda a, b: torch.as_tensor(stats.kendalltau(a.flatten(), b.flatten())[0])
    ),
    "`spearmanr` returns two numbers, the correlation and a p-value: take `.statistic`.": (
        lambda a, b: torch.tensor(tuple(stats.spearmanr(a.flatten(), b.flatten())))
    ),
    "`spearmanr` takes each column of a matrix for a variable: `flatten` the maps first.": (
        lambda a, b: torch.as_tensor(stats.spearmanr(a.numpy(), b.numpy())[0])
    ),
    "It is 1 minus the correlation: the same order has to give 1.": (
        lambda a, b: 1 - _spearman(a, b)
    ),
}


# ---- randomized layers


def _judge_randomize_top(answer: Answer) -> str:
    network = _nested_network()
    names = _weighted(network)
    for count in (1, 2, 3, len(names)):
        made = [_network_from(answer, network, count, seed) for seed in (0, 0, 1)]
        _check_changed(network, made[0], count)
        for name in names[-count:]:
            _check_drawn(name, *(one.get_submodule(name) for one in (network, *made)))
    return "The upper layers know nothing any more, the lower ones and the original all."


def _nested_network() -> nn.Sequential:
    features = nn.Sequential(
        nn.Conv2d(2, 40, kernel_size=3), nn.ReLU(), nn.Conv2d(40, 12, 3, bias=False), nn.ReLU()
    )
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(48, 60), nn.ReLU(), nn.Linear(60, 20))
    network = nn.Sequential(OrderedDict(features=features, classifier=classifier)).double()
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter.copy_(0.05 * drawn(*parameter.shape, seed=40 + i))
    return network.eval()


def _weighted(network: nn.Module) -> list[str]:
    kinds = nn.Conv2d | nn.Linear
    return [name for name, module in network.named_modules() if isinstance(module, kinds)]


def _network_from(answer: Answer, network: nn.Module, count: int, seed: int) -> nn.Module:
    made = answer(network, count, torch.Generator().manual_seed(seed))
    if not isinstance(made, nn.Module):
        raise Hint(f"Expected a network, got {type(made).__name__}.")
    if _shapes(made) != _shapes(network):
        raise Hint("The network that came back has other layers than the one that was given.")
    return made


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(one.shape) for name, one in network.named_parameters()}


_CHANGES = {
    "nothing": "No layer has other weights than before.",
    "bottom": "The *first* layers were drawn anew. The top is where the class scores come out: the "
    "last layers.",
    "all": "All layers were drawn anew: the task wants the last `count` of them.",
    "one": "One layer alone was drawn anew, and those above it kept what they learned: the task "
    "wants the last `count` layers together.",
    "counted": "Too few layers were drawn anew: the task wants the last `count` with weights; ReLU "
    "and Flatten have none, and do not count.",
    "biases": "A bias of a layer that was drawn anew is not 0: what it learned is to be forgotten "
    "as well.",
    "lower": "The bias of a lower layer has changed: only the last `count` layers are to forget.",
}


def _check_changed(network: nn.Module, made: nn.Module, count: int) -> None:
    names = _weighted(network)
    pairs = {name: (network.get_submodule(name), made.get_submodule(name)) for name in names}
    changed = [
        name for name, (old, new) in pairs.items() if not torch.equal(old.weight, new.weight)
    ]
    wanted = names[-count:]
    if changed != wanted:
        leaves = [name for name, module in network.named_modules() if not list(module.children())]
        # in this order, as with few layers one mistake may look like another
        known = {
            "nothing": [],
            "all": names,
            "bottom": names[:count],
            "counted": [name for name in leaves[-count:] if name in names],
            "one": names[-count : len(names) - count + 1],
        }
        for kind, result in known.items():
            if changed == result:
                raise Hint(_CHANGES[kind])
        raise Hint(
            f"With count={count} expected new weights in {', '.join(wanted)}; they are new in "
            f"{', '.join(changed)}."
        )
    for name, (old, new) in pairs.items():
        if new.bias is not None and name in wanted and new.bias.count_nonzero():
            raise Hint(_CHANGES["biases"])
        if new.bias is not None and name not in wanted and not torch.equal(old.bias, new.bias):
            raise Hint(_CHANGES["lower"])


_DRAWS = {
    "constant": "All new weights of a layer are the same: no pixel's signal differs from another's "
    "by them. Draw them at random.",
    "shuffled": "These are the old weights in another order. They are to be drawn anew.",
    "added": "The new weights resemble the old ones: was noise added to them? The layer has to "
    "forget all of them.",
    "positive": "All new weights are positive: `torch.rand` is uniform from 0 to 1. Draw from a "
    "normal distribution about 0, `torch.randn`.",
    "root": "The new weights are too small: 2 / inputs is their *variance*, so multiply by its "
    "root.",
    "unit": "The new weights have variance 1, whatever the layer: the signal would grow with each "
    "layer. Multiply by the root of 2 / inputs.",
    "outputs": "The outputs of the layer were counted: the variance is 2 / *inputs* of one unit, "
    "`weight[0].numel()` of them.",
    "channels": "The input channels alone were counted: a unit of a convolution has "
    "channels × rows × columns inputs, `weight[0].numel()` of them.",
    "one": "The variance is 1 / inputs: behind a ReLU, which shuts half of the units, it takes "
    "2 / inputs to keep the signal's size.",
    "default": "The variance is 1 / (3 inputs), as PyTorch draws a new layer "
    "(`reset_parameters`): the task wants 2 / inputs.",
    "generator": _IGNORED,
    "repeat": "The same generator state gave other weights: draw from the generator alone.",
}


def _check_drawn(
    name: str, old: nn.Module, new: nn.Module, same: nn.Module, other: nn.Module
) -> None:
    """Raise the hint that fits how a layer was drawn, once each with two seeds, one repeated."""
    weights = [one.weight.detach().flatten() for one in (old, new, same, other)]
    old_weight, weight, same_weight, other_weight = weights
    if weight.std() <= 1e-9 * max(1.0, weight.abs().max().item()):
        raise Hint(_DRAWS["constant"])
    if torch.equal(weight.sort().values, old_weight.sort().values):
        raise Hint(_DRAWS["shuffled"])
    if torch.corrcoef(torch.stack([weight, old_weight]))[0, 1].abs() > 0.3:
        raise Hint(_DRAWS["added"])
    if (weight >= 0).all():
        raise Hint(_DRAWS["positive"])
    _check_variance(name, new.weight)
    if torch.equal(same_weight, other_weight):
        raise Hint(_DRAWS["generator"])
    if not torch.equal(weight, same_weight):
        raise Hint(_DRAWS["repeat"])


def _check_variance(name: str, weight: Tensor) -> None:
    inputs, outputs = weight[0].numel(), weight.shape[0] * weight[0, 0].numel()
    deviation = weight.std().item()
    # five standard deviations of what so many draws give
    tolerance = 5 / math.sqrt(2 * weight.numel())
    expected = math.sqrt(2 / inputs)
    known = {
        "root": 2 / inputs,
        "unit": 1.0,
        "outputs": math.sqrt(2 / outputs),
        "channels": math.sqrt(2 / weight.shape[1]),
        "one": math.sqrt(1 / inputs),
        "default": math.sqrt(1 / (3 * inputs)),
    }
    if abs(deviation / expected - 1) <= tolerance:
        return
    for kind, value in known.items():
        if abs(deviation / value - 1) <= tolerance:
            raise Hint(_DRAWS[kind])
    raise Hint(
        f"The weights of {name}, with {inputs} inputs a unit, should have a standard deviation of "
        f"about {expected:.3f}, got {deviation:.3f}."
    )


# ---- edges


def _judge_edge_map(answer: Answer) -> str:
    def inner(image: Tensor) -> Tensor:
        value = tensor_of(answer(image), "the map")
        if value.shape != image.shape[1:]:
            raise Hint(
                f"Expected a map of the image's size, {tuple(image.shape[1:])}, got "
                f"{tuple(value.shape)}."
            )
        # the border is done differently by every library, and so is the factor
        return _scaled(value[1:-1, 1:-1])

    cases = [(drawn_image(3, 7, 7, seed=60),), (drawn_image(3, 6, 9, seed=61),)]
    what = "the map, as a share of its largest value,"
    compare_cases(inner, cases, _of_slopes(torch.hypot), _EDGE_MISTAKES, what=what)
    return "High at edges, whatever a network makes of them."


def _scaled(values: Tensor) -> Tensor:
    return values / (values.abs().max() or 1.0)


def _of_slopes(
    combine: Callable[[Tensor, Tensor], Tensor], *, gray: Callable | None = None
) -> Callable[[Tensor], Tensor]:
    """Return a function from an image to combined Sobel derivatives along x and y, scaled."""

    def edges(image: Tensor) -> Tensor:
        plane = (gray or _mean_channel)(image).numpy()
        slopes = [torch.from_numpy(ndimage.sobel(plane, axis)) for axis in (1, 0)]
        return _scaled(combine(*slopes)[1:-1, 1:-1])

    return edges


def _mean_channel(image: Tensor) -> Tensor:
    return image.mean(0)


def _differences(image: Tensor) -> Tensor:
    """Return what one gets with the differences of the two neighbors alone."""
    rows, columns = np.gradient(image.mean(0).numpy())
    return _scaled(torch.from_numpy(np.hypot(rows, columns))[1:-1, 1:-1])


_EDGE_MISTAKES = {
    "Only the changes along one axis count here, so that edges along it are missed: take both "
    "derivatives.": [
        _of_slopes(combine)
        for combine in (
            lambda x, y: x,
            lambda x, y: y,
            lambda x, y: x.abs(),
            lambda x, y: y.abs(),
        )
    ],
    "The two derivatives are added with their signs, so that they cancel: take the root of the sum "
    "of their squares.": [
        _of_slopes(torch.add),
        _of_slopes(lambda x, y: (x + y).abs()),
    ],
    "The root is missing: this is the square of the gradient's length.": [
        _of_slopes(lambda x, y: x**2 + y**2)
    ],
    "This is the sum, or the larger, of the two magnitudes: the length of the gradient is the root "
    "of the sum of squares.": [
        _of_slopes(lambda x, y: x.abs() + y.abs()),
        _of_slopes(lambda x, y: torch.maximum(x.abs(), y.abs())),
    ],
    "One channel alone was taken: average the three.": [
        _of_slopes(torch.hypot, gray=lambda image, c=c: image[c]) for c in range(3)
    ],
    "These are differences of two neighbors. A Sobel filter averages over three rows or columns "
    "as well, with weights 1, 2, 1.": [_differences],
    "This is the image's brightness, not its change.": [
        lambda image: _scaled(image.mean(0)[1:-1, 1:-1])
    ],
    "Rows and columns are swapped: the map has the height and width of the image.": [
        lambda image: _of_slopes(torch.hypot)(image).T
    ],
}


# ---- deletion


def _judge_deletion_curve(answer: Answer) -> str:
    square, general = (_deletion_case(6, 6, seed=70), _deletion_case(4, 6, seed=80))
    # first where rows for columns do not fail, so that the mistake can be named
    for case, steps in ((square, 6), (general, 8)):
        compare_cases(answer, [(*case, steps)], _deleted, _DELETION_MISTAKES, what="the curve")
    return "From the image's probability to that of the replacement."


def _deletion_case(height: int, width: int, seed: int) -> tuple:
    image, replacement = (drawn_image(3, height, width, seed=seed + i) for i in (0, 1))
    saliency = drawn_image(height, width, seed=seed + 2)
    return relu_network((height, width), classes=4, seed=5), image, saliency, 2, replacement


def _probability(scores: Tensor, c: int) -> Tensor:
    return scores.softmax(1)[:, c]


def _deleted(
    network: nn.Module,
    image: Tensor,
    saliency: Tensor,
    c: int,
    replacement: Tensor,
    steps: int,
    *,
    read: Callable[[Tensor, int], Tensor] = _probability,
    gone: Callable[[int], tuple[int, int]] = lambda k: (0, k),
    channels: int = 3,
) -> Tensor:
    """Return the curve where from `gone`'s first to its last share pixels are replaced."""
    order = saliency.flatten().argsort(descending=True)
    share = len(order) // steps
    scores = []
    with torch.no_grad():
        for k in range(steps + 1):
            first, last = gone(k)
            there = image.clone()
            for place in order[first * share : last * share].tolist():
                row, column = divmod(place, image.shape[2])
                there[:channels, row, column] = replacement[:channels, row, column]
            scores.append(network(there[None]))
    return read(torch.cat(scores), c)


def _curves(**options: object) -> Callable:
    return lambda *given: _deleted(*given, **options)


def _with(change: Callable) -> Callable:
    """Return the curve of changed arguments."""
    return lambda network, *given: _deleted(network, *change(*given))


_DELETION_MISTAKES = {
    "The lowest pixels go first: the map's highest values mark those that should matter most, so "
    "sort from the top, `descending=True`.": _with(
        lambda image, saliency, *rest: (image, -saliency, *rest)
    ),
    "This is the class score. The curve is one of the class probability, after soft-max.": _curves(
        read=lambda scores, c: scores[:, c]
    ),
    "This is the log-probability: the curve is one of the probability itself.": _curves(
        read=lambda scores, c: scores.log_softmax(1)[:, c]
    ),
    "This is the probability of the most probable class at each step: it has to be that of class "
    "`c` throughout.": _curves(read=lambda scores, c: scores.softmax(1).amax(1)),
    "Soft-max runs over the images here. It has to run over the classes, `dim=1` of scores (N, "
    "classes).": [
        _curves(read=lambda scores, c: scores.softmax(0)[:, c]),
        _curves(read=lambda scores, c: torch.ones_like(scores[:, c])),
    ],
    "It runs the other way, from the replacement to the image: that is the insertion curve.": (
        lambda network, image, saliency, c, replacement, steps: _deleted(
            network, replacement, saliency, c, image, steps
        )
    ),
    "The pixels of earlier steps come back. What was replaced stays replaced.": _curves(
        gone=lambda k: (max(k - 1, 0), k)
    ),
    "The curve lacks its start or its end: it has steps + 1 values, the image itself is the first, "
    "the whole replacement the last.": [
        lambda *given: _deleted(*given)[1:],
        lambda *given: _deleted(*given)[:-1],
    ],
    "Only one channel of a pixel is replaced: `image[:, row, column]` holds all of them.": _curves(
        channels=1
    ),
    "The pixels turn black. What stands in their place is given: `replacement`.": _with(
        lambda image, saliency, c, replacement, steps: (image, saliency, c, 0 * replacement, steps)
    ),
    "Rows and columns are swapped: place p of a flattened map is row p // width, column "
    "p % width.": _with(
        lambda image, saliency, *rest: (
            image,
            saliency.T if saliency.shape[0] == saliency.shape[1] else saliency,
            *rest,
        )
    ),
    "This is the area under the curve: the task wants the curve.": [
        lambda *given: torch.trapezoid(_deleted(*given), dx=1 / given[-1]),
        lambda *given: _deleted(*given).mean(),
    ],
}


# ---- what the gradient predicts


def _judge_predicted_change(answer: Answer) -> str:
    network = relu_network((4, 6), classes=4, seed=6)
    images = [drawn_image(3, 4, 6, seed=seed) for seed in (90, 91, 92)]
    cases = [(network, images[0], images[1], 1), (network, images[1], images[2], 3)]
    compare_cases(answer, cases, _predicted, _CHANGE_MISTAKES, what="the predicted change")
    twice = [answer(*cases[0]), answer.again()]
    first, second = (tensor_of(one, "the predicted change") for one in twice)
    if not torch.allclose(first, second):
        raise Hint(_LEFT)
    return "What the tangent at the image says of the change, and no more."


_LEFT = (
    "Called again with the same image, it returns something else: gradients were left from an "
    "earlier call. `.backward()` *adds* to `.grad`; use `torch.autograd.grad`, or a fresh copy."
)


def _score(scores: Tensor, c: int) -> Tensor:
    return scores[0, c]


def _predicted(
    network: nn.Module,
    image: Tensor,
    changed: Tensor,
    c: int,
    *,
    read: Callable[[Tensor, int], Tensor] = _score,
    at_changed: bool = False,
    join: Callable[[Tensor, Tensor], Tensor] = lambda w, change: (w * change).sum(),
) -> Tensor:
    place = (changed if at_changed else image).clone().requires_grad_()
    w = torch.autograd.grad(read(network(place[None]), c), place)[0]
    return join(w, changed - image)


def _changes(**options: object) -> Callable:
    return lambda *given: _predicted(*given, **options)


def _real_change(network: nn.Module, image: Tensor, changed: Tensor, c: int) -> Tensor:
    with torch.no_grad():
        before, after = network(torch.stack([image, changed]))[:, c]
    return after - before


_CHANGE_MISTAKES = {
    "Soft-max was taken, so this is about the probability, in which the other classes take part. "
    "The task asks for the class score, as the network returns it.": [
        _changes(read=lambda scores, c: scores.softmax(1)[0, c]),
        _changes(read=lambda scores, c: scores.log_softmax(1)[0, c]),
    ],
    "This is the real change, measured with the network. The task wants what the gradient at the "
    "image predicts.": _real_change,
    "The sign is wrong: the change is `changed - image`.": _changes(
        join=lambda w, change: -(w * change).sum()
    ),
    "The gradient was taken at the changed image: it has to be that at the image, from where the "
    "change is predicted.": _changes(at_changed=True),
    "The gradient's sign is lost: a brighter pixel may lower the score as well. Use the signed "
    "gradient, not the saliency map.": [
        _changes(join=lambda w, change: (w.abs() * change).sum()),
        _changes(join=lambda w, change: (w.abs() * change.abs()).sum()),
        _changes(join=lambda w, change: (w * change).abs().sum()),
        _changes(join=lambda w, change: (w * change).sum().abs()),
        _changes(join=lambda w, change: (w.abs().amax(0) * change).sum()),
    ],
    "The products are averaged: every pixel's change adds to the score, so sum them up.": _changes(
        join=lambda w, change: (w * change).mean()
    ),
    "The products are not summed up: the task wants one number.": [
        _changes(join=lambda w, change: w * change),
        _changes(join=lambda w, change: (w * change).sum(0)),
    ],
    "The gradient is multiplied with an image. The task wants the product with the *change*, "
    "`changed - image`.": [
        lambda network, image, changed, c: _predicted(
            network, image, changed, c, join=lambda w, _: (w * image).sum()
        ),
        lambda network, image, changed, c: _predicted(
            network, image, changed, c, join=lambda w, _: (w * changed).sum()
        ),
    ],
    "This belongs to the class of the highest score: take the class that was asked for.": _changes(
        read=lambda scores, c: scores.max()
    ),
    "All scores were added up: take that of class `c` alone.": _changes(
        read=lambda scores, c: scores.sum()
    ),
    "The change is added to the score of the image: the task wants the change alone.": (
        lambda network, image, changed, c: (
            network(image[None])[0, c].detach() + _predicted(network, image, changed, c)
        )
    ),
}
