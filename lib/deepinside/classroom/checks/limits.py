"""Checks of the exercises on limits: intervals, rank correlation, randomized layers, controls.

Networks are tiny; nothing here uses `deepinside.limits` or `deepinside.measures`.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from scipy import ndimage, stats
from skimage import filters
from torch import Tensor, nn

from deepinside.classroom.answers import (
    Answer,
    Compared,
    Comparisons,
    Example,
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
    linear_network,
    relu_network,
)

_IGNORED = (
    "Other generators change nothing: every call that draws has to get `generator=generator`, as "
    "in `torch.randn(shape, generator=generator)`, and nothing may seed it anew."
)
_UNREPEATABLE = "The same generator state gave another result: draw from the generator alone."
_MODE = (
    "The network was put into training mode, in which batch norm takes the statistics of the batch "
    "and changes its own. Leave the mode as it is."
)


_EQUAL = (
    "Right for values that all differ, but equal values, such as a map's zeros, have to share the "
    "mean of their ranks, and the formula with the sum of d² holds for different values only. "
    "`scipy.stats.rankdata` gives these ranks; correlate them."
)


_PLACES = (
    "`argsort` gives the places of the values in their order, not the rank of each value. Use it "
    "twice, or `scipy.stats.rankdata`."
)


def _interval_example() -> Example:
    values = torch.tensor([2.0, 2.0, 2.0])
    shown = "The values are 2, 2 and 2: every draw of three of them has the mean 2."
    return Example((values, torch.Generator().manual_seed(0)), shown, [2.0, 2.0])


@task(
    "limits-interval",
    points=2,
    minutes=20,
    optional=True,
    praise="95 % of the means of values drawn again lie within it.",
    example=_interval_example,
)
def check_mean_interval(answer: Answer) -> Comparisons:
    """Check ``mean_interval(values, generator)``.

    It should return the two ends of an interval that holds 95 % of the means of values
    (N,) drawn again.
    """
    # of different number, most low or most high, so that no symmetric interval is right
    some = [0.02, 0.05, 0.09, 0.14, 0.31, 0.97]
    more = [0.99, 0.98, 0.96, 0.95, 0.93, 0.92, 0.88, 0.87, 0.83, 0.78, 0.74, 0.02]
    for numbers in (some, more):
        values = torch.tensor(numbers).double()
        ends = torch.stack([_ends_of(answer, values, seed) for seed in range(8)])
        again = _ends_of(answer, values, seed=0)
        generator = torch.Generator().manual_seed(1000)
        yield _compared_interval(ends, values, generator)
        if (ends == ends[0]).all():
            raise Hint(_IGNORED)
        if not torch.equal(again, ends[0]):
            raise Hint(_UNREPEATABLE)


def _ends_of(answer: Answer, values: Tensor, seed: int) -> Tensor:
    ends = tensor_of(answer(values, torch.Generator().manual_seed(seed)), "the interval")
    if ends.shape != (2,):
        raise Hint(
            "Expected the two ends of the interval, `low, high`, got a result of shape "
            f"{tuple(ends.shape)}."
        )
    return ends


def _compared_interval(ends: Tensor, values: Tensor, generator: torch.Generator) -> Compared:
    """Compare the ends, in the mean of several runs and as deviations from the mean."""
    count, mean, deviation = len(values), values.mean(), values.std()

    def drawn_again(size: int, source: Tensor = values) -> Tensor:
        places = torch.randint(len(source), (100_000, size), generator=generator)
        return source[places] - mean

    draws, ends = drawn_again(count), ends - mean
    one = torch.equal(ends[:, 0], ends[:, 1])
    means, right = draws.mean(1), _ends(draws.mean(1))
    # the ends of 2000 means vary little from generator to generator
    usual = torch.stack([_quantiles(part) for part in means.split(2000)]).std(0)
    spread = (ends.std(0) / usual).square().mean().sqrt().item()
    around = torch.tensor([-1.0, 1.0]).double()
    error, low, high = deviation / math.sqrt(count), *right.abs().tolist()
    mistakes: dict[str, Tensor | list[Tensor]] = {
        "One end is wrong: leave out 2.5 % at *each* end, the quantiles 0.025 and 0.975.": [
            _ends(means, *pair)
            for pair in ((0.05, 0.975), (0.0, 0.95), (0.05, 1.0), (0.025, 1.0), (0.0, 0.975))
        ],
    }
    least = ends.mean(0)
    if not one and means.min() <= least.min() and least.max() < right[0]:
        # the least of 2000 means varies, from generator to generator
        mistakes["`np.percentile` counts from 0 to 100: 2.5 and 97.5 there."] = least
    elif ends.abs().max() < 1e-5:
        mistakes[
            "Both ends are the mean: all values were drawn each time, none of them twice. Draw "
            "*with* replacement, as `torch.randint` does and `torch.randperm` does not."
        ] = ends.mean(0)
    elif one and ends.abs().max() > 0.1 * min(low, high):
        mistakes[
            "Both ends are the same: all draws are, too. Draw anew in each round, and do not set "
            "the generator back, as by `manual_seed`."
        ] = ends.mean(0)
    elif ends.mean(0).abs().max() < 0.15 * min(low, high):
        mistakes[
            "The interval is far too narrow: the mean was taken over all draws at once, or over "
            "the wrong axis. Each draw has a mean of its own, `mean(1)` of values (2000, N)."
        ] = ends.mean(0)
    if spread > 2.3:
        mistakes["There are fewer than 2000 draws."] = [
            torch.stack([_quantiles(part) for part in means.split(n)]).mean(0)
            for n in (10, 20, 50, 100, 200)
        ]
    mistakes |= {
        "This is an interval of 90 %: leave out 2.5 % at each end, the quantiles 0.025 and "
        "0.975.": _ends(means, 0.05, 0.95),
        "Each draw has a number of values that does not fit: draw `len(values)` of them each time, "
        "with replacement.": [
            _ends(drawn_again(7).mean(1)),
            _ends(_drawn_once(values, count // 2, generator).mean(1) - mean),
        ],
        "The interval is too wide. Leave out 2.5 % at each end, no less, and draw as many values "
        "each time as there are.": [
            *(_ends(means, share, 1 - share) for share in (0.0, 0.005, 0.01)),
            *(_ends(drawn_again(size).mean(1)) for size in (count - 1, count // 2)),
        ],
        "The interval is too narrow. Leave out 2.5 % at each end, no more, and draw as many values "
        "each time as there are; one standard error to each side holds 68 % only.": [
            *(_ends(means, share, 1 - share) for share in (0.1, 0.16, 0.25)),
            _ends(drawn_again(2 * count).mean(1)),
            around * means.std(),
            around * error,
        ],
        "The ends come in the wrong order: `low, high`.": right.flip(0),
        "These are quantiles of the values. The interval is about their *mean*: take the mean of "
        "each draw first.": [
            _quantiles(values - mean),
            _ends(draws[:, 0]),
            torch.stack([values.min(), values.max()]) - mean,
        ],
        "This is the standard deviation of the values, or twice that, about the mean: it says how "
        "much photos differ, not how sure their mean is.": [
            around * k * d for k in (1, 1.96, 2) for d in (deviation, values.std(correction=0))
        ],
        "This interval is symmetric about the mean, 1.96 or 2 standard errors to each side. The "
        "task wants the quantiles of the drawn means, which need not be.": [
            around * k * d for k in (1.96, 2) for d in (means.std(), error)
        ],
        "The sums of the draws were taken, not their means.": _ends((draws + mean).sum(1) - mean),
        "Medians were taken of the draws: take their means.": _ends(draws.median(1).values),
        "These are distances from the mean: return the ends of the interval themselves.": (
            right - mean
        ),
        "The first or the last value is never drawn: `torch.randint(N, ...)` draws from 0 to "
        "N - 1.": [
            _ends(drawn_again(count, values[part]).mean(1)) for part in (slice(1, None), slice(-1))
        ],
    }
    shifted = {
        hint: [some + mean for some in (listed if isinstance(listed, list) else [listed])]
        for hint, listed in mistakes.items()
    }
    # 5 % of the distance from the mean
    tolerance = 0.05 * (right.abs().max() / (right + mean).abs().max()).item()
    what = "the interval's ends, on average over eight generators,"
    return Compared(what, ends.mean(0) + mean, right + mean, shifted, tolerance)


def _drawn_once(values: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return draws of a few of the values without replacement, (20000, size)."""
    order = torch.rand(20_000, len(values), generator=generator).argsort(1)
    return values[order[:, :size]]


def _quantiles(values: Tensor) -> Tensor:
    return values.quantile(torch.tensor([0.025, 0.975]).double())


def _ends(values: Tensor, low: float = 0.025, high: float = 0.975) -> Tensor:
    """Return two quantiles as 2000 draws give them on average."""
    ends = torch.tensor((low, high), dtype=torch.float64)
    return torch.stack([part.quantile(ends) for part in values.split(2000)]).mean(0)


def _rank_example() -> Example:
    first, second = torch.tensor([[1.0, 20.0, 3.0]]), torch.tensor([[5.0, 6.0, 90.0]])
    shown = (
        "The maps [[1, 20, 3]] and [[5, 6, 90]] have the ranks 1, 3, 2 and 1, 2, 3, which are "
        "-1, 1, 0 and -1, 0, 1 about their mean. Sum of the products 1, sums of the squares 2 and "
        "2: 1 / sqrt(2 * 2)."
    )
    return Example((first, second), shown, 0.5)


@task(
    "limits-rank-correlation",
    points=1,
    minutes=10,
    praise="It depends on the order of the pixels alone.",
    example=_rank_example,
)
def check_rank_correlation(answer: Answer) -> Comparisons:
    """Check ``rank_correlation(first, second)``.

    It should return the rank correlation (Spearman) of two maps (H, W), a number.
    """
    a, b = drawn(3, 5, seed=30), drawn(3, 5, seed=31)
    zeros, other_zeros = (drawn(4, 5, seed=seed).clamp(min=0) for seed in (32, 33))
    cases = [(a, a.exp()), (a, -(a**3)), (a, b + 0.7 * a), (a, b - a), (zeros, zeros + other_zeros)]
    for first, second in cases:
        value = answer(first, second)
        mistakes = _other_correlations(first, second)
        pair = [first.flatten().numpy(), second.flatten().numpy()]
        ranks = [stats.rankdata(values) for values in pair]
        n, right = first.numel(), _pearson(*ranks)
        squares = 6 * np.sum((ranks[0] - ranks[1]) ** 2) / (n * (n**2 - 1))
        if first is zeros and not math.isclose(float(_any_number(value)), right, abs_tol=1e-4):
            # in which order `argsort` has equal values, and so what it gives, is left open
            mistakes |= dict.fromkeys((_PLACES, _EQUAL), _any_number(value))
        mistakes["It is 1 minus the correlation: the same order has to give 1."] = [
            1 - right,
            squares,
        ]
        yield Compared("the rank correlation", value, right, mistakes)


def _any_number(value: object) -> Tensor:
    number = tensor_of(value, "the rank correlation")
    return number if number.numel() == 1 else torch.tensor(torch.nan)


def _other_correlations(first: Tensor, second: Tensor) -> dict[str, object]:
    """Return what the usual mistakes give for two maps, whether or not some values are equal."""
    maps = [first.numpy(), second.numpy()]
    pair = [values.ravel() for values in maps]
    ranks = [stats.rankdata(values) for values in pair]
    n, right = len(pair[0]), _pearson(*ranks)
    in_lines = [
        _pearson(*(stats.rankdata(values, axis=axis).ravel() for values in maps)) for axis in (0, 1)
    ]
    of_lines = [
        np.mean([stats.spearmanr(*lines)[0] for lines in zip(*both, strict=True)])
        for both in (maps, [values.T for values in maps])
    ]
    return {
        "Pixels of value 0 were left out: they have a rank like the others.": [
            _pearson(*(stats.rankdata(values[kept]) for values in pair))
            for kept in (
                pair[0] != 0,
                pair[1] != 0,
                (pair[0] != 0) & (pair[1] != 0),
                (pair[0] != 0) | (pair[1] != 0),
            )
        ],
        "The ranks were rounded to whole numbers: equal values share the mean of their ranks, "
        "which may end in .5.": [
            _pearson(*map(rounded, ranks)) for rounded in (np.trunc, np.rint, np.ceil)
        ],
        "This is the correlation of the values. Replace each value by its rank first.": (
            _pearson(*pair)
        ),
        "The values of one map alone were replaced by their ranks: do it for both.": [
            _pearson(ranks[0], pair[1]),
            _pearson(pair[0], ranks[1]),
        ],
        _PLACES: [_pearson(*(np.argsort(sign * values) for values in pair)) for sign in (1, -1)],
        "The values were sorted, so that a pixel no longer meets the same pixel of the other map: "
        "each is to be replaced by its rank, at its place.": _pearson(*map(np.sort, pair)),
        "The ranks were taken within each row or column: `flatten` the maps first.": [
            *in_lines,
            *of_lines,
            stats.spearmanr(*maps)[0],
        ],
        "The pixels of the two maps are paired wrongly: flatten both in the same order.": _pearson(
            ranks[0], stats.rankdata(maps[1].T)
        ),
        "The magnitudes were ranked: here the sign is a part of the order.": [
            _pearson(*(stats.rankdata(np.abs(values)) for values in pair)),
            _pearson(stats.rankdata(np.abs(pair[0])), ranks[1]),
            _pearson(ranks[0], stats.rankdata(np.abs(pair[1]))),
        ],
        "The sign is wrong: were the ranks of one map counted from the highest value? The same "
        "order has to give 1, the reverse -1.": -right,
        "The sign is lost, by a magnitude or a square: the reverse order has to give -1.": [
            abs(right),
            right**2,
        ],
        "The mean was not subtracted from the ranks, so that even unrelated maps are close to 1.": [
            _cosine(*ranks),
            _cosine(ranks[0] - 1, ranks[1] - 1),
        ],
        "This is the covariance of the ranks: divide it by both standard deviations.": [
            np.cov(ranks[0], ranks[1], ddof=k)[0, 1] for k in (0, 1)
        ],
        "One divisor is n, another n - 1: take the same for the covariance and for both standard "
        "deviations (`correction=0` for n).": [right * n / (n - 1), right * (n - 1) / n],
        "This is Kendall's rank correlation, which counts pairs. The task wants "
        "Spearman's.": stats.kendalltau(*pair)[0],
        "`spearmanr` returns two numbers, the correlation and a p-value: take `.statistic`.": [
            torch.tensor(stats.spearmanr(*pair)),
            torch.tensor(stats.spearmanr(*pair)[1]),
        ],
        "This is the matrix of the correlations of each map with each: the number at `[0, 1]` is "
        "that of the two.": torch.tensor([[1, right], [right, 1]]),
        "This is the correlation of a map with itself, which is always 1: take the one of the "
        "first with the second.": 1.0,
    }


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    return np.corrcoef(first, second)[0, 1]


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    return first @ second / np.linalg.norm(first) / np.linalg.norm(second)


def _randomize_example() -> Example:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).eval()
    shown = (
        "Two layers with weights, a ReLU between them, count = 1: a copy of the network, whose "
        "first layer stays and whose last has weights of variance 2 / 2 and the bias 0."
    )
    # weights are drawn, so that only the layers can be shown
    return Example((network, 1, torch.Generator().manual_seed(0)), shown, network)


@task(
    "limits-randomize",
    points=3,
    minutes=25,
    parts={"the layers": 1, "their weights": 2},
    example=_randomize_example,
    praise="The upper layers know nothing any more, the lower ones and the original all.",
)
def check_randomize_top(answer: Answer) -> Comparisons:
    """Check ``randomize_top(network, count, generator)``.

    It should return a copy in which the last `count` layers with weights have normal
    weights of variance 2 / inputs and no bias.
    """
    network = _nested_network()
    names = _weighted(network)
    made = {
        count: [_network_from(answer, network, count, seed) for seed in (0, 0, 1)]
        for count in (1, 2, 3, len(names))
    }
    for first, *_ in made.values():
        _check_kept(network, first)
    _check_changed(network, {count: first for count, (first, *_) in made.items()})
    try:
        for count, networks in made.items():
            _check_biases(network, networks[0], names[-count:])
        _check_drawn(network, made[len(names)])
    except Hint as hint:
        hint.earned = frozenset({"the layers"})
        raise
    return ()


def _nested_network() -> nn.Sequential:
    """Return a network of two parts, with batch norm, a grouped convolution and no bias in one."""
    features = nn.Sequential(
        nn.Conv2d(2, 40, kernel_size=(3, 2)),
        nn.BatchNorm2d(40),
        nn.ReLU(),
        nn.Conv2d(40, 12, 3, groups=4, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
    )
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(48, 60), nn.ReLU(), nn.Linear(60, 20))
    network = nn.Sequential(OrderedDict(features=features, classifier=classifier))
    fill(network, 0.2, seed=40)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = drawn(layer.num_features, seed=50).float()
            layer.running_var = 1 + drawn(layer.num_features, seed=51).square().float()
    return network.eval()


def _weighted(network: nn.Module) -> list[str]:
    kinds = nn.Conv2d | nn.Linear
    return [name for name, module in network.named_modules() if isinstance(module, kinds)]


def _network_from(answer: Answer, network: nn.Module, count: int, seed: int) -> nn.Module:
    made = answer(network, count, torch.Generator().manual_seed(seed))
    if isinstance(made, Hint):
        raise made
    if not isinstance(made, nn.Module):
        raise Hint(f"Expected a network, got {type(made).__name__}.")
    state, made_state = network.state_dict(), made.state_dict()
    if {n: t.shape for n, t in state.items()} != {n: t.shape for n, t in made_state.items()}:
        raise Hint("The network that came back has other layers than the one that was given.")
    other = [t.dtype for name, t in made_state.items() if t.dtype != state[name].dtype]
    if other:
        raise Hint(
            f"The copy has weights of {other[0]}, which do not go with the float32 of the other "
            "layers and of images: draw them as `torch.float32`."
        )
    given = answer.given[0]
    if (isinstance(given, nn.Module) and given.training) or made.training:
        raise Hint("The network or its copy is in training mode: leave the mode as it is.")
    return made


def _located(message: str, where: str) -> Hint:
    """Return a hint that says, if it did not help, in which layer it shows."""
    hint = Hint(message)
    hint.where = where
    return hint


def _check_kept(network: nn.Module, made: nn.Module) -> None:
    """Raise a hint if anything but convolutions and fully connected layers has changed."""
    state, names = made.state_dict(), _weighted(network)
    for name, values in network.state_dict().items():
        if name.rpartition(".")[0] not in names and not torch.equal(values, state[name]):
            raise _located(
                "A batch norm has changed, in its weights or its statistics. Only `nn.Conv2d` and "
                "`nn.Linear` are to forget, and only they count; what else has parameters stays.",
                f"It shows in `{name}`.",
            )


def _check_changed(network: nn.Module, made: Mapping[int, nn.Module]) -> None:
    """Raise the hint that fits the layers that have other weights, for each count."""
    names = _weighted(network)
    old = dict(network.named_parameters())
    changed = {}
    for count, some in made.items():
        new = dict(some.named_parameters())
        changed[count] = [
            n for n in names if not torch.equal(old[f"{n}.weight"], new[f"{n}.weight"])
        ]
    if all(changed[count] == names[-count:] for count in made):
        return
    count = next(count for count in made if changed[count] != names[-count:])
    told = (
        f"With count={count} expected new weights in {', '.join(names[-count:])}; they are new in "
        f"{', '.join(changed[count]) or 'no layer'}."
    )
    for hint, picks in _usual_layers(network).items():
        if any(all(changed[count] == pick(count) for count in made) for pick in picks):
            raise _located(hint, told)
    raise Hint(told)


def _usual_layers(network: nn.Module) -> dict[str, list[Callable[[int], list[str]]]]:
    """Return which layers the usual mistakes draw anew, from `count`."""
    modules = dict(network.named_modules())
    names = _weighted(network)
    leaves = [name for name, layer in modules.items() if not list(layer.children())]
    parameters = [name for name, _ in network.named_parameters()]
    linear, convolutions = (
        [name for name in names if isinstance(modules[name], kind)]
        for kind in (nn.Linear, nn.Conv2d)
    )
    return {
        "No layer has other weights than before. Does it look for layers in all of "
        "`network.modules()`, and change the weights of the copy?": [lambda count: []],
        "All layers were drawn anew: the task wants the last `count` of them.": [lambda _: names],
        "The *first* layers were drawn anew. The top is where the class scores come out: the last "
        "layers.": [lambda count: names[:count]],
        "The layers are taken from the wrong side of `count`: the last of a list are "
        "`layers[-count:]`.": [lambda count: names[:-count], lambda count: names[count:]],
        "One layer too many was drawn anew.": [lambda count: names[-count - 1 :]],
        "One layer too few was drawn anew: the last `count` of a list are `layers[-count:]`.": [
            lambda count: names[len(names) - count + 1 :],
            lambda count: names[-count:-1],
        ],
        "One layer alone was drawn anew: the task wants the last `count` layers together.": [
            lambda count: names[-count:][:1],
            lambda count: names[-1:],
        ],
        "Too few layers were drawn anew: the task wants the last `count` with weights; ReLU and "
        "Flatten have none, and do not count.": [
            lambda count: [name for name in names if name in leaves[-count:]]
        ],
        "Too few layers were drawn anew: weight and bias of a layer count as one, and batch norm "
        "does not count.": [
            lambda count: [name for name in names if f"{name}.weight" in parameters[-count:]]
        ],
        "Layers of one kind alone were drawn anew: `nn.Conv2d` and `nn.Linear` both count.": [
            lambda count: linear[-count:],
            lambda count: convolutions[-count:],
        ],
    }


def _check_biases(network: nn.Module, made: nn.Module, wanted: list[str]) -> None:
    old, new = dict(network.named_parameters()), dict(made.named_parameters())
    biases = [f"{name}.bias" for name in _weighted(network) if f"{name}.bias" in old]
    upper = {f"{name}.bias" for name in wanted}
    left = [name for name in biases if name in upper and new[name].count_nonzero()]
    if left:
        raise _located(
            "A bias of a layer that was drawn anew is not 0: what it learned is to be forgotten as "
            "well.",
            f"With count={len(wanted)} it shows in `{left[0]}`.",
        )
    gone = [name for name in biases if name not in upper and not torch.equal(old[name], new[name])]
    if gone:
        raise _located(
            "The bias of a lower layer has changed: only the last `count` layers are to forget.",
            f"With count={len(wanted)} it shows in `{gone[0]}`.",
        )


def _check_drawn(network: nn.Module, made: list[nn.Module]) -> None:
    """Raise the hint that fits how weights were drawn, by two seeds, the first of them twice."""
    layers = {}
    names = _weighted(network)
    for name in names:
        layer = network.get_submodule(name)
        old, new, same, other = (
            some.get_parameter(f"{name}.weight").detach() for some in (network, *made)
        )
        where = f"With count={len(names)} it shows in `{name}`"
        try:
            _check_values(old, new)
        except Hint as hint:
            mean, deviation = new.mean().item(), new.std().item()
            hint.where = (
                f"{where}, new weights of mean {mean:.3g} and standard deviation {deviation:.3g}."
            )
            raise
        if torch.equal(same, other):
            raise _located(_IGNORED, f"{where}.")
        if not torch.equal(new, same):
            raise _located(_UNREPEATABLE, f"{where}.")
        layers[name] = layer, new
    _check_variances(layers)


def _check_values(old: Tensor, new: Tensor) -> None:
    if new.std() <= 1e-6 * max(1.0, new.abs().max().item()):
        raise Hint(
            "All new weights of a layer are the same: no pixel's signal differs from another's by "
            "them. Draw them at random."
        )
    if new.flatten(1).std(0).max() <= 1e-6:
        raise Hint("All units of a layer have the same weights: draw as many as the layer has.")
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
    if new.mean().abs() > 6 * new.std() / math.sqrt(new.numel()):
        raise Hint("The mean of the new weights is not 0, as that of `torch.randn` is.")
    if new.abs().max() < 2 * new.std():  # of 480 normal values and more, a few lie beyond 2.5
        raise Hint(
            "The new weights are uniform, as `torch.rand` and a layer's `reset_parameters` draw "
            "them: draw from a normal distribution, `torch.randn`."
        )


def _check_variances(layers: Mapping[str, tuple[nn.Module, Tensor]]) -> None:
    """Raise the hint that fits the standard deviations of all layers' new weights."""

    def fits(deviation_of: Callable[[nn.Module, Tensor], float], name: str) -> bool:
        layer, weight = layers[name]
        # five standard deviations of what so many draws give
        tolerance = 5 / math.sqrt(2 * weight.numel())
        return abs(weight.std().item() / deviation_of(layer, weight) - 1) <= tolerance

    wrong = [name for name in layers if not fits(lambda _, w: math.sqrt(2 / w[0].numel()), name)]
    if not wrong:
        return
    weight = layers[wrong[0]][1]
    inputs = weight[0].numel()
    told = (
        f"The weights of {wrong[0]}, with {inputs} inputs a unit, should have a standard deviation "
        f"of about {math.sqrt(2 / inputs):.3f}, got {weight.std().item():.3f}."
    )
    for hint, deviation_of in _DEVIATIONS.items():
        if all(fits(deviation_of, name) for name in layers):
            raise _located(hint, told)
    raise Hint(told)


def _all_channels(layer: nn.Module, weight: Tensor) -> float:
    inputs = weight[0].numel() * getattr(layer, "groups", 1)
    return math.sqrt(2 / inputs)


def _square_kernel(layer: nn.Module, weight: Tensor) -> float:
    return math.sqrt(2 / (weight.shape[1] * (weight.shape[2] ** 2 if weight.ndim > 2 else 1)))


# the standard deviations that the usual mistakes give, of a layer and its weight
_DEVIATIONS: dict[str, Callable[[nn.Module, Tensor], float]] = {
    "The new weights are too small: 2 / inputs is their *variance*, so multiply by its root.": (
        lambda _, weight: 2 / weight[0].numel()
    ),
    "The root was taken of 2 alone: multiply by the root of 2 / inputs.": (
        lambda _, weight: math.sqrt(2) / weight[0].numel()
    ),
    "The new weights have variance 1, whatever the layer: the signal would grow with each "
    "layer. Multiply by the root of 2 / inputs.": lambda *_: 1.0,
    "The outputs of the layer were counted: the variance is 2 / *inputs* of one unit, "
    "`weight[0].numel()` of them.": lambda _, w: math.sqrt(2 / (w.shape[0] * w[0, 0].numel())),
    "The units of the layer were counted: the variance is 2 / *inputs* of one unit, "
    "`weight[0].numel()` of them.": lambda _, w: math.sqrt(2 / w.shape[0]),
    "The input channels alone were counted: a unit of a convolution has channels × rows × "
    "columns inputs, `weight[0].numel()` of them.": lambda _, w: math.sqrt(2 / w.shape[1]),
    "All channels of a grouped convolution were counted: a unit sees those of its group alone, "
    "`weight[0].numel()` inputs.": _all_channels,
    "A kernel was taken for square: `weight[0].numel()` counts its rows and columns as they "
    "are.": _square_kernel,
    "All weights of the layer were counted: the inputs are those of one unit, "
    "`weight[0].numel()`.": lambda _, w: math.sqrt(2 / w.numel()),
    "Inputs and outputs were counted, as Xavier's initialization does: the variance is "
    "2 / inputs.": lambda _, w: math.sqrt(2 / (w[0].numel() + w.shape[0] * w[0, 0].numel())),
    "The variance is 1 / inputs: behind a ReLU, which shuts half of the units, it takes "
    "2 / inputs to keep the signal's size.": lambda _, w: math.sqrt(1 / w[0].numel()),
}


def _edge_example() -> Example:
    image = torch.zeros(3, 3, 3)
    image[:, :, 2] = 1
    shown = (
        "The right column of 3 x 3 pixels is white, the rest black. In the middle, the derivative "
        "along the row is 1 + 2 + 1 = 4, the one along the column 0: the length is 4. A factor "
        "does not matter (here it is 1 / sqrt(32), as in scikit-image), nor does the border."
    )
    return Example((image,), shown, torch.from_numpy(filters.sobel(image[0].numpy())))


@task(
    "limits-edges",
    points=1,
    minutes=10,
    optional=True,
    praise="High at edges, whatever a network makes of them.",
    example=_edge_example,
)
def check_edge_map(answer: Answer) -> Comparisons:
    """Check ``edge_map(image)``.

    It should return the strength of edges (H, W) in an image (3, H, W): the length of the
    Sobel gradient of the channels' mean, up to a factor.
    """
    for image in (drawn_image(3, 7, 7, seed=60), drawn_image(3, 6, 9, seed=61)):
        value = tensor_of(answer(image), "the map")
        size = tuple(image.shape[1:])
        if tuple(value.shape) == (size[0] - 2, size[1] - 2):
            raise Hint(
                f"Expected a map of the image's size, {size}, got {tuple(value.shape)}: a "
                "convolution without `padding=1` leaves out the border."
            )
        if value.shape != size:
            raise Hint(f"Expected a map of the image's size, {size}, got {tuple(value.shape)}.")
        # every library does the border differently, as is the factor: both are the answer's own
        like = partial(_in_terms_of, value)
        mistakes = {hint: list(map(like, some)) for hint, some in _other_edges(image).items()}
        yield Compared("the map", value, like(_length(image.mean(0))), mistakes)


def _other_edges(image: Tensor) -> dict[str, list[Tensor]]:
    """Return what the usual mistakes give."""
    gray = image.mean(0)
    x, y = _slopes(gray)
    length, each = torch.hypot(x, y), torch.stack([_length(plane) for plane in image])
    differences = [gray.diff(dim=k, append=gray.narrow(k, -1, 1)) for k in (0, 1)]
    central = [torch.roll(gray, -1, k) - torch.roll(gray, 1, k) for k in (0, 1)]
    lumas = torch.tensor([[0.299, 0.587, 0.114], [0.2125, 0.7154, 0.0721]]).double()
    return {
        "Only the changes along one axis count here, so that edges along it are missed: take "
        "both derivatives.": [x, y, x.abs(), y.abs()],
        "The two derivatives are added with their signs, so that they cancel: take the root of "
        "the sum of their squares.": [x + y, (x + y).abs(), (x - y).abs(), x - y],
        "The root is missing: this is the square of the gradient's length.": [x**2 + y**2],
        "This is the sum, or the larger, of the two magnitudes: the length of the gradient is "
        "the root of the sum of squares.": [x.abs() + y.abs(), torch.maximum(x.abs(), y.abs())],
        "One channel alone was taken: average the three.": list(each),
        "The edges of each channel were joined. Average the channels first, then look for edges.": [
            each.mean(0),
            each.amax(0),
            each.norm(dim=0),
        ],
        "The channels were weighed, or the largest was taken: take their plain mean.": [
            *(_length((image * luma[:, None, None]).sum(0)) for luma in lumas),
            _length(image.amax(0)),
        ],
        "These are differences of two neighbors. A Sobel filter averages over three rows or "
        "columns as well, with weights 1, 2, 1.": [
            torch.hypot(*differences),
            torch.hypot(*central),
        ],
        "This is another filter than Sobel's, which weighs the three rows or columns 1, 2, 1.": [
            *(_length(gray, weights) for weights in ((1, 1, 1), (3, 10, 3))),
            torch.hypot(*(gray - torch.roll(gray, k, (0, 1)) for k in ((1, 1), (1, -1)))),
            torch.from_numpy(ndimage.laplace(gray.numpy())).abs(),
        ],
        "This is the direction of the gradient: the task wants its length.": [
            torch.atan2(y, x),
            torch.atan2(x, y),
        ],
        "The sign is wrong: the map is high at edges.": [-length],
        "This is the image's brightness, not its change.": [gray],
        "Rows and columns are swapped: the map has the height and width of the image.": [length.T],
    }


def _slopes(plane: Tensor, weights: tuple[int, ...] = (1, 2, 1)) -> list[Tensor]:
    """Return the derivatives along x and y, averaged across with these weights."""
    return [
        torch.from_numpy(
            ndimage.correlate1d(
                ndimage.correlate1d(plane.numpy(), (-1, 0, 1), axis), weights, 1 - axis
            )
        )
        for axis in (1, 0)
    ]


def _length(plane: Tensor, weights: tuple[int, ...] = (1, 2, 1)) -> Tensor:
    return torch.hypot(*_slopes(plane, weights))


def _in_terms_of(value: Tensor, other: Tensor) -> Tensor:
    """Return another map with the border of a value, and the usual magnitude inside of it."""
    if other.shape != value.shape:
        return other
    sizes = [some[1:-1, 1:-1].abs().median().item() for some in (value, other)]
    made = value.clone()
    can_be_scaled = sizes[1] > 0 and 0 < sizes[0] < math.inf
    made[1:-1, 1:-1] = other[1:-1, 1:-1] * (sizes[0] / sizes[1] if can_be_scaled else 1.0)
    return made


def _deletion_example() -> Example:
    network = linear_network(torch.tensor([[[[2.0, 1.0]]], [[[0.0, 0.0]]]]), torch.zeros(2))
    image, replacement = torch.ones(1, 1, 2), torch.zeros(1, 1, 2)
    saliency = torch.tensor([[0.1, 0.9]])
    shown = (
        "Two pixels a and b, the scores of the two classes are 2 a + b and 0. The image is "
        "[[[1, 1]]], the replacement [[[0, 0]]], the map [[0.1, 0.9]], class 0, 2 steps: the "
        "second pixel goes first, then the first. The scores of class 0 are 3, 2 and 0."
    )
    right = torch.tensor([3.0, 2.0, 0.0]).sigmoid()
    return Example((network, image, saliency, 0, replacement, 2), shown, right)


@task(
    "limits-deletion",
    points=3,
    minutes=25,
    praise="From the image's probability to that of the replacement.",
    example=_deletion_example,
)
def check_deletion_curve(answer: Answer) -> Comparisons:
    """Check ``deletion_curve(network, image, saliency, c, replacement, steps)``.

    It should return the probabilities (steps + 1,) of the class c while the pixels of an
    image (C, H, W) turn into those of a replacement, the highest of a map (H, W) first.
    """
    # first where rows for columns do not fail, so that the mistake can be named
    for size, steps, seed, c in (((6, 6), 6, 70, 2), ((4, 6), 8, 80, 1)):
        network = relu_network(size, classes=4, seed=5)
        image, replacement = (drawn_image(3, *size, seed=seed + i) for i in (0, 1))
        saliency = drawn(*size, seed=seed + 2)
        value = answer(network, image, saliency, c, replacement, steps)
        _check_mode(answer, network)
        curve = tensor_of(value, "the curve")
        scores = _deleted(network, steps, image, saliency, replacement)
        right = scores.softmax(1)[:, c]
        mistakes = _other_readings(scores, c, steps) | _other_orders(
            network, steps, image, saliency, replacement, c
        )
        compare([Compared("the curve", curve, right, mistakes)])
    return ()


def _check_mode(answer: Answer, network: nn.Module) -> None:
    """Raise a hint if an answer has put the network it was given into training mode."""
    given = answer.given[0]
    if isinstance(given, nn.Module) and (
        given.training
        or any(
            not torch.equal(new, old.to(new.dtype))
            for new, old in zip(given.buffers(), network.buffers(), strict=True)
        )
    ):
        raise Hint(_MODE)


def _other_readings(scores: Tensor, c: int, steps: int) -> dict[str, object]:
    """Return what the usual mistakes make of the right scores, (steps + 1, classes)."""
    probabilities = scores.softmax(1)
    right = probabilities[:, c]
    return {
        "This is the class score. The curve is one of the class probability, after soft-max.": (
            scores[:, c]
        ),
        "This is the log-probability: the curve is one of the probability itself.": right.log(),
        "Sigmoid was taken of the score: the class probability is soft-max over all classes.": (
            scores[:, c].sigmoid()
        ),
        "This is the probability of the most probable class at each step: it has to be that of "
        "class `c` throughout.": probabilities.amax(1),
        "This is the curve of another class: `c` is the index of the class, counted from 0.": [
            probabilities[:, k] for k in range(scores.shape[1]) if k != c
        ],
        "These are the probabilities of all classes: take that of class `c`.": probabilities,
        "Soft-max runs over the images here. It has to run over the classes, `dim=1` of scores "
        "(N, classes).": [scores.softmax(0)[:, c], torch.ones_like(right)],
        "The curve lacks its start or its end: it has steps + 1 values, the image itself is "
        "the first, the whole replacement the last.": [right[1:], right[:-1]],
        "The curve runs backward: the image itself is the first value, the whole replacement the "
        "last.": right.flip(0),
        "This is by how much the probability falls, or changes from step to step: the curve holds "
        "the probability itself.": [
            right[0] - right,
            right - right[0],
            1 - right,
            right.diff(),
            -right.diff(),
        ],
        "The curve was divided by its first or largest value: it holds the probability itself.": [
            right / right[0],
            right / right.max(),
        ],
        "Soft-max was taken twice: the scores go into it once.": probabilities.softmax(1)[:, c],
        "All values are those of the whole replacement: was one tensor changed and put into the "
        "list each time? Put in a copy, `.clone()`.": right[-1:].expand_as(right),
        "This is the area under the curve: the task wants the curve.": [
            torch.trapezoid(right, dx=1 / steps),
            right.mean(),
        ],
    }


def _other_orders(
    network: nn.Module,
    steps: int,
    image: Tensor,
    saliency: Tensor,
    replacement: Tensor,
    c: int,
) -> dict[str, object]:
    """Return what the usual mistakes give that replace other pixels, or in another order."""
    deleted = partial(_deleted, network, steps)
    height, width = saliency.shape
    share = saliency.numel() // steps
    places = torch.arange(saliency.numel()).view_as(saliency).double()
    order = saliency.flatten().argsort(descending=True)

    def curve(*given: Tensor, **options: object) -> Tensor:
        return deleted(*given, **options).softmax(1)[:, c]  # type: ignore[arg-type]

    right = curve(image, saliency, replacement)
    every = _deleted(network, saliency.numel(), image, saliency, replacement).softmax(1)[:, c]
    moved = [
        every[[min(max(k * share + i, 0), len(every) - 1) for k in range(steps + 1)]]
        for i in (1, -1)
    ]
    late = torch.cat([right[:1], right[:-1]])
    filled = [torch.full_like(replacement, value) for value in (0.0, 0.5, 1.0)]
    means = [replacement.mean((1, 2), keepdim=True), replacement.mean()]
    return {
        "The lowest pixels go first: the map's highest values mark those that should matter "
        "most, so sort from the top, `descending=True`.": curve(image, -saliency, replacement),
        "Magnitudes were ranked: the highest values go first, and values below 0 are low.": curve(
            image, saliency.abs(), replacement
        ),
        "It runs the other way, from the replacement to the image: that is the insertion "
        "curve.": curve(replacement, saliency, image),
        "The pixels go in the order of rows, whatever the map.": curve(image, -places, replacement),
        "`argsort` gives the places of the pixels in their order, not each pixel's rank. Replace "
        "the pixels at its first places, or use it twice.": curve(
            image, -order.view_as(saliency).double(), replacement
        ),
        "The pixels of earlier steps come back. What was replaced stays replaced.": curve(
            image, saliency, replacement, stays=False
        ),
        "One pixel too many or too few is replaced: in step k the first `k * H * W // steps` of "
        "the order.": moved,
        "The curve is a step ahead or late: in step 0 no pixel is replaced, in the last all are.": [
            torch.cat([right[1:], right[-1:]]),
            late,
        ],
        "Too few pixels are replaced: in step k it is k shares of `H * W // steps` pixels, not k "
        "pixels.": every[: steps + 1],
        "`steps` was taken for the number of pixels in a step, which is `H * W // steps`.": every[
            [min(k * steps, len(every) - 1) for k in range(steps + 1)]
        ],
        "There is a value for each pixel: the task wants one for each of `steps` steps, and the "
        "image's before them.": every,
        "Only one channel of a pixel is replaced: `image[:, row, column]` holds all of them.": [
            curve(image, saliency, replacement, channels=slice(k, k + 1)) for k in range(3)
        ],
        "The pixels turn black, or to another single value. What stands in their place is given: "
        "those of `replacement`.": [
            curve(image, saliency, some.expand_as(replacement)) for some in (*filled, *means)
        ],
        "Rows and columns are swapped: place p of a flattened map is row p // width, column "
        "p % width.": [
            curve(image, saliency.T.reshape(height, width), replacement),
        ],
    }


def _deleted(
    network: nn.Module,
    steps: int,
    image: Tensor,
    saliency: Tensor,
    replacement: Tensor,
    *,
    stays: bool = True,
    channels: slice = slice(None),
) -> Tensor:
    """Return the scores at each step, (steps + 1, classes)."""
    order = saliency.flatten().argsort(descending=True)
    share = len(order) // steps
    there, stages = image.clone(), [image]
    for places in order.split(share):
        there = there.clone() if stays else image.clone()
        for place in places.tolist():
            row, column = divmod(place, image.shape[2])
            there[channels, row, column] = replacement[channels, row, column]
        stages.append(there)
    return network(torch.stack(stages)).detach()


def _change_example() -> Example:
    network = linear_network(torch.tensor([[[[2.0, -1.0]]], [[[0.0, 5.0]]]]), torch.zeros(2))
    image, changed = torch.tensor([[[1.0, 1.0]]]), torch.tensor([[[4.0, 3.0]]])
    shown = (
        "Two pixels a and b, the score of class 0 is 2 a - b, its gradient [[[2, -1]]]. From "
        "[[[1, 1]]] to [[[4, 3]]] the change is [[[3, 2]]]: 2 * 3 - 1 * 2."
    )
    return Example((network, image, changed, 0), shown, 4.0)


@task(
    "limits-predicted-change",
    points=2,
    minutes=15,
    praise="What the tangent at the image says of the change, and no more.",
    example=_change_example,
)
def check_predicted_change(answer: Answer) -> Comparisons:
    """Check ``predicted_change(network, image, changed, c)``.

    It should return the change of a class score that its gradient predicts, in logits.
    """
    for size, c, seed in (((5, 3), 3, 98), ((5, 5), 2, 98), ((4, 6), 1, 95)):
        network = relu_network(size, classes=4, seed=6)
        image, changed = (drawn_image(3, *size, seed=seed + i) for i in (0, 1))
        right, mistakes = _other_changes(network, image, changed, c)
        value = answer(network, image, changed, c)
        _check_mode(answer, network)
        yield Compared("the predicted change", value, right.item(), mistakes)
    answer.repeat(right)


def _other_changes(
    network: nn.Module, image: Tensor, changed: Tensor, c: int
) -> tuple[Tensor, dict[str, object]]:
    """Return the right prediction, and what the usual mistakes give."""
    change = changed - image
    before, after = network(torch.stack([image, changed]))[:, c].detach()
    w, at_changed, between = (
        class_gradient(network, some, c) for some in (image, changed, (image + changed) / 2)
    )
    softmax, log_softmax = (
        class_gradient(network, image, c, goal) for goal in (torch.softmax, torch.log_softmax)
    )
    of_all, of_top = (gradient(network, image, join) for join in (torch.sum, torch.max))
    right, products = (w * change).sum(), w * change
    return right, {
        "Soft-max was taken, so this is about the probability, in which the other classes take "
        "part. The task asks for the class score, as the network returns it.": [
            (softmax * change).sum(),
            *(sign * (log_softmax * change).sum() for sign in (1, -1)),
        ],
        "This is the real change, measured with the network. The task wants what the gradient "
        "at the image predicts.": [after - before, before - after],
        "This is the difference of the real change and the predicted one: the task wants the "
        "prediction.": [after - before - right, right - after + before],
        "The sign is wrong: the change is `changed - image`, and the gradient that of the score "
        "itself, not of its negative.": -right,
        "`.backward()` was called twice: each call *adds* to `.grad`.": 2 * right,
        "The gradient was taken at the changed image, or between the two: it has to be that at the "
        "image, from where the change is predicted.": [
            (some * change).sum() for some in (at_changed, between, (w + at_changed) / 2)
        ],
        "The gradient's sign is lost, or the change's: a brighter pixel may lower the score as "
        "well. Use the signed gradient, not the saliency map.": [
            (w.abs() * change).sum(),
            (w * change.abs()).sum(),
            products.abs().sum(),
            right.abs(),
            right.relu(),
            (w.relu() * change).sum(),
            (w.abs().amax(0) * change).sum(),
            (w.abs().amax(0) * change.mean(0)).sum(),
        ],
        "One channel alone takes part, or the largest of the three: every channel of a pixel has "
        "a gradient of its own.": [*products.sum((1, 2)), (w.amax(0) * change).sum()],
        "The products are averaged: every pixel's change adds to the score, so sum them up.": [
            products.mean(),
            products.mean(0).sum(),
        ],
        "The products are not summed up: the task wants one number.": [
            products,
            products.sum(0),
            products.sum((1, 2)),
        ],
        "The gradient and the change were added up apart: multiply them pixel by pixel first.": (
            w.sum() * change.sum()
        ),
        "This is the gradient alone: multiply it with the change, `changed - image`.": [w, w.sum()],
        "The gradient is multiplied with an image. The task wants the product with the "
        "*change*, `changed - image`.": [(w * image).sum(), (w * changed).sum()],
        "The product was divided by a length: it is no cosine, but a change in logits.": [
            right / change.norm(),
            right / w.norm(),
            right / w.norm() / change.norm(),
        ],
        "This belongs to the class of the highest score: take the class that was asked for.": (
            (of_top * change).sum()
        ),
        "This belongs to another class: `c` is the index of the class, counted from 0.": [
            (class_gradient(network, image, k) * change).sum() for k in range(4) if k != c
        ],
        "All scores were added up: take that of class `c` alone.": (of_all * change).sum(),
        "The change is added to the score of the image: the task wants the change alone.": (
            before + right
        ),
    }
