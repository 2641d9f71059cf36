"""Checks of the exercises on gradient and DeconvNet (paper §4): the way back, layer by layer.

Each takes a student's function and says what kind of wrong it is. The layers are tiny, in
float64; nothing here uses `deepinside.deconvnet` or automatic differentiation.
"""

from collections.abc import Callable
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepinside.classroom.answers import Answer, Result, compare_cases, judged
from deepinside.classroom.small_networks import drawn, drawn_image

_RULES = ("gradient", "deconvnet", "guided")
_ASKS = {
    "gradient": "the gradient asks whether the *input* x was positive, and nothing else",
    "deconvnet": "the DeconvNet asks whether the *signal* is positive, and nothing else",
    "guided": "guided back-propagation asks both, whether x *and* the signal are positive",
}


def check_filter_signal(filter_signal: object) -> Result:
    """Return what a check says of a signal that keeps one filter's activations.

    Expected is ``filter_signal(activations, channel)``, (N, C, H, W) to the same shape.
    """
    return judged("filter_signal", filter_signal, _judge_filter_signal)


def check_relu_backward(relu_backward: object) -> Result:
    """Return what a check says of the three rules for ReLU. Paper §4.

    Expected is ``relu_backward(x, signal, rule)``, as the signal; the rule is "gradient",
    "deconvnet" or "guided".
    """
    return judged("relu_backward", relu_backward, _judge_relu_backward)


def check_rules_agree(rules_agree: object) -> Result:
    """Return what a check says of where gradient and DeconvNet pass the same value.

    Expected is ``rules_agree(x, signal)``, a mask of their shape.
    """
    return judged("rules_agree", rules_agree, _judge_rules_agree)


def check_convolution_backward(convolution_backward: object) -> Result:
    """Return what a check says of the way back through a convolution. Paper §4.

    Expected is ``convolution_backward(signal, kernel)``, from (N, out, h, w) and
    (out, in, kh, kw) to (N, in, h + kh - 1, w + kw - 1).
    """
    return judged("convolution_backward", convolution_backward, _judge_convolution_backward)


def check_unpool(unpool: object) -> Result:
    """Return what a check says of the way back through a max-pooling. Paper §4.

    Expected is ``unpool(signal, switches, size)``, from (N, C, h, w), twice, and
    (height, width) to (N, C, height, width).
    """
    return judged("unpool", unpool, _judge_unpool)


def check_carry_back(carry_back: object) -> Result:
    """Return what a check says of the way back through a whole network. Paper §4.

    Expected is ``carry_back(layers, images, signal, rule)``, from a signal at the output of
    layers (nn.Sequential) to one at the images.
    """
    return judged("carry_back", carry_back, _judge_carry_back)


# ---- one filter


def _judge_filter_signal(answer: Answer) -> str:
    activations = drawn(3, 4, 2, 5, seed=1).clamp(min=0)
    cases = [(activations, 2), (activations, 0)]
    compare_cases(answer, cases, _one_filter, _FILTER_MISTAKES, what="the signal")
    return "One filter's activations, as they were, and zeros for all others."


def _one_filter(activations: Tensor, channel: int) -> Tensor:
    kept = torch.zeros_like(activations)
    kept[:, channel] = activations[:, channel]
    return kept


def _one_image(activations: Tensor, image: int) -> Tensor:
    return _one_filter(activations.transpose(0, 1), image).transpose(0, 1)


_FILTER_MISTAKES = {
    "The filter is gone and all others are kept: it is the other way round.": (
        lambda a, c: a - _one_filter(a, c)
    ),
    "One *image* of the batch is kept: images are the first axis, filters the second.": [
        _one_image,
        lambda a, c: a[c],
        lambda a, c: a[c : c + 1],
        lambda a, c: a - _one_image(a, c),
    ],
    "The other filters are cut away. They must stay, as zeros: the layers on the way back expect "
    "all of them.": [lambda a, c: a[:, c], lambda a, c: a[:, c : c + 1]],
    "The filter has 1 in place of its activations: the DeconvNet starts from what the filter "
    "put out.": [
        lambda a, c: _one_filter(torch.ones_like(a), c),
        lambda a, c: _one_filter((a > 0).double(), c),
    ],
    "Every filter has these activations: all others are to be 0.": (
        lambda a, c: a[:, c : c + 1].expand_as(a)
    ),
    "Only the filter's largest activation is kept: the task wants all of them.": (
        lambda a, c: _one_filter(torch.where(a == a.amax((2, 3), keepdim=True), a, 0), c)
    ),
}


# ---- ReLU


def _table() -> list[tuple[Tensor, Tensor]]:
    """Return x and signal of the nine cases, and of a larger example."""
    values = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    x, signal = drawn(2, 2, 3, 4, seed=2), drawn(2, 2, 3, 4, seed=3)
    return [(values[:, None].expand(3, 3).clone(), values.repeat(3, 1)), (x, signal)]


def _judge_relu_backward(answer: Answer) -> str:
    for rule in _RULES:
        compare_cases(
            partial(_last, answer, rule),
            _table(),
            partial(_last, _relu_backward, rule),
            _relu_mistakes(rule),
            what=f"the signal by the rule {rule!r}",
        )
    return "Three rules, and all nine cases of each."


def _last(function: Callable, rule: str, *arguments: object) -> object:
    return function(*arguments, rule)


def _relu_backward(x: Tensor, signal: Tensor, rule: str) -> Tensor:
    return signal * _passes(x, signal, rule)


def _passes(x: Tensor, signal: Tensor, rule: str, *, zero_passes: bool = False) -> Tensor:
    """Return 1 where a rule lets the signal through, else 0."""
    is_open = torch.ge if zero_passes else torch.gt
    asked = {"gradient": [x], "deconvnet": [signal], "guided": [x, signal]}[rule]
    return torch.stack([is_open(one, 0) for one in asked]).all(0).double()


def _relu_mistakes(rule: str) -> dict[str, Callable | list[Callable]]:
    rule_of_other = {
        f"For the rule {rule!r} this is the rule of {_named(other)}: {_ASKS[rule]}.": partial(
            _first_two, _relu_backward, other
        )
        for other in _RULES
        if other != rule
    }
    return {
        **rule_of_other,
        f"For the rule {rule!r} an input of exactly 0 lets the signal through: it has to be "
        "*above* 0, `>` and not `>=`.": lambda x, s: s * _passes(x, s, rule, zero_passes=True),
        f"For the rule {rule!r} this is where the signal passes, 1 or 0. Multiply the signal with "
        "it.": lambda x, s: _passes(x, s, rule),
        f"For the rule {rule!r} the mask is the wrong way round: the signal passes where it asks "
        "for something positive, not elsewhere.": lambda x, s: s * (1 - _passes(x, s, rule)),
        f"For the rule {rule!r} this is the input x, masked. What goes back is the *signal*; x "
        "only decides where.": [
            lambda x, s: x * _passes(x, s, rule),
            lambda x, s: x.clamp(min=0),
        ],
        f"For the rule {rule!r} the signal goes back unchanged.": lambda x, s: s,
        f"For the rule {rule!r} the sign of the signal is lost: mask it, without taking a "
        "magnitude.": lambda x, s: s.abs() * _passes(x, s.abs(), rule),
    }


def _first_two(function: Callable, rule: str, x: Tensor, signal: Tensor) -> Tensor:
    return function(x, signal, rule)


def _named(rule: str) -> str:
    names = {"gradient": "the gradient", "deconvnet": "the DeconvNet"}
    return names.get(rule, "guided back-propagation")


# ---- agreement


def _judge_rules_agree(answer: Answer) -> str:
    compare_cases(answer, _table(), _agreement, _AGREEMENT_MISTAKES, what="the mask")
    return "Six of the nine cases: both pass the signal, or both pass 0."


def _agreement(x: Tensor, signal: Tensor) -> Tensor:
    return _relu_backward(x, signal, "gradient") == _relu_backward(x, signal, "deconvnet")


_AGREEMENT_MISTAKES = {
    "This is where the two *differ*.": lambda x, s: ~_agreement(x, s),
    "A signal of 0 is forgotten: whatever x is, both rules pass 0 there, so they agree.": (
        lambda x, s: (x > 0) == (s > 0)
    ),
    "They agree as well where both pass 0: the input was not positive, and the signal is not.": [
        lambda x, s: (x > 0) & (s > 0),
        lambda x, s: (x > 0) & (s >= 0),
    ],
    "The signs are compared, which goes wrong at zeros. A rule only asks whether a value is "
    "positive, and 0 is not.": [
        lambda x, s: x.sign() == s.sign(),
        lambda x, s: x * s > 0,
        lambda x, s: x * s >= 0,
        lambda x, s: (x >= 0) == (s >= 0),
        lambda x, s: (x > 0) == (s >= 0),
    ],
    "One answer for all values: the task wants a mask, with an answer for each.": [
        lambda x, s: _agreement(x, s).all(),
        lambda x, s: _agreement(x, s).sum(),
    ],
    "These are the values that both pass. The task wants a mask of where they are the same.": (
        lambda x, s: _relu_backward(x, s, "guided")
    ),
}


# ---- convolution


def _judge_convolution_backward(answer: Answer) -> str:
    square = [(drawn(1, 2, 4, 5, seed=4), drawn(2, 2, 3, 3, seed=5))]
    general = [(drawn(2, 2, 3, 4, seed=6), drawn(2, 3, 2, 4, seed=7))]
    # first where no mistake fails for its shapes, so that it can be named
    for cases in (square, general):
        compare_cases(
            answer, cases, _convolution_backward, _CONVOLUTION_MISTAKES, what="the signal"
        )
    return "The kernel, turned by half a turn, on a bordered signal."


def _convolution_backward(signal: Tensor, kernel: Tensor) -> Tensor:
    """Lay the kernel down at each place, as often as the signal says: the slow way."""
    height, width = kernel.shape[2:]
    rows, columns = signal.shape[2:]
    size = (rows + height - 1, columns + width - 1)
    total = signal.new_zeros(len(signal), kernel.shape[1], *size)
    for i, j in product(range(rows), range(columns)):
        laid = torch.einsum("no,ochw->nchw", signal[:, :, i, j], kernel)
        total[:, :, i : i + height, j : j + width] += laid
    return total


def _with_kernel(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda signal, kernel: _convolution_backward(signal, change(kernel))


def _exchanged(kernel: Tensor) -> Tensor:
    """Return a kernel with input for output channels, where their numbers allow it."""
    return kernel.transpose(0, 1) if kernel.shape[0] == kernel.shape[1] else kernel


def _cropped(signal: Tensor, kernel: Tensor, rows: int, columns: int) -> Tensor:
    """Return what one gets with too small a border."""
    full = _convolution_backward(signal, kernel)
    return full[:, :, rows : full.shape[2] - rows, columns : full.shape[3] - columns]


_CONVOLUTION_MISTAKES = {
    "The kernel lies the wrong way round. It is to be turned by half a turn: `conv2d` wants it "
    "flipped along rows and columns, `conv_transpose2d` flips it by itself.": [
        _with_kernel(lambda k: k.flip(2, 3)),
        _with_kernel(lambda k: _exchanged(k).flip(2, 3)),
    ],
    "The kernel is flipped along one axis only: half a turn flips rows and columns.": [
        _with_kernel(lambda k: k.flip(2)),
        _with_kernel(lambda k: k.flip(3)),
    ],
    "Rows and columns of the kernel are swapped: half a turn is a flip along both, no transpose.": [
        _with_kernel(lambda k: k.transpose(2, 3)),
        _with_kernel(lambda k: k.transpose(2, 3).flip(2, 3)),
    ],
    "Input and output channels are exchanged: the kernel is (out, in, rows, columns), and the "
    "signal comes from `out`.": _with_kernel(_exchanged),
    "The border is missing: `conv2d` makes a picture smaller, and the way back has to make it "
    "larger. Put zeros around the signal, one row or column less than the kernel has.": [
        lambda s, k: _cropped(s, k, k.shape[2] - 1, k.shape[3] - 1),
        lambda s, k: _cropped(s, k.flip(2, 3), k.shape[2] - 1, k.shape[3] - 1),
        lambda s, k: _cropped(s, _exchanged(k).flip(2, 3), k.shape[2] - 1, k.shape[3] - 1),
        lambda s, k: _cropped(s, _exchanged(k), k.shape[2] - 1, k.shape[3] - 1),
    ],
    "The border is too small: with it the result has the signal's size. It has to be as large as "
    "the convolution's input, so the border has one row or column less than the kernel.": [
        lambda s, k: _cropped(s, k, (k.shape[2] - 1) // 2, (k.shape[3] - 1) // 2),
        lambda s, k: _cropped(s, k.flip(2, 3), (k.shape[2] - 1) // 2, (k.shape[3] - 1) // 2),
    ],
    "The border's rows and columns are swapped: `F.pad` takes (left, right, top, bottom), the "
    "columns first.": lambda s, k: F.pad(_convolution_backward(s, k), _turned_border(k)),
}


def _turned_border(kernel: Tensor) -> list[int]:
    """Return how much more border, left, right, top and bottom, rows for columns give."""
    more = kernel.shape[2] - kernel.shape[3]
    return [more, more, -more, -more]


# ---- max-pooling


def _judge_unpool(answer: Answer) -> str:
    square = [_pooled(6, 6, 2, 2, seed=8), _pooled(7, 7, 3, 2, seed=9)]
    general = [_pooled(4, 6, 2, 2, seed=10), _pooled(7, 5, 3, 2, seed=11)]
    # first where rows for columns do not fail, so that the mistake can be named
    for cases in (square, general):
        compare_cases(answer, cases, _unpool, _POOLING_MISTAKES, what="the signal")
    return "Each signal at its switch, added where several meet, as the gradient does."


def _pooled(
    height: int, width: int, kernel_size: int, stride: int, seed: int
) -> tuple[Tensor, Tensor, tuple[int, int]]:
    x = drawn(2, 3, height, width, seed=seed)
    if kernel_size > stride:
        x[0, 0, 2, 2] = x.max() + 1  # in four windows at once
    pooled, switches = F.max_pool2d(x, kernel_size, stride, return_indices=True)
    return drawn(*pooled.shape, seed=seed + 50), switches, (height, width)


def _unpool(signal: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    return _placed(signal, switches, size, lambda old, new: old + new)


def _placed(
    signal: Tensor,
    switches: Tensor,
    size: tuple[int, int],
    join: Callable[[float, float], float],
) -> Tensor:
    """Return the signal at its places, joined with what lies there: the slow way."""
    laid = signal.new_zeros(*signal.shape[:2], *size)
    for image, channel, i, j in product(*map(range, signal.shape)):
        row, column = divmod(switches[image, channel, i, j].item(), size[1])
        old = laid[image, channel, row, column].item()
        laid[image, channel, row, column] = join(old, signal[image, channel, i, j].item())
    return laid


def _transposed(signal: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    return _unpool(signal, switches, size).transpose(2, 3)


def _at_corners(signal: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    rows, columns = (length // count for length, count in zip(size, signal.shape[2:], strict=True))
    laid = signal.new_zeros(*signal.shape[:2], *size)
    for i, j in product(range(signal.shape[2]), range(signal.shape[3])):
        laid[:, :, i * rows, j * columns] = signal[:, :, i, j]
    return laid


def _spread(signal: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(signal, size, mode="nearest")


_POOLING_MISTAKES = {
    "Where windows overlap and one pixel is the switch of several, the last signal replaces the "
    "others. The gradient adds them: `scatter_add_`, or `+=` one at a time.": [
        lambda s, w, size: _placed(s, w, size, lambda old, new: new),
        lambda s, w, size: _placed(s, w, size, lambda old, new: old or new),
        lambda s, w, size: _placed(s, w, size, lambda old, new: max(old, new, key=abs)),
    ],
    "Rows and columns are swapped: a switch counts along the rows, so it is row × width + "
    "column.": [
        _transposed,
        lambda s, w, size: _transposed(s, w, size).reshape(*s.shape[:2], *size),
    ],
    "The height and the width are swapped: `size` is (height, width).": (
        lambda s, w, size: _unpool(s, w, size).reshape(*s.shape[:2], size[1], size[0])
    ),
    "Every pixel of a window gets the signal. Only the largest passed through the pooling: the "
    "signal goes back to its switch, all others get 0.": [
        _spread,
        lambda s, w, size: _spread(s, w, size) * s[0, 0].numel() / (size[0] * size[1]),
    ],
    "The signal lies in the upper left corner of each window. It belongs to the switch, where the "
    "largest value was.": _at_corners,
    "There is 1 at the switches in place of the signal.": (
        lambda s, w, size: (_unpool(s, w, size) != 0).double()
    ),
}


# ---- the whole way


def _judge_carry_back(answer: Answer) -> str:
    layers, images = _small_layers(), drawn_image(2, 1, 8, 9, seed=12)
    middle = layers[:2]
    starts = [(layers, drawn(2, 5, seed=13)), (middle, drawn(2, 3, 6, 7, seed=14))]
    cases = [(part, images, start, rule) for part, start in starts for rule in _RULES]
    compare_cases(answer, cases, _carry_back, _WAY_MISTAKES, what="the signal at the images")
    return "The same layers in the reverse order, and three rules for the ReLUs among them."


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
    with torch.no_grad():
        for i, parameter in enumerate(layers.parameters()):
            parameter.copy_(0.5 * drawn(*parameter.shape, seed=20 + i))
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


def _ways(**changed: Callable) -> Callable:
    return partial(_carry_back, **changed)


def _by_rules(used: tuple[str, str, str]) -> Callable:
    """Return the way back where each rule is taken for another one."""
    other = dict(zip(_RULES, used, strict=True))
    return _ways(relu=lambda x, signal, rule: _relu_backward(x, signal, other[rule]))


_WAY_MISTAKES = {
    "The ReLUs follow the gradient whatever `rule` says: hand it on to `relu_backward`.": _by_rules(
        ("gradient",) * 3
    ),
    "The ReLUs follow the rule of another method than `rule` says.": [
        _by_rules(used)
        for used in product(_RULES, repeat=3)
        if used not in (_RULES, ("gradient",) * 3)
    ],
    "The signal passes the ReLUs unchanged: they are layers of the way back, too.": _ways(
        relu=lambda x, signal, rule: signal
    ),
    "Input and signal are exchanged at the ReLUs: `relu_backward(x, signal, rule)` wants the "
    "ReLU's input first.": _ways(relu=lambda x, signal, rule: _relu_backward(signal, x, rule)),
    "It starts from ones. The signal that the way back starts from is given: `signal`.": (
        lambda layers, images, signal, rule: _carry_back(
            layers, images, torch.ones_like(signal), rule
        )
    ),
    "It starts from what the layers put out. The signal that the way back starts from is given: "
    "`signal`.": lambda layers, images, signal, rule: _carry_back(
        layers, images, layers(images).detach(), rule
    ),
    "The kernels lie the wrong way round: a convolution goes back by `convolution_backward`.": (
        _ways(convolution=lambda signal, kernel: _convolution_backward(signal, kernel.flip(2, 3)))
    ),
    "A max-pooling sends the signal to all pixels of a window: it goes back by `unpool`, to the "
    "switches.": _ways(pooling=_spread),
    "The magnitude is taken at the end: the signal has a sign.": (
        lambda *given: _carry_back(*given).abs()
    ),
    "The result is multiplied with the images. The task wants the signal alone.": (
        lambda layers, images, signal, rule: images * _carry_back(layers, images, signal, rule)
    ),
}
