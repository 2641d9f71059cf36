"""Checks of the exercises on later methods: CAM, Grad-CAM, integrated gradients, occlusion.

Activations are drawn, networks are tiny, all in float64; nothing here uses
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
    "The weights, (C,), met the columns of the activation, as shapes are aligned from their last "
    "axis. Give the weights two more axes, `[:, None, None]`, so that they meet the channels."
)
_NOT_SUMMED = "There is still one map a channel: add them up over the channels, the first axis."
_AVERAGED = "The mean over the channels was taken: the map is their sum."
_SCALED = (
    "The map was scaled by its own values, as for a picture. Then maps of two classes cannot be "
    "compared: return it as it is."
)
_TRANSPOSED = "Rows and columns are swapped: the map has those of the activation."


@task("later-methods-cam", points=1, praise="Its mean, plus the class's bias, is the class score.")
def check_class_activation_map(answer: Answer) -> Comparisons:
    """Check ``class_activation_map(activation, weights, c)``.

    It should return the map (h, w) of a class c, signed, from an activation (C, h, w) and
    the weights (classes, C) of the layer that follows the mean over positions.
    """
    # first where no mistake fails for its shapes, so that it can be named
    for shape, classes, c in (((4, 4, 4), 4, 2), ((6, 3, 5), 4, 1)):
        activation = drawn(*shape, seed=10 + c).clamp(min=0)
        weights = drawn(classes, shape[0], seed=20 + c)
        maps = torch.stack([_weighed(activation, row) for row in weights])
        row, right = weights[c], maps[c]
        column = weights[:, c] if classes == shape[0] else row
        on_columns = (row * activation).sum(0) if shape[0] == shape[2] else right
        mistakes = {
            _SOFTMAX: [_weighed(activation, weights.softmax(axis)[c]) for axis in (0, 1)],
            "Soft-max was taken of the maps: they have to be in logits, like the class score.": [
                maps.softmax(0)[c],
                right.flatten().softmax(0).view_as(right),
            ],
            "This is a column of the weights: those of class `c` are a row, `weights[c]`.": (
                _weighed(activation, column)
            ),
            "The positions are gone: they were averaged or added up, as for the class score. The "
            "map keeps them, and adds up the channels at each.": [
                right.mean(),
                right.sum(),
                row * activation.mean((1, 2)),
            ],
            _NOT_SUMMED: row[:, None, None] * activation,
            _AVERAGED: right / shape[0],
            _COLUMNS: on_columns,
            "The negative part was cut off. This map keeps it: there the image speaks against the "
            "class.": [right.clamp(min=0), _weighed(activation, row.clamp(min=0))],
            "Magnitudes were taken, so that the sign is lost: a channel of negative weight speaks "
            "against the class.": [right.abs(), _weighed(activation, row.abs())],
            "This is one channel of the activation: no channel belongs to a class, each class "
            "weighs all of them.": activation[c],
            "The weights have no part in this map: it is the same for all classes.": [
                activation.sum(0),
                activation.mean(0),
            ],
            "These are the maps of all classes: take that of class `c`.": maps,
            _SCALED: _scaled(right),
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


def _scaled(values: Tensor) -> list[Tensor]:
    """Return a map (h, w) as pictures are made of it: to a largest value of 1, or from 0 to 1."""
    positive, low = values.clamp(min=0), values.min()
    return [
        values / values.max(),
        values / values.abs().max(),
        positive / positive.max(),
        (values - low) / (values.max() - low),
    ]


@task(
    "later-methods-grad-cam",
    points=2,
    praise="Where the channels, each weighed by its mean gradient, add up to more than 0.",
)
def check_grad_cam(answer: Answer) -> Comparisons:
    """Check ``grad_cam(activation, gradient)``.

    It should return the positive part (h, w) of an activation weighed by its mean gradient,
    both (C, h, w).
    """
    # first where no mistake fails for its shapes, so that it can be named
    for shape in ((4, 4, 4), (5, 3, 6)):
        activation = drawn(*shape, seed=30 + shape[0]).clamp(min=0)
        gradient = drawn(*shape, seed=40 + shape[0])
        weights, positions = gradient.mean((1, 2)), shape[1] * shape[2]
        signed = _weighed(activation, weights)
        right, product = signed.relu(), gradient * activation
        summed = product.sum(0)
        on_columns = (weights * activation).sum(0) if shape[0] == shape[2] else signed
        mistakes = {
            "The weights are sums over the positions: take the mean, else the map grows with the "
            "number of positions.": [positions * right, positions * signed],
            "The gradient was multiplied with the activation position by position. That is another "
            "map: Grad-CAM takes the gradient's mean over the positions first, one weight a "
            "channel.": [summed.relu(), summed, product.relu().sum(0)],
            "The positive part is missing: the map is 0 where the weighed channels add up to less "
            "than 0.": signed,
            "Magnitudes were taken: what speaks against the class is to be cut off, not "
            "counted for it.": [
                signed.abs(),
                _weighed(activation, weights.abs()),
                _weighed(activation, gradient.abs().mean((1, 2))),
            ],
            "The positive part was taken too early, of the gradient, the weights or single "
            "channels. First add up all channels, those of negative weight too.": [
                _weighed(activation, weights.relu()),
                _weighed(activation, gradient.relu().mean((1, 2))),
                (weights[:, None, None] * activation).relu().sum(0),
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
            _SOFTMAX: _weighed(activation, weights.softmax(0)),
            _NOT_SUMMED: _either(weights[:, None, None] * activation),
            _AVERAGED: _either(signed / shape[0]),
            _COLUMNS: _either(on_columns),
            "The positions are gone: the gradient alone is averaged over them, the activation "
            "keeps them.": [weights, *_either(weights * activation.mean((1, 2))), signed.mean()],
            _SCALED: _scaled(signed),
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
        with torch.inference_mode(False), torch.enable_grad():
            variable = images.detach().clone().requires_grad_()
            scores = network(variable if images.ndim == 4 else variable[None])[:, c]
            return torch.autograd.grad(scores.sum(), variable)[0]

    return score_of, gradient_at


@task(
    "later-methods-integrated-gradients",
    points=3,
    praise="With enough steps its sum is the difference of the two scores.",
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
        mean, first, last = (g.mean(0) for g in (each, gradients(ends[:-1]), gradients(ends[1:])))
        right = change * mean
        mistakes = {
            "The gradients were added up: take their mean, so divide by `steps`.": steps * right,
            "This is the gradient at one point of the path, times `image - baseline`: take the "
            "mean of those at all steps.": [
                change * gradient_at(baseline + share * change) for share in (0, 0.5, 1)
            ],
            "`image - baseline` is missing: this is the mean gradient alone, in logits per unit "
            "intensity.": [mean, steps * mean],
            "The mean gradient was multiplied with the image or the baseline alone: an intensity "
            "that does not change has no share, so multiply with `image - baseline`.": [
                image * mean,
                baseline * mean,
            ],
            "The sign is wrong: the change is the one from the baseline to the image.": -right,
            "The gradients are those at the beginning or the end of each step: take them in its "
            "middle, at `(k + 0.5) / steps` of the path, where the error is smaller.": [
                change * first,
                change * last,
            ],
            "The points include both ends of the path, or are spread in yet another way: the task "
            "wants the middle of each step, `(k + 0.5) / steps` of the path.": [
                change * gradients(ends).mean(0),
                change * (first + last) / 2,
                change * gradients(torch.linspace(0, 1, steps)).mean(0),
                change * gradients(torch.linspace(0, 1, steps + 2)[1:-1]).mean(0),
            ],
            "The path begins at black: the image was only made darker. It has to begin at "
            "`baseline`.": [
                factor * _gradients(gradient_at, 0 * image, image, middles).mean(0)
                for factor in (change, image)
            ],
            "The path misses the image: its points are `baseline + share * (image - baseline)`, "
            "and the share goes from 0 to 1.": [
                change * _gradients(gradient_at, baseline, image, middles).mean(0),
                change * _gradients(gradient_at, image, change, middles).mean(0),
            ],
            "Each gradient was multiplied with a factor of its own step. The factor is the whole "
            "change, `image - baseline`, for all of them.": [
                change * (parts * each).mean(0),
                ((baseline + parts * change) * each).mean(0),
            ],
            "Magnitudes were taken: a share has a sign, else their sum is no difference of "
            "scores.": [
                right.abs(),
                change.abs() * mean,
                change * mean.abs(),
                change * each.abs().mean(0),
            ],
            "The shares were added up, of all pixels or of the channels: the task wants one for "
            "each channel of each pixel.": [right.sum(), right.sum(0), right.abs().amax(0)],
        }
        _, handed = _score_and_gradient(size, c=1, seed=seed, dtype=torch.float32)
        value = answer(handed, image, baseline, steps)
        yield Compared("the shares", value, right, mistakes)


def _gradients(
    gradient_at: Callable[[Tensor], Tensor], start: Tensor, change: Tensor, shares: Tensor
) -> Tensor:
    """Return the gradients after these shares of a change, (shares, C, H, W)."""
    return gradient_at(start + shares[:, None, None, None] * change)


@task(
    "later-methods-occlusion",
    points=2,
    praise="One is measured, one predicted: for a small enough change they agree.",
)
def check_drop_and_prediction(answer: Answer) -> Comparisons:
    """Check ``drop_and_prediction(score_of, gradient_at, image, replacement, box)``.

    It should return how far a score falls when a box (x0, y0, x1, y1), half-open, of an image
    (C, H, W) is replaced, and how far it would fall by the gradient at the image.
    """
    # both drops are above 0 in one case, and below it in the other
    for size, box, seed in (((6, 6), (1, 2, 3, 5), 84), ((5, 7), (3, 0, 5, 2), 73)):
        image, replacement = (drawn_image(3, *size, seed=seed + i) for i in (0, 1))
        score_of, gradient_at = _score_and_gradient(size, c=2, seed=seed)
        before, w = score_of(image).detach(), gradient_at(image)
        x0, y0, x1, y1 = box
        replaced = partial(_replaced, image, replacement)
        covered = replaced(slice(y0, y1), slice(x0, x1))
        drops, change = partial(_drops, score_of, w, image), covered - image
        inside = change != 0
        drop, predicted = right = drops(covered)
        mistakes = {
            "The sign is wrong, of one number or of both: a drop is above 0 where the score falls, "
            "so subtract the score after from the one before.": [
                right * torch.tensor(signs) for signs in ((-1, -1), (1, -1), (-1, 1))
            ],
            "The order is wrong: first the drop that is measured, then the one that is "
            "predicted.": right.flip(0),
            "One number came twice: the first is measured by `score_of`, the second comes from the "
            "gradient alone.": [_pair(drop, drop), _pair(predicted, predicted)],
            "The whole image was replaced, or its gradient added up: outside of the box nothing "
            "changes.": [drops(replacement), _pair(drop, (w * (image - replacement)).sum())],
            "The box was kept, and all around it replaced.": drops(image + replacement - covered),
            "Rows and columns are swapped: the box is (x0, y0, x1, y1), and x counts the "
            "columns.": drops(replaced(slice(x0, x1), slice(y0, y1))),
            "The box is too large: it is half-open, so x1 and y1 are the first column and row that "
            "are no part of it.": drops(replaced(slice(y0, y1 + 1), slice(x0, x1 + 1))),
            "The last two numbers of the box were read as its width and height: they are x1 and "
            "y1, where it ends.": drops(replaced(slice(y0, y0 + y1), slice(x0, x0 + x1))),
            "The box turned black. What stands in its place is given: `replacement`.": drops(
                image * ~inside
            ),
            "One channel alone was replaced: `image[:, y0:y1, x0:x1]` holds all of them.": drops(
                torch.cat([covered[:1], image[1:]])
            ),
            "The gradient was multiplied with the image or the replacement. It predicts a change "
            "of the score for a *change* of the image: multiply it with that.": [
                _pair(drop, sign * (w * some * inside).sum())
                for some in (image, replacement)
                for sign in (1, -1)
            ],
            "Magnitudes were taken: a change of the image may raise the score as well as lower "
            "it.": [
                right.abs(),
                _pair(drop, predicted.abs()),
                *(_pair(drop, (w.abs() * some).sum()) for some in (-change, change, change.abs())),
                _pair(drop, (w * change).abs().sum()),
            ],
            "The gradient was taken at the covered image: the prediction is made at the image, "
            "before anything changes.": _pair(drop, -(gradient_at(covered) * change).sum()),
            "The mean was taken of the products: every pixel's change adds to the prediction, so "
            "sum them up.": [
                _pair(drop, predicted / count)
                for count in (inside.sum(), inside[0].sum(), image.numel())
            ],
            "These are scores. A drop is the difference of two of them.": [
                _pair(before - drop, before - predicted),
                _pair(before - drop, predicted),
                _pair(drop, before - predicted),
            ],
            "The drop was divided by the score: it is to be in logits.": [
                right / before,
                _pair(drop / before, predicted),
            ],
        }
        handed = _score_and_gradient(size, c=2, seed=seed, dtype=torch.float32)
        value = answer(*handed, image, replacement, box)
        yield Compared("the two drops", _two_numbers(value), right, mistakes)


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
    numbers = torch.cat([tensor_of(part, "the two drops").flatten() for part in parts])
    if numbers.numel() != 2:
        raise Hint(
            f"Expected two numbers, the measured drop and the predicted one, got {numbers.numel()}."
        )
    return numbers
