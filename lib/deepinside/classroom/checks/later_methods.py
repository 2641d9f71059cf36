"""Checks of the exercises on later methods: CAM, Grad-CAM, integrated gradients, occlusion.

Activations are drawn, networks are tiny; nothing here uses
`deepinside.class_activation`, `deepinside.integrated_gradients` or `deepinside.occlusion`.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

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
from deepinside.classroom.small_networks import drawn, drawn_image, relu_network

_SOFTMAX = (
    "Soft-max was taken of the weights. They weigh the channels as they are, the negative ones too."
)
_COLUMNS = (
    "The weights, (C,), met the rows or the columns of the activation: shapes are aligned from "
    "their last axis. Give the weights two more axes, `[:, None, None]`, so that they meet the "
    "channels."
)
_NOT_SUMMED = "There is still one map a channel: add them up over the channels, the first axis."
_AXIS = (
    "The products were added up over rows or columns. Add them up over the channels, the first "
    "axis: `sum(0)`."
)
_LARGEST = (
    "The largest channel was taken at each position, or one channel of them all: the map is the "
    "sum of all channels, each times its weight."
)
_MISSING = "The first or the last channel is missing in the sum: it takes part like the others."
_ONE_LEFT = (
    "One channel alone is left of the sum. Does each round of a loop overwrite the last one's "
    "result, or does the first round return?"
)
_AVERAGED = "The mean over the channels was taken: the map is their sum."
_SCALED = (
    "The map was shifted or scaled by its own values, as for a picture. Then maps of two classes "
    "cannot be compared: return it as it is."
)
_SCALED_WEIGHTS = "The weights were scaled, by their sum or their length: take them as they are."
_TRANSPOSED = "Rows and columns are swapped: the map has those of the activation."


def _cam_example() -> Example:
    activation = torch.tensor([[[1.0, 0.0]], [[2.0, 1.0]]])
    weights = torch.tensor([[1.0, 1.0], [3.0, -2.0]])
    shown = (
        "Two channels of 1 x 2 positions, [[1, 0]] and [[2, 1]]; weights [[1, 1], [3, -2]], class "
        "1. At the first position 3 * 1 - 2 * 2 = -1, at the second 3 * 0 - 2 * 1 = -2."
    )
    return Example((activation, weights, 1), shown, torch.tensor([[-1.0, -2.0]]))


@task(
    "later-methods-cam",
    points=1,
    minutes=10,
    praise="Its mean, plus the class's bias, is the class score.",
    example=_cam_example,
)
def check_class_activation_map(answer: Answer) -> Comparisons:
    """Check ``class_activation_map(activation, weights, c)``.

    It should return the map (h, w) of a class c, signed, from an activation (C, h, w) and
    the weights (classes, C) of the layer that follows the mean over positions.
    """
    # first where no mistake fails for its shapes, so that it can be named
    for shape, classes, c in (((4, 4, 4), 4, 2), ((6, 3, 5), 4, 1)):
        activation = drawn(*shape, seed=15 + c).clamp(min=0)
        weights = drawn(classes, shape[0], seed=24 + c)
        maps = torch.stack([_weighed(activation, row) for row in weights])
        row, right = weights[c], maps[c]
        channels = row[:, None, None] * activation
        column = weights[:, c] if classes == shape[0] else row
        mistakes = {
            _SOFTMAX: [_weighed(activation, weights.softmax(axis)[c]) for axis in (0, 1)],
            "Soft-max was taken of the maps: they have to be in logits, like the class score.": [
                maps.softmax(0)[c],
                right.flatten().softmax(0).view_as(right),
            ],
            "This is a column of the weights: those of class `c` are a row, `weights[c]`.": (
                _weighed(activation, column)
            ),
            "This is the map of another class: `c` is the index of the class, counted from 0.": [
                other for k, other in enumerate(maps) if k != c
            ],
            "The positions are gone: they were averaged or added up, as for the class score. The "
            "map keeps them, and adds up the channels at each.": [
                right.mean(),
                right.sum(),
                channels.mean((1, 2)),
                channels.sum((1, 2)),
            ],
            "The map was divided by the number of positions. The mean over the positions is taken "
            "of the map, not in it.": [
                right / right.numel(),
                right / activation.numel(),
            ],
            _NOT_SUMMED: channels,
            _AXIS: [channels.sum(1), channels.sum(2)],
            _AVERAGED: right / shape[0],
            _COLUMNS: _misplaced(activation, row),
            "The negative part was cut off. This map keeps it: there the image speaks against the "
            "class.": [right.clamp(min=0), _weighed(activation, row.clamp(min=0))],
            "Magnitudes were taken, so that the sign is lost: a channel of negative weight speaks "
            "against the class.": [right.abs(), _weighed(activation, row.abs())],
            "The sign is wrong: what a positive weight marks speaks for the class.": -right,
            "This is one channel of the activation: no channel belongs to a class, each class "
            "weighs all of them.": activation[c],
            "The weights have no part in this map: it is the same for all classes.": [
                activation.sum(0),
                activation.mean(0),
            ],
            "These are the maps of all classes: take that of class `c`.": maps,
            _LARGEST: [channels.amax(0), channels[row.argmax()]],
            _MISSING: [right - channels[0], right - channels[-1]],
            _ONE_LEFT: [channels[0], channels[-1]],
            _SCALED: _scaled(right),
            _SCALED_WEIGHTS: [right / size for size in _sizes(row)],
            _TRANSPOSED: right.T,
        }
        compare([Compared("the map", answer(activation, weights, c), right, mistakes)])
    return ()


def _weighed(activation: Tensor, weights: Sequence[float] | Tensor) -> Tensor:
    """Return the sum of the channels, each times its weight, (h, w)."""
    total = torch.zeros_like(activation[0])
    for channel, weight in zip(activation, weights, strict=True):
        total = total + weight * channel
    return total


def _misplaced(activation: Tensor, weights: Tensor) -> list[Tensor]:
    """Return what comes where weights meet rows or columns, if there are as many of these."""
    if len(set(activation.shape)) > 1:
        return []
    return [(weights * activation).sum(0), (weights[:, None] * activation).sum(0)]


def _scaled(values: Tensor) -> list[Tensor]:
    """Return a map (h, w) as pictures are made of it: from 0 to 1, about its mean, and the like."""
    positive, low, centered = values.clamp(min=0), values.min(), values - values.mean()
    return [
        values / values.max(),
        values / values.abs().max(),
        positive / positive.max(),
        (values - low) / (values.max() - low),
        centered,
        *(centered / values.std(correction=k) for k in (0, 1)),
        *(values / size for size in _sizes(values)),
    ]


def _sizes(values: Tensor) -> list[Tensor]:
    """Return by what values are divided to scale them, apart from the largest."""
    return [values.sum(), values.abs().sum(), values.norm()]


def _grad_cam_example() -> Example:
    activation = torch.tensor([[[1.0, 4.0]], [[2.0, 0.0]]])
    gradient = torch.tensor([[[1.0, -3.0]], [[3.0, 1.0]]])
    shown = (
        "Two channels of 1 x 2 positions, [[1, 4]] and [[2, 0]], and their gradients, [[1, -3]] "
        "and [[3, 1]]. The mean gradients are -1 and 2. The weighed channels add up to "
        "-1 * 1 + 2 * 2 = 3 and -1 * 4 + 2 * 0 = -4, of which the positive part is kept."
    )
    return Example((activation, gradient), shown, torch.tensor([[3.0, 0.0]]))


@task(
    "later-methods-grad-cam",
    points=2,
    minutes=15,
    praise="Where the channels, each weighed by its mean gradient, add up to more than 0.",
    example=_grad_cam_example,
)
def check_grad_cam(answer: Answer) -> Comparisons:
    """Check ``grad_cam(activation, gradient)``.

    It should return the positive part (h, w) of an activation weighed by its mean gradient,
    both (C, h, w).
    """
    # first where no mistake fails for its shapes, so that it can be named
    for shape in ((4, 4, 4), (5, 3, 6)):
        activation = drawn(*shape, seed=30 + shape[0])
        gradient = 4 * drawn(*shape, seed=40 + shape[0])
        weights, positions = gradient.mean((1, 2)), shape[1] * shape[2]
        signed = _weighed(activation, weights)
        channels = weights[:, None, None] * activation
        right, product = signed.relu(), gradient * activation
        summed = product.sum(0)
        mistakes = {
            "The weights are sums over the positions: take the mean, else the map grows with the "
            "number of positions.": [positions * right, positions * signed],
            "The sum was divided by the number of positions again: the gradient's mean is taken "
            "once, in the weights.": _either(signed / positions),
            "The gradient was multiplied with the activation position by position. That is another "
            "map: Grad-CAM takes the gradient's mean over the positions first, one weight a "
            "channel.": [summed.relu(), summed, product.relu().sum(0)],
            "The positive part is missing: the map is 0 where the weighed channels add up to less "
            "than 0.": signed,
            "The map was cut off at 1 as well: only values below 0 are to become 0.": (
                signed.clamp(0, 1)
            ),
            "Magnitudes were taken: what speaks against the class is to be cut off, not "
            "counted for it.": [
                signed.abs(),
                *_either(_weighed(activation, weights.abs())),
                *_either(_weighed(activation, gradient.abs().mean((1, 2)))),
                *_either(_weighed(activation.abs(), weights)),
            ],
            "The positive part was taken too early, of the gradient, the weights, the activation "
            "or single channels. First add up all channels, those of negative weight too.": [
                *_either(_weighed(activation, weights.relu())),
                *_either(_weighed(activation, gradient.relu().mean((1, 2)))),
                *_either(_weighed(activation.relu(), weights)),
                channels.relu().sum(0),
            ],
            "This is the negative part: what speaks for the class is above 0.": [
                signed.clamp(max=0),
                (-signed).relu(),
            ],
            "Activation and gradient are exchanged: the gradient's mean weighs the "
            "activation.": _either(_weighed(gradient, activation.mean((1, 2)))),
            "The mean was taken over the channels, one weight a position. It is to be one over the "
            "positions, `(1, 2)`, a weight for each channel.": _either(
                gradient.mean(0) * activation.sum(0)
            ),
            "One mean was taken of the whole gradient: each channel has a weight of its own.": (
                _either(gradient.mean() * activation.sum(0))
            ),
            "The mean was taken over other axes. It is to be one over rows and columns, `(1, 2)`, "
            "which leaves a single weight for each channel.": [
                some
                for axes in ((1,), (2,), (0, 1), (0, 2))
                for some in _either((gradient.mean(axes, keepdim=True) * activation).sum(0))
            ],
            "The weight of a channel is the *mean* of its gradient, not its largest value or its "
            "median.": [
                *_either(_weighed(activation, gradient.amax((1, 2)))),
                *_either(_weighed(activation, gradient.flatten(1).median(1).values)),
            ],
            "The gradient has no part in this map: its mean over the positions gives the "
            "weights.": [*_either(activation.sum(0)), *_either(activation.mean(0))],
            "The activation has no part in this map: it is what the weights weigh.": [
                *_either(gradient.sum(0)),
                *_either(gradient.mean(0)),
            ],
            _SOFTMAX: _either(_weighed(activation, weights.softmax(0))),
            _NOT_SUMMED: _either(channels),
            _AXIS: [*_either(channels.sum(1)), *_either(channels.sum(2))],
            _AVERAGED: _either(signed / shape[0]),
            _COLUMNS: [
                some for found in _misplaced(activation, weights) for some in _either(found)
            ],
            "The positions are gone: the gradient alone is averaged over them, the activation "
            "keeps them.": [
                weights,
                *_either(weights * activation.mean((1, 2))),
                *_either(product.mean((1, 2))),
                *_either(product.sum()),
                *_either(signed.mean()),
            ],
            _LARGEST: [*_either(channels.amax(0)), *_either(channels[weights.argmax()])],
            _MISSING: [*_either(signed - channels[0]), *_either(signed - channels[-1])],
            _ONE_LEFT: [*_either(channels[0]), *_either(channels[-1])],
            _SCALED: [*_scaled(right), *_scaled(signed)],
            _SCALED_WEIGHTS: [some for size in _sizes(weights) for some in _either(signed / size)],
            _TRANSPOSED: right.T,
        }
        compare([Compared("the map", answer(activation, gradient), right, mistakes)])
    return ()


def _either(signed: Tensor) -> list[Tensor]:
    """Return a mistake as it is, and with the positive part taken."""
    return [signed, signed.relu()]


def _score_and_gradient(
    size: tuple[int, int], *, c: int, seed: int, dtype: torch.dtype = torch.float64
) -> tuple[Callable, Callable]:
    """Return functions from an image, or a batch, to a class score and to its gradient.

    Answers call those of float32, which may call nothing else of the classroom: see `Answer`.
    """
    network = relu_network(size, classes=4, seed=seed).to(dtype)

    def score_of(images: Tensor) -> Tensor:
        scores = network(images if images.ndim == 4 else images[None])[:, c]
        return scores if images.ndim == 4 else scores[0]

    def gradient_at(images: Tensor) -> Tensor:
        # an answer may call it where gradients are switched off, and within torch.vmap
        with torch.inference_mode(False), torch.enable_grad():
            variable = images.detach().clone()
            try:
                variable.requires_grad_()
            except RuntimeError:  # within torch.vmap; torch.func takes seconds to be loaded
                scores, pulled_back, *_ = torch.func.vjp(network, variable[None])
                of_class = torch.zeros_like(scores)
                of_class[:, c] = 1
                return pulled_back(of_class)[0][0].detach()
            scores = network(variable if images.ndim == 4 else variable[None])[:, c]
            return torch.autograd.grad(scores.sum(), variable)[0]

    return score_of, gradient_at


def _shares_example() -> Example:
    def gradient_at(images: Tensor) -> Tensor:
        return 2 * images

    image, baseline = torch.tensor([[[4.0, 1.0]]]), torch.tensor([[[0.0, 1.0]]])
    shown = (
        "Two pixels a and b, the score is a^2 + b^2 and its gradient [[[2 a, 2 b]]]. From the "
        "baseline [[[0, 1]]] to the image [[[4, 1]]] in 2 steps: their middles are [[[1, 1]]] and "
        "[[[3, 1]]], the gradients there [[[2, 2]]] and [[[6, 2]]], with the mean [[[4, 2]]]. The "
        "change is [[[4, 0]]]."
    )
    return Example((gradient_at, image, baseline, 2), shown, torch.tensor([[[16.0, 0.0]]]))


@task(
    "later-methods-integrated-gradients",
    points=3,
    minutes=20,
    praise="With enough steps its sum is the difference of the two scores.",
    example=_shares_example,
)
def check_integrated_gradients(answer: Answer) -> Comparisons:
    """Check ``integrated_gradients(gradient_at, image, baseline, steps)``.

    It should return each intensity's share (C, H, W) of a score's change from the baseline
    to the image, from the gradients in the middle of each of the steps between them.
    """
    for size, steps, seed in (((4, 6), 5, 50), ((5, 3), 8, 60)):
        image, baseline = (drawn_image(3, *size, seed=seed + i) for i in (0, 1))
        _, gradient_at = _score_and_gradient(size, c=1, seed=seed)
        change, ends = image - baseline, torch.linspace(0, 1, steps + 1).double()
        middles = (ends[1:] + ends[:-1]) / 2
        gradients = partial(_gradients, gradient_at, baseline, change)
        each, parts = gradients(middles), middles[:, None, None, None]
        beyond = gradients(middles[-1:] + 1 / steps)[0]
        mean, first, last = (g.mean(0) for g in (each, gradients(ends[:-1]), gradients(ends[1:])))
        right = change * mean
        mistakes = {
            "The gradients were added up: take their mean, so divide by `steps`.": steps * right,
            "The sum was divided by another number than `steps`, or twice.": [
                right / steps,
                *(right * steps / (steps + k) for k in (-1, 1)),
            ],
            "This is the gradient at one point of the path, times `image - baseline`: take the "
            "mean of those at all steps. Are all points the same, for example by `//`?": [
                change * gradient_at(baseline + share * change) / divisor
                for share in (0, 0.5, 1)
                for divisor in (1, steps)
            ],
            "This is the gradient at the first or the last step alone, times `image - baseline`: "
            "take the mean of those at all steps. Does each round of a loop overwrite the sum, or "
            "does the first round return?": [
                change * gradient_at(baseline + share * change) / divisor
                for share in (middles[0], middles[-1])
                for divisor in (1, steps)
            ],
            "There is still a result for each step: take the mean over the steps.": change * each,
            "`image - baseline` is missing: this is the mean gradient alone, in logits per unit "
            "intensity.": [mean, steps * mean, gradient_at(image), gradient_at(baseline)],
            "The gradient was multiplied with the image or the baseline alone: an intensity "
            "that does not change has no share, so multiply with `image - baseline`.": [
                image * mean,
                baseline * mean,
                image * gradient_at(image),
            ],
            "The sign is wrong: the change is the one from the baseline to the image.": -right,
            "The gradients are those at the beginning or the end of each step: take them in its "
            "middle, at `(k + 0.5) / steps` of the path, where the error is smaller.": [
                change * first,
                change * last,
            ],
            "A step is missing, or one is too many: `k` in `(k + 0.5) / steps` goes from 0 to "
            "`steps - 1`.": [
                change * some / divisor
                for some, count in (
                    (each[:-1].sum(0), steps - 1),
                    (each[1:].sum(0), steps - 1),
                    (each.sum(0) + beyond, steps + 1),
                    (each[1:].sum(0) + beyond, steps),
                )
                for divisor in {count, steps}
            ],
            "The points include both ends of the path, or are spread in yet another way: the task "
            "wants the middle of each step, `(k + 0.5) / steps` of the path.": [
                change * gradients(ends).mean(0),
                change * (first + last) / 2,
                change * gradients(torch.linspace(0, 1, steps)).mean(0),
                change * gradients(torch.linspace(0, 1, steps + 2)[1:-1]).mean(0),
                change * gradients(middles * steps / (steps - 1)).mean(0),
            ],
            "The path begins at black: the image was only made darker. It has to begin at "
            "`baseline`.": [
                factor * _gradients(gradient_at, 0 * image, image, middles).mean(0)
                for factor in (change, image)
            ],
            "The path misses the image or the baseline: its points are "
            "`baseline + share * (image - baseline)`, and the share goes from 0 to 1.": [
                change * _gradients(gradient_at, start, step, middles).mean(0)
                for start, step in (
                    (baseline, image),
                    (image, change),
                    (image, baseline),
                    (0 * image, change),
                )
            ],
            "Each gradient was multiplied with a factor of its own step. The factor is the whole "
            "change, `image - baseline`, for all of them.": [
                change * (parts * each).mean(0),
                ((baseline + parts * change) * each).mean(0),
            ],
            "Magnitudes were taken, or shares below 0 cut off: a share has a sign, else their sum "
            "is no difference of scores.": [
                right.abs(),
                right.relu(),
                change.abs() * mean,
                change * mean.abs(),
                change * each.abs().mean(0),
            ],
            "The shares were scaled by their own size: then their sum is no difference of "
            "scores.": [right / right.abs().max(), right / right.sum()],
            "The shares of all pixels or of the channels were joined to one: the task wants one "
            "for each channel of each pixel.": [
                right.sum(),
                right.mean(),
                right.sum(0),
                right.mean(0),
                right.amax(0),
                right.abs().amax(0),
            ],
        }
        _, handed = _score_and_gradient(size, c=1, seed=seed, dtype=torch.float32)
        of_more = tensor_of(answer(handed, image, baseline, 2 * steps), "the shares")
        value = answer(handed, image, baseline, steps)
        got = tensor_of(value, "the shares")
        if torch.equal(got, of_more):
            ignored = "Another number of `steps` changes nothing: cut the path into `steps` steps."
            mistakes[ignored] = got
        yield Compared("the shares", value, right, mistakes)


def _gradients(
    gradient_at: Callable[[Tensor], Tensor], start: Tensor, change: Tensor, shares: Tensor
) -> Tensor:
    """Return the gradients after these shares of a change, (shares, C, H, W)."""
    return gradient_at(start + shares[:, None, None, None] * change)


_DROPS = ("the measured drop", "the predicted drop")


def _drops_example() -> Example:
    def score_of(images: Tensor) -> Tensor:
        return images.square().sum(None if images.ndim == 3 else (1, 2, 3))

    def gradient_at(images: Tensor) -> Tensor:
        return 2 * images

    image, replacement = torch.tensor([[[1.0, 3.0], [2.0, 2.0]]]), torch.ones(1, 2, 2)
    shown = (
        "The score is the sum of the squares, its gradient twice the image. The image is "
        "[[[1, 3], [2, 2]]], the replacement 1 everywhere; the box (1, 0, 2, 1) holds the pixel of "
        "value 3. Measured: the score falls from 18 to 10. Predicted: the gradient there is 6 and "
        "the change 1 - 3 = -2, a drop of 6 * 2."
    )
    return Example((score_of, gradient_at, image, replacement, (1, 0, 2, 1)), shown, [8.0, 12.0])


@task(
    "later-methods-occlusion",
    points=2,
    minutes=20,
    parts=dict.fromkeys(_DROPS, 1),
    praise="One is measured, one predicted: for a small enough change they agree.",
    example=_drops_example,
)
def check_drop_and_prediction(answer: Answer) -> Comparisons:
    """Check ``drop_and_prediction(score_of, gradient_at, image, replacement, box)``.

    It should return how far a score falls when a box (x0, y0, x1, y1), half-open, of an image
    (C, H, W) is replaced, and how far it would fall by the gradient at the image.
    """
    cases = []
    # both drops are above 0 in one case, and below it in the other
    for size, box, seed in (((6, 6), (1, 2, 3, 5), 84), ((5, 7), (3, 0, 5, 2), 73)):
        image, replacement = (drawn_image(3, *size, seed=seed + i) for i in (0, 1))
        handed = _score_and_gradient(size, c=2, seed=seed, dtype=torch.float32)
        value = _two_numbers(answer(*handed, image, replacement, box))
        functions = _score_and_gradient(size, c=2, seed=seed)
        right, mistakes = _usual_drops(*functions, image, replacement, box)
        cases.append((value, right, mistakes))
    alone = [
        i
        for i in range(2)
        if all(torch.isclose(v[i], right[i], rtol=1e-4) for v, right, _ in cases)
    ]
    for value, right, mistakes in cases:
        if len(alone) != 1:
            yield Compared("the two drops", value, right.tolist(), mistakes)
            continue
        for i, part in enumerate(_DROPS):
            those = _of_one(mistakes, right, i)
            yield Compared(part, value[i], right[i].item(), those, part=part)


def _of_one(mistakes: dict[str, list[Tensor]], right: Tensor, i: int) -> dict[str, list[Tensor]]:
    """Return the mistakes in one of the two drops, first those in it alone."""
    other = right[1 - i]
    alone = {
        hint: [pair[i] for pair in pairs if torch.isclose(pair[1 - i], other)]
        for hint, pairs in mistakes.items()
    }
    rest = {hint: [pair[i] for pair in mistakes[hint]] for hint in alone if not alone[hint]}
    return {hint: listed for hint, listed in alone.items() if listed} | rest


def _usual_drops(
    score_of: Callable[[Tensor], Tensor],
    gradient_at: Callable[[Tensor], Tensor],
    image: Tensor,
    replacement: Tensor,
    box: tuple[int, int, int, int],
) -> tuple[Tensor, dict[str, list[Tensor]]]:
    """Return the two drops, and what the usual mistakes give."""
    before, w = score_of(image).detach(), gradient_at(image)
    x0, y0, x1, y1 = box
    replaced = partial(_replaced, image, replacement)
    covered = replaced(slice(y0, y1), slice(x0, x1))
    drops, change = partial(_drops, score_of, w, image), covered - image
    inside = change != 0
    drop, predicted = right = drops(covered)
    shifted = image.clone()
    shifted[:, y0:y1, x0:x1] = replacement[:, : y1 - y0, : x1 - x0]
    mistakes = {
        "The sign is wrong, of one number or of both: a drop is above 0 where the score falls, "
        "so subtract the score after from the one before.": [
            right * torch.tensor(signs) for signs in ((-1, -1), (1, -1), (-1, 1))
        ],
        "One number came twice: the first is measured by `score_of`, the second comes from the "
        "gradient alone.": [_pair(drop, drop), _pair(predicted, predicted)],
        "The order is wrong: first the drop that is measured, then the one that is predicted.": [
            right.flip(0)
        ],
        "This is the difference of the two drops: return each of them.": [
            _pair(drop, sign * (drop - predicted)) for sign in (1, -1)
        ],
        "The whole image was replaced, or its gradient added up: outside of the box nothing "
        "changes.": [
            drops(replacement),
            _pair(drop, (w * (image - replacement)).sum()),
        ],
        "The box was kept, and all around it replaced.": [drops(image + replacement - covered)],
        "Rows and columns are swapped: the box is (x0, y0, x1, y1), and x counts the columns.": [
            drops(replaced(slice(x0, x1), slice(y0, y1)))
        ],
        "The box's numbers were read in another order: they are x0, y0, x1, y1.": [
            drops(replaced(slice(x1, y1), slice(x0, y0))),
            drops(replaced(slice(x0, y0), slice(x1, y1))),
        ],
        "The box is too large: it is half-open, so x1 and y1 are the first column and row that "
        "are no part of it.": [
            drops(replaced(slice(y0, y1 + down), slice(x0, x1 + along)))
            for down, along in ((1, 1), (1, 0), (0, 1))
        ],
        "The box is too small: its columns are `x0:x1`, its rows `y0:y1`, the first of them "
        "included.": [
            drops(replaced(slice(y0 + i, y1 - 1 + i), slice(x0 + i, x1 - 1 + i))) for i in (0, 1)
        ],
        "The last two numbers of the box were read as its width and height: they are x1 and "
        "y1, where it ends.": [drops(replaced(slice(y0, y0 + y1), slice(x0, x0 + x1)))],
        "The box was filled with one value, such as black or gray. What stands in its place is "
        "given: the pixels of `replacement` there.": [
            drops(torch.where(inside, torch.as_tensor(value, dtype=image.dtype), image))
            for value in (0.0, 0.5, 1.0, replacement.mean(), replacement[inside].mean())
        ],
        "The box was filled with another place of the replacement: take its pixels of the same "
        "box.": [drops(shifted)],
        "One channel alone was replaced: `image[:, y0:y1, x0:x1]` holds all of them.": [
            drops(torch.where(torch.arange(3)[:, None, None] == k, covered, image))
            for k in range(3)
        ],
        "The gradient was multiplied with the image or the replacement, or added up alone. It "
        "predicts a change of the score for a *change* of the image: multiply it with that.": [
            _pair(drop, sign * (w * some).sum())
            for some in (image, covered, image * inside, replacement * inside, 1, inside)
            for sign in (1, -1)
        ],
        "Magnitudes were taken, or what is below 0 was cut off: a change of the image may raise "
        "the score as well as lower it.": [
            right.abs(),
            right.relu(),
            _pair(drop, predicted.abs()),
            _pair(drop.abs(), predicted),
            _pair(drop, -(w.abs().amax(0) * change).sum()),
            *(_pair(drop, (w.abs() * some).sum()) for some in (-change, change, change.abs())),
            *(_pair(drop, sign * (w * change.abs()).sum()) for sign in (1, -1)),
        ],
        "The gradient was taken at the covered image or at the replacement: the prediction is "
        "made at the image, before anything changes.": [
            _pair(drop, -(gradient_at(some) * change).sum()) for some in (covered, replacement)
        ],
        "The mean was taken of the products: every pixel's change adds to the prediction, so "
        "sum them up.": [
            _pair(drop, predicted / count)
            for count in (inside.sum(), inside[0].sum(), image.numel())
        ],
        "These are scores. A drop is the difference of two of them.": [
            _pair(before - drop, before - predicted),
            _pair(before - drop, predicted),
            _pair(drop, before - predicted),
            _pair(before, before - drop),
        ],
        "The drop was divided by the score: it is to be in logits.": [
            right / before,
            _pair(drop / before, predicted),
        ],
    }
    return right, mistakes


def _replaced(image: Tensor, replacement: Tensor, rows: slice, columns: slice) -> Tensor:
    covered = image.clone()
    covered[:, rows, columns] = replacement[:, rows, columns]
    return covered


def _drops(
    score_of: Callable[[Tensor], Tensor], w: Tensor, image: Tensor, covered: Tensor
) -> Tensor:
    """Return how far the score falls when the image is covered, and how far by its gradient."""
    return _pair(score_of(image) - score_of(covered), (w * (image - covered)).sum())


def _pair(drop: Tensor, predicted: Tensor) -> Tensor:
    return torch.stack([drop, predicted]).detach()


def _two_numbers(value: object) -> Tensor:
    parts = value if isinstance(value, list | tuple) else [value]
    tensors = [tensor_of(part, "the two drops") for part in parts]
    numbers = torch.cat([tensor.flatten() for tensor in tensors])
    if numbers.numel() != 2:
        kinds = [
            "one number" if tensor.numel() == 1 else f"a tensor of {tuple(tensor.shape)}"
            for tensor in tensors
        ]
        got = " and ".join(kinds) if 0 < len(kinds) < 4 else f"{len(kinds)} parts"
        raise Hint(f"Expected two numbers, the measured drop and the predicted one, got {got}.")
    return numbers
