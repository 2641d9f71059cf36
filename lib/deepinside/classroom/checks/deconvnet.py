"""Checks of the exercises on gradient and DeconvNet (paper §4): the way back, layer by layer.

The layers are tiny; nothing here uses `deepinside.deconvnet` or automatic differentiation.
"""

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepinside.classroom.answers import (
    Answer,
    Compared,
    Comparisons,
    Example,
    Hint,
    compare,
    task,
)
from deepinside.classroom.small_networks import drawn, drawn_image, fill

_RULES = ("gradient", "deconvnet", "guided")
_NAMES = dict(
    zip(_RULES, ("the gradient", "the DeconvNet", "guided back-propagation"), strict=True)
)
_ASKS = {
    "gradient": "the gradient asks whether the *input* x was positive, and nothing else",
    "deconvnet": "the DeconvNet asks whether the *signal* is positive, and nothing else",
    "guided": "guided back-propagation asks both, whether x *and* the signal are positive",
}


def _filter_example() -> Example:
    activations = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]], [[[5.0, 6.0]], [[7.0, 8.0]]]])
    shown = (
        "Two images, two filters of 1 x 2 activations: 1 2 and 3 4 for the first image, 5 6 and "
        "7 8 for the second. Filter 1 keeps 3 4 and 7 8, and filter 0 becomes 0 0 for both."
    )
    right = torch.tensor([[[[0.0, 0.0]], [[3.0, 4.0]]], [[[0.0, 0.0]], [[7.0, 8.0]]]])
    return Example((activations, 1), shown, right)


@task(
    "deconvnet-filter",
    points=1,
    minutes=5,
    example=_filter_example,
    praise="One filter's activations, as they were, and zeros for all others.",
)
def check_filter_signal(answer: Answer) -> Comparisons:
    """Check ``filter_signal(activations, channel)``.

    It should return activations (N, C, H, W) that are kept in one filter and 0 elsewhere.
    """
    a = drawn(3, 4, 5, 6, seed=1)
    for c in (2, 0, 1):
        mask, of_image, of_row, of_column = torch.zeros(4, *a.shape, dtype=torch.float64)
        mask[:, c] = of_image[c] = of_row[:, :, c] = of_column[..., c] = 1
        right, largest = a * mask, a == a.amax((2, 3), keepdim=True)
        of_first = torch.zeros_like(a)
        of_first[0] = 1
        mistakes = {
            "The filter is gone and all others are kept: it is the other way round.": a - right,
            "One *image* of the batch is kept: images are the first axis, filters the second.": [
                a * of_image,
                a[c],
                a[c : c + 1],
                a - a * of_image,
            ],
            "One row or column of each picture is kept: filters are the second axis, rows the "
            "third and columns the last.": [a * of_row, a * of_column],
            "The other filters are cut away. They must stay, as zeros: the layers on the way back "
            "expect all of them.": [a[:, c], a[:, c : c + 1]],
            "The filter has 1 in place of its activations: the DeconvNet starts from what the "
            "filter put out.": [mask, mask * (a > 0)],
            "Every filter has these activations: all others have to be 0.": (
                a[:, c : c + 1].expand_as(a)
            ),
            "Only the filter's largest activation is kept: the task wants all of them.": [
                right * largest,
                right * (a == a[:, c].max()),
            ],
            "Only the first image keeps its filter's activations: all images of the batch do.": (
                right * of_first
            ),
            "This is a filter's neighbor: the first filter has the number 0.": [
                a * mask.roll(shift, 1) for shift in (-1, 1)
            ],
            "Negative activations are lost: they are kept as they are.": [
                right.clamp(min=0),
                right.abs(),
            ],
            "One filter is kept whatever `channel` says.": [
                a * mask.roll(i - c, 1) for i in range(a.shape[1])
            ],
        }
        yield Compared("the signal", answer(a, c), right, mistakes)


def _relu_example() -> Example:
    x, signal = torch.tensor([-1.0, 2.0, 3.0, 0.0]), torch.tensor([5.0, -4.0, 6.0, 7.0])
    shown = (
        "x = -1, 2, 3, 0 and signal = 5, -4, 6, 7, by the rule 'guided': x is positive in the "
        "second and third place, the signal in all but the second. Both hold in the third alone."
    )
    return Example((x, signal, "guided"), shown, torch.tensor([0.0, 0.0, 6.0, 0.0]))


@task(
    "deconvnet-relu",
    points=3,
    minutes=15,
    parts=dict.fromkeys(_RULES, 1),
    example=_relu_example,
    praise="Three rules, and all nine cases of each.",
)
def check_relu_backward(answer: Answer) -> Comparisons:
    """Check ``relu_backward(x, signal, rule)``. Paper §4.

    It should return what the rule "gradient", "deconvnet" or "guided" makes of a signal, in
    its shape.
    """
    for rule, (x, signal) in product(_RULES, _table()):
        passes = _passes(x, signal, rule)
        mistakes: dict[str, object] = {
            f"For the rule {rule!r} this is the rule of {_NAMES[other]}: {_ASKS[rule]}.": (
                _relu_backward(x, signal, other)
            )
            for other in _RULES
            if other != rule
        }
        if rule != "deconvnet":  # which gives 0 for a signal of 0 in either way
            mistakes[
                f"For the rule {rule!r} an input of exactly 0 lets the signal through: it has to "
                "be *above* 0, `>` and not `>=`."
            ] = signal * _passes(x, signal, rule, torch.ge)
        if rule == "guided":
            mistakes |= {
                "For the rule 'guided' one positive value is enough here. Both have to be, x "
                "*and* the signal.": signal * ((x > 0) | (signal > 0)),
                "For the rule 'guided' the product or the sum of x and the signal is asked: a "
                "product is positive as well where both are negative. Ask each for itself.": [
                    signal * (x * signal > 0),
                    signal * (x + signal > 0),
                ],
            }
        mistakes |= {
            f"For the rule {rule!r} this is where the signal passes, 1 or 0. Multiply the signal "
            "with it.": [passes, passes * signal.sign().abs()],
            f"For the rule {rule!r} the mask is the wrong way round: the signal passes where it "
            "asks for something positive, not elsewhere.": [
                signal * ~passes,
                signal * _passes(-x, -signal, rule),
            ],
            f"For the rule {rule!r} this is the input x, masked. What goes back is the *signal*; x "
            "only decides where.": [
                x * passes,
                x.clamp(min=0),
                _relu_backward(signal, x, rule),
            ],
            f"For the rule {rule!r} the signal goes back unchanged.": signal,
            f"For the rule {rule!r} the signal is multiplied with x itself: multiply it with "
            "where x is positive, 1 or 0.": [signal * x * passes, signal * x],
            f"For the rule {rule!r} the sign of the signal is lost: mask it, without taking a "
            "magnitude.": [
                signal.abs() * _passes(x, signal.abs(), rule),
                -signal * passes,
            ],
        }
        what = f"the signal by the rule {rule!r}"
        yield Compared(what, answer(x, signal, rule), signal * passes, mistakes, part=rule)


def _table() -> list[tuple[Tensor, Tensor]]:
    """Return x and signal of the nine cases, and of a larger example."""
    values = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    x, signal = drawn(2, 2, 3, 4, seed=2), drawn(2, 2, 3, 4, seed=3)
    return [(values[:, None].expand(3, 3).clone(), values.repeat(3, 1)), (x, signal)]


def _relu_backward(x: Tensor, signal: Tensor, rule: str) -> Tensor:
    return signal * _passes(x, signal, rule)


def _passes(
    x: Tensor, signal: Tensor, rule: str, is_open: Callable[[Tensor, int], Tensor] = torch.gt
) -> Tensor:
    """Return where a rule lets the signal through."""
    asked = {"gradient": [x], "deconvnet": [signal], "guided": [x, signal]}[rule]
    return torch.stack([is_open(values, 0) for values in asked]).all(0)


def _agreement_example() -> Example:
    x, signal = torch.tensor([-1.0, 2.0, 3.0, 0.0]), torch.tensor([5.0, -4.0, 6.0, -7.0])
    shown = (
        "x = -1, 2, 3, 0 and signal = 5, -4, 6, -7. The gradient passes 0, -4, 6, 0, the DeconvNet "
        "5, 0, 6, 0: the same in the last two places."
    )
    return Example((x, signal), shown, torch.tensor([False, False, True, True]))


@task(
    "deconvnet-agreement",
    points=1,
    minutes=10,
    example=_agreement_example,
    praise="Six of the nine cases: both pass the signal, or both pass 0.",
)
def check_rules_agree(answer: Answer) -> Comparisons:
    """Check ``rules_agree(x, signal)``.

    It should return a mask, in their shape, of where gradient and DeconvNet pass the same
    value.
    """
    for x, signal in _table():
        right = _agreement(x, signal)
        mistakes = {
            "This is where the two *differ*.": ~right,
            "A signal of 0 is forgotten: whatever x is, both rules pass 0 there, so they agree.": [
                (x > 0) == (signal > 0),
                right & (signal != 0),
            ],
            "They agree as well where both pass 0: the input was not positive, and the signal is "
            "not.": [(x > 0) & (signal > 0), (x > 0) & (signal >= 0), right & (signal > 0)],
            "They agree as well where both pass the signal: where x and the signal are positive.": [
                (x <= 0) & (signal <= 0),
                right & ((x <= 0) | (signal <= 0)),
            ],
            "It goes wrong where x or the signal is exactly 0. A rule only asks whether a value "
            "is positive, and 0 is not.": [
                x.sign() == signal.sign(),
                x * signal > 0,
                x * signal >= 0,
                (x >= 0) == (signal >= 0),
                (x > 0) == (signal >= 0),
                (x >= 0) == (signal > 0),
                ((x >= 0) == (signal > 0)) | (signal == 0),
            ],
            "This is where guided back-propagation agrees with one of the two. The task compares "
            "the gradient and the DeconvNet.": [
                _relu_backward(x, signal, rule) == _relu_backward(x, signal, "guided")
                for rule in ("gradient", "deconvnet")
            ],
            "x is compared with the signal. Compare what the two rules *pass on*, which is the "
            "signal or 0.": [x == signal, x.clamp(min=0) == signal.clamp(min=0)],
            "One answer for all values: the task wants a mask, with an answer for each.": [
                right.all(),
                right.sum(),
                right.double().mean(),
            ],
            "These are the values that both pass. The task wants a mask of where they are the "
            "same.": _relu_backward(x, signal, "guided"),
        }
        yield Compared("the mask", answer(x, signal), right, mistakes)


def _agreement(x: Tensor, signal: Tensor) -> Tensor:
    return _relu_backward(x, signal, "gradient") == _relu_backward(x, signal, "deconvnet")


def _convolution_example() -> Example:
    signal, kernel = torch.tensor([[[[1.0, 10.0]]]]), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    shown = (
        "The signal is 1 10, the kernel has the rows 1 2 and 3 4. Laid down once at the left and "
        "ten times one column further right, the kernels add up where they meet: 2 + 10 and "
        "4 + 30."
    )
    return Example(
        (signal, kernel), shown, torch.tensor([[[[1.0, 12.0, 20.0], [3.0, 34.0, 40.0]]]])
    )


@task(
    "deconvnet-convolution",
    points=2,
    minutes=20,
    optional=True,
    example=_convolution_example,
    praise="The kernel, rotated by 180°, on a signal with a border of zeros.",
)
def check_convolution_backward(answer: Answer) -> Comparisons:
    """Check ``convolution_backward(signal, kernel)``. Paper §4.

    It should return the signal at a convolution's input, (N, in, h + kh - 1, w + kw - 1),
    from the one at its output (N, out, h, w) and the kernel (out, in, kh, kw).
    """
    square = (drawn(1, 2, 4, 5, seed=4), drawn(2, 2, 3, 3, seed=5))
    general = (drawn(2, 2, 3, 4, seed=6), drawn(2, 3, 2, 4, seed=7))
    # first where no mistake fails for its shapes, so that it can be named
    for signal, k in (square, general):
        compare([_compared_convolution(answer, signal, k)])
    return ()


def _compared_convolution(answer: Answer, signal: Tensor, k: Tensor) -> Compared:
    # input for output channels, where their numbers allow it
    exchanged = k.transpose(0, 1) if k.shape[0] == k.shape[1] else k
    back, back_flipped, back_exchanged, back_exchanged_flipped = fulls = [
        _convolution_backward(signal, kernel)
        for kernel in (k, k.flip(2, 3), exchanged, exchanged.flip(2, 3))
    ]
    rows, columns = k.shape[2] - 1, k.shape[3] - 1
    height, width = signal.shape[2:]
    more = rows - columns
    mistakes = {
        "The kernel lies the wrong way round. It has to be rotated by 180°: `conv2d` wants it "
        "flipped along rows and columns, `conv_transpose2d` flips it by itself.": [
            back_flipped,
            back_exchanged_flipped,
        ],
        "The kernel is flipped along one axis only: a rotation by 180° flips rows and columns.": [
            _convolution_backward(signal, k.flip(2)),
            _convolution_backward(signal, k.flip(3)),
        ],
        "Rows and columns of the kernel are swapped: a rotation by 180° flips both and is no "
        "transpose.": [
            _convolution_backward(signal, k.mT),
            _convolution_backward(signal, k.mT.flip(2, 3)),
        ],
        "The kernel is rotated by 90°: it takes 180°, `torch.rot90(kernel, 2, (2, 3))`.": [
            _convolution_backward(signal, torch.rot90(k, turns, (2, 3))) for turns in (1, 3)
        ],
        "Channels of the kernel are reversed: flip only its rows and columns, the axes 2 and 3.": [
            _convolution_backward(signal, k.flip(axes))
            for axes in ((0, 1), (0, 1, 2, 3), (0,), (1,), (0, 2, 3), (1, 2, 3))
        ],
        "The channels are the wrong way round: `conv_transpose2d` takes the kernel as it is, (out, "
        "in, rows, columns), and `conv2d` wants the first two axes exchanged, by `transpose(0, 1)` "
        "and not by `reshape`.": back_exchanged,
        "The border is missing: `conv2d` makes a picture smaller, and the way back has to make it "
        "larger. Put zeros around the signal, one row or column less than the kernel has.": [
            _cropped(full, rows, columns) for full in fulls
        ],
        "The border is too small: with it the result has the signal's size. It has to be as large "
        "as the convolution's input, so the border has one row or column less than the kernel, on "
        "all four sides. (`padding` of `conv_transpose2d` cuts such a border off.)": [
            *(_cropped(full, rows // 2, columns // 2) for full in (back, back_flipped)),
            back[:, :, :height, :width],
            back[:, :, rows:, columns:],
        ],
        "The border is too wide: it has one row or column less than the kernel.": [
            F.pad(full, (1, 1, 1, 1)) for full in (back, back_flipped)
        ],
        "The border is not of zeros: beyond the signal there is none.": [
            _of_border(F.pad(signal, (columns, columns, rows, rows), mode=mode), k)
            for mode in ("replicate", "reflect", "circular")
            if rows < height and columns < width
        ],
        "The border's rows and columns are swapped: `F.pad` takes (left, right, top, bottom), the "
        "columns first.": F.pad(back, [more, more, -more, -more]),
        "Where kernels overlap, the last one replaces the others: they add up, `+=`.": (
            _convolution_backward(signal, k, adds=False)
        ),
        "All images have the signal of the first one, or of all of them together.": [
            back[:1].expand_as(back),
            back.sum(0, keepdim=True).expand_as(back),
        ],
        "The sign of the signal is lost, or the other one.": [
            back.abs(),
            back.clamp(min=0),
            -back,
        ],
    }
    return Compared("the signal", answer(signal, k), back, mistakes)


def _convolution_backward(signal: Tensor, kernel: Tensor, *, adds: bool = True) -> Tensor:
    """Lay the kernel down at each place, as often as the signal says: the slow way."""
    height, width = kernel.shape[2:]
    rows, columns = signal.shape[2:]
    size = (rows + height - 1, columns + width - 1)
    total = signal.new_zeros(len(signal), kernel.shape[1], *size)
    for i, j in product(range(rows), range(columns)):
        laid = (signal[:, :, i, j] @ kernel.flatten(1)).view(-1, *kernel.shape[1:])
        place = total[:, :, i : i + height, j : j + width]
        place.copy_(laid + adds * place)
    return total


def _of_border(bordered: Tensor, kernel: Tensor) -> Tensor:
    """Return what comes out if the border is not of zeros."""
    rows, columns = kernel.shape[2] - 1, kernel.shape[3] - 1
    return _cropped(_convolution_backward(bordered, kernel), rows, columns)


def _cropped(full: Tensor, rows: int, columns: int) -> Tensor:
    """Return what one gets with too small a border."""
    return full[:, :, rows : full.shape[2] - rows, columns : full.shape[3] - columns]


def _pooling_example() -> Example:
    signal = torch.tensor([[[[5.0, 7.0, 1.0]]]])
    switches = torch.tensor([[[[4, 1, 4]]]])
    shown = (
        "size = (2, 3), signal = 5 7 1 and switches = 4 1 4: place 4 is row 1, column 1, as "
        "4 = 1 * 3 + 1, and place 1 is row 0, column 1. 5 and 1 meet at place 4."
    )
    return Example(
        (signal, switches, (2, 3)), shown, torch.tensor([[[[0.0, 7.0, 0.0], [0.0, 6.0, 0.0]]]])
    )


@task(
    "deconvnet-pooling",
    points=2,
    minutes=20,
    optional=True,
    example=_pooling_example,
    praise="Each signal at its switch, added where several meet, as the gradient does.",
)
def check_unpool(answer: Answer) -> Comparisons:
    """Check ``unpool(signal, switches, size)``. Paper §4.

    It should return the signal at a max-pooling's input (N, C, height, width), from the one
    at its output and the switches, both (N, C, h, w), and the size (height, width).
    """
    square = [(6, 6, 2, 2, 8), (7, 7, 3, 2, 9)]
    general = [(4, 6, 2, 2, 10), (7, 5, 3, 2, 11)]
    # first where rows for columns do not fail, so that the mistake can be named
    for settings in (square, general):
        compare(_compared_pooling(answer, *_pooled(*setting)) for setting in settings)
    return ()


def _compared_pooling(
    answer: Answer, signal: Tensor, switches: Tensor, size: tuple[int, int]
) -> Compared:
    right, spread = _unpool(signal, switches, size), _spread(signal, switches, size)
    rows, columns = (length // count for length, count in zip(size, signal.shape[2:], strict=True))
    corners = torch.zeros_like(right)
    for i, j in product(range(signal.shape[2]), range(signal.shape[3])):
        corners[:, :, i * rows, j * columns] = signal[:, :, i, j]
    mistakes = {
        "Where windows overlap and one pixel is the switch of several, the last signal replaces "
        "the others, as with `F.max_unpool2d`. The gradient adds them: `scatter_add_`, or `+=` one "
        "at a time.": [
            _unpool(signal, switches, size, lambda met: met[-1]),
        ],
        "Where windows overlap and one pixel is the switch of several, one of their signals or "
        "their mean is kept. The gradient adds them.": [
            _unpool(signal, switches, size, join)
            for join in (np.mean, max, min, np.prod, lambda met: max(met, key=abs), _first)
        ],
        "All signals lie in the first picture. Switches count within the picture of one channel of "
        "one image: each has its own.": _in_first_picture(right),
        "Only the first image or the first channel has its signal.": [
            _only(right, images, channels) for images, channels in ((1, 3), (2, 1), (1, 1))
        ],
        "Rows and columns are swapped: a switch counts along the rows, so it is row × width + "
        "column.": [right.mT, right.mT.reshape(right.shape)],
        "The height and the width are swapped: `size` is (height, width).": right.reshape(
            right.mT.shape
        ),
        "Every pixel of a window gets the signal. Only the largest passed through the pooling: the "
        "signal goes back to its switch, all others get 0.": [
            spread,
            spread * signal[0, 0].numel() / (size[0] * size[1]),
        ],
        "The signal lies in the upper left corner of each window. It belongs to the switch, where "
        "the largest value was.": corners,
        "There is 1 at the switches, or the number of signals, in place of the signal.": [
            right != 0,
            _unpool(torch.ones_like(signal), switches, size),
        ],
        "The sign of a signal is lost: it goes back as it is.": [
            _unpool(signal.abs(), switches, size),
            _unpool(signal.clamp(min=0), switches, size),
        ],
        "The switches themselves lie there: they say where the signal goes.": (
            _unpool(switches.double(), switches, size)
        ),
        "All images or all channels go back by the switches of the first one. Each has its own.": [
            _unpool(signal, first.expand_as(switches), size)
            for first in (switches[:1], switches[:, :1], switches[:1, :1])
        ],
        "The signal is cut to whole numbers: make the zeros of the signal's type, as by "
        "`signal.new_zeros`; the switches are whole numbers.": [
            right.trunc(),
            _unpool(signal.trunc(), switches, size),
        ],
    }
    return Compared("the signal", answer(signal, switches, size), right, mistakes)


def _pooled(
    height: int, width: int, kernel_size: int, stride: int, seed: int
) -> tuple[Tensor, Tensor, tuple[int, int]]:
    x = drawn(2, 3, height, width, seed=seed)
    if kernel_size > stride:
        x[0, 0, 2, 2] = x.max() + 1  # in four windows at once
    pooled, switches = F.max_pool2d(x, kernel_size, stride, return_indices=True)
    return drawn(*pooled.shape, seed=seed + 50), switches, (height, width)


def _unpool(
    signal: Tensor,
    switches: Tensor,
    size: tuple[int, int],
    join: Callable[[list[float]], float] = sum,
) -> Tensor:
    """Return the signal at its places, joined where several meet: the slow way."""
    met: dict[tuple, list[float]] = {}
    for where in product(*map(range, signal.shape)):
        place = (*where[:2], *divmod(switches[where].item(), size[1]))
        met.setdefault(place, []).append(signal[where].item())
    laid = signal.new_zeros(*signal.shape[:2], *size)
    for place, signals in met.items():
        laid[place] = join(signals)
    return laid


def _first(met: list[float]) -> float:
    return met[0]


def _in_first_picture(right: Tensor) -> Tensor:
    first = torch.zeros_like(right)
    first[0, 0] = right.sum((0, 1))
    return first


def _only(right: Tensor, images: int, channels: int) -> Tensor:
    kept = torch.zeros_like(right)
    kept[:images, :channels] = right[:images, :channels]
    return kept


def _spread(signal: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(signal, size, mode="nearest")


def _network_example() -> Example:
    doubling = nn.Conv2d(1, 1, 1, bias=False).requires_grad_(False)
    doubling.weight.fill_(2)
    layers = nn.Sequential(doubling, nn.ReLU())
    images, signal = torch.tensor([[[[1.0, -2.0, 3.0]]]]), torch.tensor([[[[4.0, 5.0, -6.0]]]])
    shown = (
        "A convolution that doubles, then a ReLU; the image is 1 -2 3, the signal 4 5 -6, the rule "
        "'guided'. The ReLU's input was 2 -4 6, so it passes 4 0 0. The convolution doubles that."
    )
    given = (layers, images, signal, "guided")
    return Example(given, shown, torch.tensor([[[[8.0, 0.0, 0.0]]]]))


@task(
    "deconvnet-network",
    points=3,
    minutes=30,
    example=_network_example,
    praise="The same layers in the reverse order, and three rules for the ReLUs among them.",
)
def check_carry_back(answer: Answer) -> Comparisons:
    """Check ``carry_back(layers, images, signal, rule)``. Paper §4.

    It should return the signal at the images, from one at the output of layers
    (nn.Sequential).
    """
    images = drawn_image(2, 2, 8, 11, seed=12)
    # as many values before each fully connected layer as after it: transposed weights do not fail
    layers = _small_layers(nn.MaxPool2d(2), images, 24, 24)
    starts = [(layers, drawn(2, 24, seed=13)), (layers[:2], drawn(2, 3, 6, 9, seed=14))]
    # first where nothing fails for a stride, so that other mistakes can be named
    try:
        compare(
            _compared_way(answer, part, images, signal, rule)
            for (part, signal), rule in product(starts, _RULES)
        )
    except Hint as hint:
        if "It raised RuntimeError" not in str(hint):
            raise
        raise Hint(
            f"{str(hint).rstrip('.')}. Are the layers taken in reverse order, each with the "
            "*input* that it had?"
        ) from None
    images, signal = drawn_image(2, 2, 12, 15, seed=15), drawn(2, 5, seed=16)
    layers = _small_layers(nn.MaxPool2d(3, stride=4), images, 6, 5)
    try:
        compare([_compared_way(answer, layers, images, signal, "guided")])
    except Hint as hint:
        raise Hint(
            "It works with a pooling whose windows lie side by side, and fails with `MaxPool2d(3, "
            f"stride=4)`: hand `layer.kernel_size` *and* `layer.stride` on. {hint}"
        ) from None
    kept = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    if any(getattr(layer, hooks) for layer in answer.given[0].modules() for hooks in kept):
        raise Hint(
            "It leaves hooks on the layers, which act in every later call: keep what "
            "`register_..._hook` returns, and call its `.remove()` in the end."
        )
    answer.repeat(_carry_back(layers, images, signal, "guided"))
    return ()


def _compared_way(
    answer: Answer, layers: nn.Sequential, images: Tensor, signal: Tensor, rule: str
) -> Compared:
    given = (layers, images, signal)
    right = _carry_back(*given, rule)
    by_rules = [_carry_back(*given, other) for other in _RULES]
    best = nn.functional.one_hot(layers(images).flatten(1).argmax(1), signal[0].numel())
    before_last = layers[:-1](images)
    # carried back from the last layer's input, if it has the signal's shape
    without_last = (
        [_carry_back(layers[:-1], images, signal, rule)]
        if before_last.shape == signal.shape
        else []
    )
    mistakes = {
        "The ReLUs follow the gradient whatever `rule` says: hand it on to "
        "`relu_backward`.": by_rules[0],
        "The ReLUs follow the rule of another method than `rule` says.": by_rules,
        "The signal passes ReLUs unchanged: each is a layer of the way back, too, those between "
        "convolutions as well as those between fully connected layers.": [
            _carry_back(*given, rule, relu=_relu_of_axes(axes)) for axes in ((), (2,), (4,))
        ],
        "Only the last layer is carried back: does a `return` stand inside the loop?": (
            _carry_back(layers[-1:], before_last, signal, rule)
        ),
        "The way back leaves out the first layer: it ends at the images.": (
            _carry_back(layers[1:], layers[0](images), signal, rule)
        ),
        "The way back leaves out the last layer: the signal is given at its output.": without_last,
        "The weights of the fully connected layers are transposed: a signal goes back by `signal @ "
        "layer.weight`.": _carry_back(*given, rule, linear=_transposed),
        "A bias takes part: on the way back only the weights do.": [
            _carry_back(*given, rule, linear=linear, convolution=convolution)
            for linear, convolution in product((_linear, _linear_of_rest), (_conv, _conv_of_rest))
            if (linear, convolution) != (_linear, _conv)
        ],
        "Input and signal are exchanged at the ReLUs: `relu_backward(x, signal, rule)` wants "
        "the ReLU's input first.": _carry_back(
            *given, rule, relu=lambda x, signal, rule: _relu_backward(signal, x, rule)
        ),
        "It starts from ones. The signal that the way back starts from is given: `signal`.": (
            _carry_back(layers, images, torch.ones_like(signal), rule)
        ),
        "It starts from what the layers put out, or from their best class. The signal that the "
        "way back starts from is given: `signal`.": [
            _carry_back(layers, images, start.to(signal).view_as(signal), rule)
            for start in (layers(images), best)
        ],
        "The kernels lie the wrong way round: a convolution goes back by `convolution_backward` "
        "or `F.conv_transpose2d`.": _carry_back(
            *given,
            rule,
            convolution=lambda signal, layer: _convolution_backward(
                signal, layer.weight.flip(2, 3)
            ),
        ),
        "A max-pooling sends the signal to all pixels of a window: it goes back to the switches, "
        "by `unpool` or `F.max_unpool2d`.": _carry_back(*given, rule, pooling=_spread),
        "The magnitude is taken at the end, or negative values are cut: the signal has a sign, "
        "and no rule acts on the images themselves.": [
            right.abs(),
            right.clamp(min=0),
            _relu_backward(images, right, rule),
        ],
        "The result is multiplied with the images. The task wants the signal alone.": (
            images * right
        ),
        "All images go back through the masks and switches of the first one, or with its signal.": [
            _carry_back(layers, images[:1].expand_as(images), signal, rule),
            _carry_back(layers, images, signal[:1].expand_as(signal), rule),
        ],
    }
    return Compared("the signal at the images", answer(*given, rule), right, mistakes)


def _small_layers(
    pooling: nn.MaxPool2d, images: Tensor, hidden: int, classes: int
) -> nn.Sequential:
    """Return layers of each kind, frozen, from images of this size to so many classes."""
    parts = [nn.Conv2d(2, 3, 3), nn.ReLU(), pooling, nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Flatten()]
    count = nn.Sequential(*parts)(images.float()).shape[1]
    parts += [nn.Linear(count, hidden), nn.ReLU(), nn.Linear(hidden, classes)]
    layers = nn.Sequential(*parts).double().requires_grad_(False)
    fill(layers, 0.5, seed=20)
    return layers


def _relu_of_axes(axes: tuple[int, ...]) -> Callable:
    """Return the way back of a ReLU, but unchanged unless its input has so many axes."""
    return lambda x, signal, rule: _relu_backward(x, signal, rule) if x.ndim in axes else signal


def _linear(signal: Tensor, layer: nn.Linear) -> Tensor:
    return signal @ layer.weight


def _transposed(signal: Tensor, layer: nn.Linear) -> Tensor:
    """Return the signal by the transposed weights, where their shape allows it."""
    square = layer.in_features == layer.out_features
    return signal @ (layer.weight.T if square else layer.weight)


def _linear_of_rest(signal: Tensor, layer: nn.Linear) -> Tensor:
    return (signal - layer.bias) @ layer.weight


def _conv(signal: Tensor, layer: nn.Conv2d) -> Tensor:
    return _convolution_backward(signal, layer.weight)


def _conv_of_rest(signal: Tensor, layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return _convolution_backward(signal - layer.bias[:, None, None], layer.weight)


def _carry_back(
    layers: nn.Sequential,
    images: Tensor,
    signal: Tensor,
    rule: str,
    *,
    relu: Callable = _relu_backward,
    linear: Callable = _linear,
    convolution: Callable = _conv,
    pooling: Callable = _unpool,
) -> Tensor:
    """Return the signal at the images, each kind of layer carried back as given."""
    passed, x = [], images
    for layer in layers:
        passed.append((layer, x))
        x = layer(x)
    for layer, x in reversed(passed):
        if isinstance(layer, nn.ReLU):
            signal = relu(x, signal, rule)
        elif isinstance(layer, nn.Conv2d):
            signal = convolution(signal, layer)
        elif isinstance(layer, nn.MaxPool2d):
            _, switches = F.max_pool2d(x, layer.kernel_size, layer.stride, return_indices=True)
            signal = pooling(signal, switches, tuple(x.shape[2:]))
        elif isinstance(layer, nn.Linear):
            signal = linear(signal, layer)
        else:
            signal = signal.view_as(x)
    return signal
