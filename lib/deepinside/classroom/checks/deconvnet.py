"""Checks of the exercises on gradient and DeconvNet (paper §4): the way back, layer by layer.

The layers are tiny, in float64; nothing here uses `deepinside.deconvnet` or automatic
differentiation.
"""

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepinside.classroom.answers import Answer, Compared, Comparisons, compare, task
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


@task(
    "deconvnet-filter",
    points=1,
    praise="One filter's activations, as they were, and zeros for all others.",
)
def check_filter_signal(answer: Answer) -> Comparisons:
    """Check ``filter_signal(activations, channel)``.

    It should return activations (N, C, H, W) that are kept in one filter and 0 elsewhere.
    """
    a = drawn(3, 4, 2, 5, seed=1).clamp(min=0)
    for c in (2, 0):
        mask, of_image = torch.zeros(2, *a.shape, dtype=torch.float64)
        mask[:, c] = of_image[c] = 1
        right, largest = a * mask, a == a.amax((2, 3), keepdim=True)
        mistakes = {
            "The filter is gone and all others are kept: it is the other way round.": a - right,
            "One *image* of the batch is kept: images are the first axis, filters the second.": [
                a * of_image,
                a[c],
                a[c : c + 1],
                a - a * of_image,
            ],
            "The other filters are cut away. They must stay, as zeros: the layers on the way back "
            "expect all of them.": [a[:, c], a[:, c : c + 1]],
            "The filter has 1 in place of its activations: the DeconvNet starts from what the "
            "filter put out.": [mask, mask * (a > 0)],
            "Every filter has these activations: all others have to be 0.": (
                a[:, c : c + 1].expand_as(a)
            ),
            "Only the filter's largest activation is kept: the task wants all of them.": (
                right * largest
            ),
        }
        yield Compared("the signal", answer(a, c), right, mistakes)


@task("deconvnet-relu", points=2, praise="Three rules, and all nine cases of each.")
def check_relu_backward(answer: Answer) -> Comparisons:
    """Check ``relu_backward(x, signal, rule)``. Paper §4.

    It should return what the rule "gradient", "deconvnet" or "guided" makes of a signal, in
    its shape.
    """
    for rule in _RULES:  # one after the other, as a hint belongs to one
        compare(_relu_comparisons(answer, rule))
    return ()


def _relu_comparisons(answer: Answer, rule: str) -> Comparisons:
    for x, signal in _table():
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
        mistakes |= {
            f"For the rule {rule!r} this is where the signal passes, 1 or 0. Multiply the signal "
            "with it.": passes,
            f"For the rule {rule!r} the mask is the wrong way round: the signal passes where it "
            "asks for something positive, not elsewhere.": signal * ~passes,
            f"For the rule {rule!r} this is the input x, masked. What goes back is the *signal*; x "
            "only decides where.": [x * passes, x.clamp(min=0)],
            f"For the rule {rule!r} the signal goes back unchanged.": signal,
            f"For the rule {rule!r} the sign of the signal is lost: mask it, without taking a "
            "magnitude.": signal.abs() * _passes(x, signal.abs(), rule),
        }
        what = f"the signal by the rule {rule!r}"
        yield Compared(what, answer(x, signal, rule), signal * passes, mistakes)


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


@task(
    "deconvnet-agreement",
    points=1,
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
            "A signal of 0 is forgotten: whatever x is, both rules pass 0 there, so they agree.": (
                (x > 0) == (signal > 0)
            ),
            "They agree as well where both pass 0: the input was not positive, and the signal is "
            "not.": [(x > 0) & (signal > 0), (x > 0) & (signal >= 0)],
            "The signs are compared, which goes wrong at zeros. A rule only asks whether a value "
            "is positive, and 0 is not.": [
                x.sign() == signal.sign(),
                x * signal > 0,
                x * signal >= 0,
                (x >= 0) == (signal >= 0),
                (x > 0) == (signal >= 0),
            ],
            "One answer for all values: the task wants a mask, with an answer for each.": [
                right.all(),
                right.sum(),
            ],
            "These are the values that both pass. The task wants a mask of where they are the "
            "same.": _relu_backward(x, signal, "guided"),
        }
        yield Compared("the mask", answer(x, signal), right, mistakes)


def _agreement(x: Tensor, signal: Tensor) -> Tensor:
    return _relu_backward(x, signal, "gradient") == _relu_backward(x, signal, "deconvnet")


@task(
    "deconvnet-convolution",
    points=2,
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
        "Input and output channels are exchanged: the kernel is (out, in, rows, columns), and the "
        "signal comes from `out`.": back_exchanged,
        "The border is missing: `conv2d` makes a picture smaller, and the way back has to make it "
        "larger. Put zeros around the signal, one row or column less than the kernel has.": [
            _cropped(full, rows, columns) for full in fulls
        ],
        "The border is too small: with it the result has the signal's size. It has to be as large "
        "as the convolution's input, so the border has one row or column less than the kernel.": [
            _cropped(full, rows // 2, columns // 2) for full in (back, back_flipped)
        ],
        "The border's rows and columns are swapped: `F.pad` takes (left, right, top, bottom), the "
        "columns first.": F.pad(back, [more, more, -more, -more]),
    }
    return Compared("the signal", answer(signal, k), back, mistakes)


def _convolution_backward(signal: Tensor, kernel: Tensor) -> Tensor:
    """Lay the kernel down at each place, as often as the signal says: the slow way."""
    height, width = kernel.shape[2:]
    rows, columns = signal.shape[2:]
    size = (rows + height - 1, columns + width - 1)
    total = signal.new_zeros(len(signal), kernel.shape[1], *size)
    for i, j in product(range(rows), range(columns)):
        laid = (signal[:, :, i, j] @ kernel.flatten(1)).view(-1, *kernel.shape[1:])
        total[:, :, i : i + height, j : j + width] += laid
    return total


def _cropped(full: Tensor, rows: int, columns: int) -> Tensor:
    """Return what one gets with too small a border."""
    return full[:, :, rows : full.shape[2] - rows, columns : full.shape[3] - columns]


@task(
    "deconvnet-pooling",
    points=2,
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
        "the others. The gradient adds them: `scatter_add_`, or `+=` one at a time.": [
            _unpool(signal, switches, size, lambda old, new: new),
            _unpool(signal, switches, size, lambda old, new: old or new),
            _unpool(signal, switches, size, lambda old, new: max(old, new, key=abs)),
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
        "There is 1 at the switches in place of the signal.": right != 0,
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
    join: Callable[[float, float], float] = lambda old, new: old + new,
) -> Tensor:
    """Return the signal at its places, joined with what lies there: the slow way."""
    laid, values, places = np.zeros((*signal.shape[:2], *size)), signal.numpy(), switches.numpy()
    for image, channel, i, j in product(*map(range, signal.shape)):
        where = (image, channel, *divmod(places[image, channel, i, j], size[1]))
        laid[where] = join(laid[where], values[image, channel, i, j])
    return torch.from_numpy(laid)


def _spread(signal: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(signal, size, mode="nearest")


@task(
    "deconvnet-network",
    points=3,
    praise="The same layers in the reverse order, and three rules for the ReLUs among them.",
)
def check_carry_back(answer: Answer) -> Comparisons:
    """Check ``carry_back(layers, images, signal, rule)``. Paper §4.

    It should return the signal at the images, from one at the output of layers
    (nn.Sequential).
    """
    layers, images = _small_layers(), drawn_image(2, 1, 8, 9, seed=12)
    starts = [(layers, drawn(2, 5, seed=13)), (layers[:2], drawn(2, 3, 6, 7, seed=14))]
    for (part, signal), rule in product(starts, _RULES):
        given = (part, images, signal)
        right = _carry_back(*given, rule)
        by_rules = [_carry_back(*given, other) for other in _RULES]
        mistakes = {
            "The ReLUs follow the gradient whatever `rule` says: hand it on to "
            "`relu_backward`.": by_rules[0],
            "The ReLUs follow the rule of another method than `rule` says.": by_rules,
            "The signal passes the ReLUs unchanged: they are layers of the way back, "
            "too.": _carry_back(*given, rule, relu=lambda x, signal, rule: signal),
            "Input and signal are exchanged at the ReLUs: `relu_backward(x, signal, rule)` wants "
            "the ReLU's input first.": _carry_back(
                *given, rule, relu=lambda x, signal, rule: _relu_backward(signal, x, rule)
            ),
            "It starts from ones. The signal that the way back starts from is given: `signal`.": (
                _carry_back(part, images, torch.ones_like(signal), rule)
            ),
            "It starts from what the layers put out. The signal that the way back starts from is "
            "given: `signal`.": _carry_back(part, images, part(images).detach(), rule),
            "The kernels lie the wrong way round: a convolution goes back by "
            "`convolution_backward`.": _carry_back(
                *given,
                rule,
                convolution=lambda signal, k: _convolution_backward(signal, k.flip(2, 3)),
            ),
            "A max-pooling sends the signal to all pixels of a window: it goes back by `unpool`, "
            "to the switches.": _carry_back(*given, rule, pooling=_spread),
            "The magnitude is taken at the end: the signal has a sign.": right.abs(),
            "The result is multiplied with the images. The task wants the signal alone.": (
                images * right
            ),
        }
        yield Compared("the signal at the images", answer(*given, rule), right, mistakes)


def _small_layers() -> nn.Sequential:
    layers = nn.Sequential(
        nn.Conv2d(1, 3, kernel_size=3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, kernel_size=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 5),
    ).double()
    fill(layers, 0.5, seed=20)
    return layers


def _carry_back(
    layers: nn.Sequential,
    images: Tensor,
    signal: Tensor,
    rule: str,
    *,
    relu: Callable = _relu_backward,
    convolution: Callable = _convolution_backward,
    pooling: Callable = _unpool,
) -> Tensor:
    """Return the signal at the images, each kind of layer carried back as given."""
    passed, x = [], images
    with torch.no_grad():
        for layer in layers:
            passed.append((layer, x))
            x = layer(x)
    for layer, x in reversed(passed):
        if isinstance(layer, nn.ReLU):
            signal = relu(x, signal, rule)
        elif isinstance(layer, nn.Conv2d):
            signal = convolution(signal, layer.weight.detach())
        elif isinstance(layer, nn.MaxPool2d):
            _, switches = F.max_pool2d(x, layer.kernel_size, layer.stride, return_indices=True)
            signal = pooling(signal, switches, tuple(x.shape[2:]))
        elif isinstance(layer, nn.Linear):
            signal = signal @ layer.weight.detach()
        else:
            signal = signal.view_as(x)
    return signal
