"""Right answers written in several ways, and for each hint a wrong answer that gets it."""

import torch
from tables import usual_tests
from torch import nn
from torch.nn import functional as F

from deepinside import deconvnet
from deepinside.classroom.checks import deconvnet as checks


def keep_filter(activations, channel):
    kept = torch.zeros_like(activations)
    kept[:, channel] = activations[:, channel]
    return kept


def keep_filter_by_product(activations, channel):
    return activations * F.one_hot(torch.tensor(channel), activations.shape[1])[:, None, None]


def keep_filter_of_copy(activations, channel):
    kept = activations.clone()
    kept[:, [i for i in range(kept.shape[1]) if i != channel]] = 0
    return kept


def relu_by_masks(x, signal, rule):
    if rule == "gradient":
        return signal * (x > 0)
    if rule == "deconvnet":
        return signal * (signal > 0)
    return signal * (x > 0) * (signal > 0)


def relu_by_relu(x, signal, rule):
    if rule != "gradient":
        signal = F.relu(signal)
    return signal if rule == "deconvnet" else torch.where(x > 0, signal, 0)


def relu_by_autograd(x, signal, rule):
    if rule == "deconvnet":
        return signal.clamp(min=0)
    x = x.clone().requires_grad_()
    back = torch.autograd.grad(F.relu(x), x, signal)[0]
    return back if rule == "gradient" else F.relu(back)


def agree_by_rules(x, signal):
    return signal * (x > 0) == signal * (signal > 0)


def agree_by_cases(x, signal):
    both, neither = (x > 0) & (signal > 0), (x <= 0) & (signal <= 0)
    return both | neither | (signal == 0)


def conv_by_transpose(signal, kernel):
    return F.conv_transpose2d(signal, kernel)


def conv_by_flipping(signal, kernel):
    rows, columns = kernel.shape[2] - 1, kernel.shape[3] - 1
    bordered = F.pad(signal, (columns, columns, rows, rows))
    return F.conv2d(bordered, kernel.flip(2, 3).transpose(0, 1))


def conv_by_autograd(signal, kernel):
    rows, columns = (s + k - 1 for s, k in zip(signal.shape[2:], kernel.shape[2:], strict=True))
    x = signal.new_zeros(len(signal), kernel.shape[1], rows, columns).requires_grad_()
    return torch.autograd.grad(F.conv2d(x, kernel), x, signal)[0]


def unpool_by_scatter(signal, switches, size):
    flat = signal.new_zeros(*signal.shape[:2], size[0] * size[1])
    flat.scatter_add_(2, switches.flatten(2), signal.flatten(2))
    return flat.view(*signal.shape[:2], *size)


def unpool_by_one_hot(signal, switches, size):
    places = F.one_hot(switches.flatten(2), size[0] * size[1]).to(signal)
    return (signal.flatten(2)[..., None] * places).sum(2).unflatten(2, size)


def unpool_by_loop(signal, switches, size):
    back = torch.zeros(*signal.shape[:2], *size, dtype=signal.dtype)
    for image in range(signal.shape[0]):
        for channel in range(signal.shape[1]):
            for r, place in zip(
                signal[image, channel].flatten(), switches[image, channel].flatten(), strict=True
            ):
                back[image, channel, place // size[1], place % size[1]] += r
    return back


def carry_back(
    layers,
    images,
    signal,
    rule,
    relu=relu_by_masks,
    convolution=conv_by_transpose,
    linear=torch.matmul,
    pooling=unpool_by_scatter,
    **windows,
):
    inputs = [images]
    for layer in layers:
        inputs.append(layer(inputs[-1]))
    for layer, x in zip(reversed(layers), reversed(inputs[:-1]), strict=True):
        if isinstance(layer, nn.Linear):
            signal = linear(signal, layer.weight)
        elif isinstance(layer, nn.Flatten):
            signal = signal.view_as(x)
        elif isinstance(layer, nn.ReLU):
            signal = relu(x, signal, rule)
        elif isinstance(layer, nn.MaxPool2d):
            switches = layer_switches(layer, x, **windows)
            signal = pooling(signal, switches, x.shape[2:])
        else:
            signal = convolution(signal, layer.weight)
    return signal


def layer_switches(layer, x, **windows):
    given = {"kernel_size": layer.kernel_size, "stride": layer.stride} | windows
    return F.max_pool2d(x, **given, return_indices=True)[1]


def carry_back_by_unpooling(layers, images, signal, rule):
    """The functions of PyTorch, with the layers' weights as arrays."""

    def linear(signal, weight):
        return torch.from_numpy(signal.numpy() @ weight.numpy())

    for i in range(len(layers) - 1, -1, -1):
        layer, x = layers[i], layers[:i](images)
        if isinstance(layer, nn.MaxPool2d):
            windows = layer.kernel_size, layer.stride
            switches = layer_switches(layer, x)
            signal = F.max_unpool2d(signal, switches, *windows, output_size=x.shape)
        elif isinstance(layer, nn.Linear):
            signal = linear(signal, layer.weight)
        else:
            signal = carry_back(nn.Sequential(layer), x, signal, rule)
    return signal


def carry_back_by_hooks(layers, images, signal, rule):
    """Automatic differentiation, with hooks that change what a ReLU passes."""
    hooks = []
    x = images.clone().requires_grad_()
    for layer in layers:
        if isinstance(layer, nn.ReLU) and rule != "gradient":
            hooks.append(layer.register_full_backward_hook(passes(rule)))
    back = torch.autograd.grad(layers(x), x, signal)[0]
    for hook in hooks:
        hook.remove()
    return back


def passes(rule):
    def hook(module, to_input, to_output):
        signal = to_output[0] if rule == "deconvnet" else to_input[0]
        return (signal.clamp(min=0),)

    return hook


def carry_back_recursively(layers, images, signal, rule):
    if not len(layers):
        return signal
    x = layers[:-1](images)
    if isinstance(layers[-1], nn.ReLU):
        below = relu_by_relu(x, signal, rule)
    else:
        x = x.detach().requires_grad_()
        below = torch.autograd.grad(layers[-1](x), x, signal)[0]
    return carry_back_recursively(layers[:-1], images, below, rule)


RIGHT = {
    checks.check_filter_signal: [keep_filter, keep_filter_by_product, keep_filter_of_copy],
    checks.check_relu_backward: [
        relu_by_masks,
        relu_by_relu,
        relu_by_autograd,
        deconvnet.relu_backward,
    ],
    checks.check_rules_agree: [agree_by_rules, agree_by_cases],
    checks.check_convolution_backward: [conv_by_transpose, conv_by_flipping, conv_by_autograd],
    checks.check_unpool: [unpool_by_scatter, unpool_by_one_hot, unpool_by_loop],
    checks.check_carry_back: [
        carry_back,
        carry_back_by_hooks,
        carry_back_recursively,
        carry_back_by_unpooling,
    ],
}


def wrong_for(rule, change):
    """The right ReLU, but for one rule."""

    def answer(x, signal, asked):
        return (change if asked == rule else relu_by_masks)(x, signal, asked)

    return answer


def always(rule):
    return lambda x, signal, _: relu_by_masks(x, signal, rule)


def exchanged(x, signal, rule):
    other = {"gradient": "deconvnet", "deconvnet": "gradient", "guided": "guided"}
    return relu_by_masks(x, signal, other[rule])


def with_zero(x, signal, rule):
    return relu_by_masks(x + (x == 0), signal + 1e-9 * (signal == 0), rule)


def masked_by(condition):
    """The right ReLU, but for another mask of guided back-propagation."""
    return wrong_for("guided", lambda x, s, rule: s * condition(x, s))


RELU = [
    (always("gradient"), "For the rule 'deconvnet' this is the rule of the gradient"),
    (always("deconvnet"), "For the rule 'gradient' this is the rule of the DeconvNet"),
    (always("guided"), "For the rule 'gradient' this is the rule of guided"),
    (exchanged, "For the rule 'gradient' this is the rule of the DeconvNet: the gradient asks"),
    (wrong_for("guided", always("gradient")), "For the rule 'guided' this is the rule of the grad"),
    (wrong_for("guided", always("deconvnet")), "For the rule 'guided' this is the rule of the Dec"),
    (wrong_for("deconvnet", always("guided")), "For the rule 'deconvnet' this is the rule of gui"),
    (lambda x, s, rule: s * (x >= 0), "For the rule 'gradient' an input of exactly 0"),
    (wrong_for("guided", with_zero), "For the rule 'guided' an input of exactly 0"),
    (lambda x, s, rule: x > 0, "For the rule 'gradient' this is where the signal passes, 1 or 0"),
    (lambda x, s, rule: s * (x <= 0), "For the rule 'gradient' the mask is the wrong way round"),
    (lambda x, s, rule: F.relu(x), "For the rule 'gradient' this is the input x, masked"),
    (wrong_for("deconvnet", lambda x, s, rule: s), "For the rule 'deconvnet' the signal goes back"),
    (lambda x, s, rule: s.abs() * (x > 0), "For the rule 'gradient' the sign of the signal is"),
    (masked_by(lambda x, s: (x > 0) | (s > 0)), "one positive value is enough"),
    (masked_by(lambda x, s: x * s > 0), "the product or the sum"),
    (masked_by(lambda x, s: x + s > 0), "the product or the sum"),
    (lambda x, s, rule: s * F.relu(x), "is multiplied with x itself"),
    (lambda x, s, rule: relu_by_masks(s, x, rule), "For the rule 'gradient' this is the input x"),
]


def images_at(axis):
    """Activations that are kept at one place along an axis."""
    return lambda a, c: keep_filter(a.transpose(1, axis), c).transpose(1, axis)


FILTERS = [
    (lambda a, c: a - keep_filter(a, c), "the other way round"),
    (lambda a, c: a[c], "One *image*"),
    (lambda a, c: keep_filter(a.transpose(0, 1), c).transpose(0, 1), "One *image*"),
    (lambda a, c: a[:, c : c + 1], "cut away"),
    (lambda a, c: keep_filter(torch.ones_like(a), c), "1 in place of its activations"),
    (lambda a, c: a[:, [c] * a.shape[1]], "Every filter has these"),
    (
        lambda a, c: keep_filter(a * (a == a.flatten(2).amax(2)[..., None, None]), c),
        "Only the filter's largest",
    ),
    (images_at(2), "One row or column"),
    (images_at(3), "One row or column"),
    (lambda a, c: keep_filter(a, c) * (torch.arange(3) < 1)[:, None, None, None], "first image"),
    (lambda a, c: keep_filter(a, c - 1), "a filter's neighbor"),
    (lambda a, c: keep_filter(a, c).relu(), "Negative activations"),
    (lambda a, c: keep_filter(a, 0), "whatever `channel` says"),
]
AGREEMENT = [
    (lambda x, s: s * (x > 0) != F.relu(s), "where the two *differ*"),
    (lambda x, s: ~((x > 0) ^ (s > 0)), "A signal of 0 is forgotten"),
    (lambda x, s: (x > 0) & (s > 0), "where both pass 0"),
    (lambda x, s: torch.sign(x) == torch.sign(s), "is exactly 0"),
    (lambda x, s: x * s >= 0, "is exactly 0"),
    (lambda x, s: (x >= 0) == (s > 0), "is exactly 0"),
    (lambda x, s: (x <= 0) & (s <= 0), "where both pass the signal"),
    (lambda x, s: relu_by_masks(x, s, "guided") == F.relu(s), "guided back-propagation agrees"),
    (lambda x, s: F.relu(x) == F.relu(s), "compared with the signal"),
    (lambda x, s: (s * (x > 0) == F.relu(s)).float().mean(), "One answer for all"),
    (lambda x, s: torch.equal(s * (x > 0), F.relu(s)), "One answer for all"),
    (lambda x, s: s * (x > 0) * (s > 0), "the values that both pass"),
]


def bordered(signal, kernel, rows=None, columns=None):
    rows = kernel.shape[2] - 1 if rows is None else rows
    columns = kernel.shape[3] - 1 if columns is None else columns
    return F.pad(signal, (columns, columns, rows, rows))


def conv_replacing(signal, kernel):
    sizes = (s + k - 1 for s, k in zip(signal.shape[2:], kernel.shape[2:], strict=True))
    back = torch.zeros(len(signal), kernel.shape[1], *sizes)
    for i in range(signal.shape[2]):
        for j in range(signal.shape[3]):
            laid = torch.einsum("no,oirc->nirc", signal[:, :, i, j], kernel)
            back[:, :, i : i + kernel.shape[2], j : j + kernel.shape[3]] = laid
    return back


CONVOLUTION = [
    (lambda s, k: F.conv2d(bordered(s, k), k.transpose(0, 1)), "the wrong way round"),
    (lambda s, k: F.conv_transpose2d(s, k.flip(2, 3)), "the wrong way round"),
    (lambda s, k: F.conv2d(bordered(s, k), k), "the wrong way round"),
    (lambda s, k: F.conv_transpose2d(s, k.flip(2)), "along one axis only"),
    (lambda s, k: F.conv_transpose2d(s, k.mT), "of the kernel are swapped"),
    (lambda s, k: F.conv2d(bordered(s, k), k.flip(2, 3)), "channels are the wrong way round"),
    (lambda s, k: F.conv2d(s, k.flip(2, 3).transpose(0, 1)), "The border is missing"),
    (lambda s, k: F.conv2d(s, k), "The border is missing"),
    (
        lambda s, k: F.conv2d(bordered(s, k, 1, 1), k.flip(2, 3).transpose(0, 1)),
        "The border is too small",
    ),
    (
        lambda s, k: F.conv2d(
            bordered(s, k, k.shape[3] - 1, k.shape[2] - 1), k.flip(2, 3).transpose(0, 1)
        ),
        "The border's rows and columns",
    ),
    (lambda s, k: conv_by_transpose(s, torch.rot90(k, 1, (2, 3))), "rotated by 90°"),
    (lambda s, k: conv_by_flipping(s, k.flip(0, 1)), "Channels of the kernel are reversed"),
    (lambda s, k: F.conv_transpose2d(s, k, padding=1), "The border is too small"),
    (
        lambda s, k: F.conv2d(
            F.pad(s, (k.shape[3] - 1, 0, k.shape[2] - 1, 0)), k.flip(2, 3).transpose(0, 1)
        ),
        "The border is too small",
    ),
    (
        lambda s, k: F.conv2d(bordered(s, k, *k.shape[2:]), k.flip(2, 3).transpose(0, 1)),
        "The border is too wide",
    ),
    (
        lambda s, k: F.conv2d(
            F.pad(s, (k.shape[3] - 1,) * 2 + (k.shape[2] - 1,) * 2, mode="replicate"),
            k.flip(2, 3).transpose(0, 1),
        ),
        "not of zeros",
    ),
    (conv_replacing, "the last one replaces"),
    (lambda s, k: conv_by_transpose(s[:1], k).expand(len(s), -1, -1, -1), "the first one"),
    (lambda s, k: conv_by_transpose(s, k).abs(), "The sign of the signal"),
]


def unpool_overwriting(signal, switches, size):
    flat = signal.new_zeros(*signal.shape[:2], size[0] * size[1])
    flat.scatter_(2, switches.flatten(2), signal.flatten(2))
    return flat.unflatten(2, tuple(size))


def unpool_keeping_the_first(signal, switches, size):
    back = torch.zeros(*signal.shape[:2], *size)
    for n, c, i, j in torch.ones_like(switches).nonzero().tolist():
        place = n, c, *divmod(switches[n, c, i, j].item(), size[1])
        back[place] = back[place] if back[place] else signal[n, c, i, j]
    return back


def unpool_of_means(signal, switches, size):
    flat = signal.new_zeros(*signal.shape[:2], size[0] * size[1])
    places, values = switches.flatten(2), signal.flatten(2)
    return flat.scatter_reduce(2, places, values, "mean", include_self=False).unflatten(2, size)


def unpool_in_first_picture(signal, switches, size):
    flat = torch.zeros(signal.shape[0] * signal.shape[1] * size[0] * size[1])
    flat.scatter_add_(0, switches.flatten(), signal.flatten())
    return flat.view(*signal.shape[:2], *size)


def unpool_transposed(signal, switches, size):
    back = torch.zeros(*signal.shape[:2], *size, dtype=signal.dtype)
    for n, c, i, j in torch.ones_like(switches).nonzero().tolist():
        place = switches[n, c, i, j].item()
        back[n, c, place % size[1], place // size[1]] += signal[n, c, i, j]
    return back


def unpool_at_corners(signal, switches, size):
    step = size[0] // signal.shape[2], size[1] // signal.shape[3]
    back = torch.zeros(*signal.shape[:2], *size, dtype=signal.dtype)
    rows, columns = step[0] * signal.shape[2], step[1] * signal.shape[3]
    back[:, :, : rows : step[0], : columns : step[1]] = signal
    return back


POOLING = [
    (unpool_overwriting, "the last signal replaces"),
    (unpool_transposed, "Rows and columns are swapped"),
    (
        lambda s, w, size: unpool_by_scatter(s, w, size).reshape(*s.shape[:2], *size[::-1]),
        "height and the width are swapped",
    ),
    (lambda s, w, size: F.interpolate(s, size), "Every pixel of a window"),
    (unpool_at_corners, "upper left corner"),
    (
        lambda s, w, size: (unpool_by_scatter(s.abs(), w, size) > 0).float(),
        "1 at the switches",
    ),
    (unpool_of_means, "their mean is kept"),
    (unpool_keeping_the_first, "one of their signals"),
    (lambda s, w, size: unpool_by_scatter(s, w[:1].expand_as(w), size), "of the first one"),
    (lambda s, w, size: unpool_by_scatter(s, w[:, :1].expand_as(w), size), "of the first one"),
    (lambda s, w, size: unpool_by_scatter(s.long(), w, size).float(), "cut to whole numbers"),
    (unpool_in_first_picture, "in the first picture"),
    (
        lambda s, w, size: unpool_by_scatter(
            s * (torch.arange(2) < 1)[:, None, None, None], w, size
        ),
        "Only the first image",
    ),
    (lambda s, w, size: unpool_by_scatter(s.abs(), w, size), "The sign of a signal"),
    (lambda s, w, size: unpool_by_scatter(w.float(), w, size), "The switches themselves"),
    (lambda s, w, size: F.max_unpool2d(s, w, 2, output_size=size), "`F.max_unpool2d`"),
]


def with_relu(relu):
    return lambda *given: carry_back(*given, relu=relu)


def carry_back_with_hooks_left(layers, images, signal, rule):
    if rule == "guided":
        layers[0].register_forward_hook(lambda *_: None)
    return carry_back(layers, images, signal, rule)


def with_axes(axes):
    """The right ReLU, but only for inputs of so many axes."""
    return lambda x, s, rule: relu_by_masks(x, s, rule) if x.ndim == axes else s


def carry_back_one(layers, images, signal, rule):
    return carry_back(layers[-1:], layers[:-1](images), signal, rule)


def carry_back_of_rest(layers, images, signal, rule):
    for i in range(len(layers) - 1, -1, -1):
        if isinstance(layers[i], nn.Linear):
            signal = signal - layers[i].bias
        signal = carry_back(layers[i : i + 1], layers[:i](images), signal, rule)
    return signal


def carry_back_of_outputs(layers, images, signal, rule):
    for i in range(len(layers) - 1, -1, -1):
        signal = carry_back(layers[i : i + 1], layers[: i + 1](images), signal, rule)
    return signal


def carry_back_forward(layers, images, signal, rule):
    for i in range(len(layers)):
        signal = carry_back(layers[i : i + 1], layers[:i](images), signal, rule)
    return signal


WAYS = [
    (with_relu(always("gradient")), "whatever `rule` says"),
    (with_relu(always("guided")), "the rule of another method"),
    (with_relu(exchanged), "the rule of another method"),
    (with_relu(wrong_for("guided", always("gradient"))), "the rule of another method"),
    (with_relu(lambda x, s, rule: s), "unchanged"),
    (with_relu(with_axes(4)), "between fully connected layers"),
    (with_relu(with_axes(2)), "unchanged"),
    (carry_back_one, "inside the loop"),
    (lambda n, i, s, rule: carry_back(n[1:], n[0](i), s, rule), "leaves out the first"),
    (lambda n, i, s, rule: carry_back(n[:-1], i, s, rule), "leaves out the last"),
    (lambda *given: carry_back(*given, linear=lambda s, w: s @ w.T), "are transposed"),
    (carry_back_of_rest, "A bias takes part"),
    (carry_back_of_outputs, "each with the *input* that it had"),
    (carry_back_forward, "in reverse order"),
    (lambda *given: carry_back(*given).sum(1, keepdim=True), "of shape (2, 2, 8, 11)"),
    (with_relu(lambda x, s, rule: relu_by_masks(s, x, rule)), "are exchanged at the ReLUs"),
    (lambda n, i, s, rule: carry_back(n, i, torch.ones_like(s), rule), "starts from ones"),
    (lambda n, i, s, rule: carry_back(n, i, n(i), rule), "what the layers put out"),
    (
        lambda *given: carry_back(
            *given, convolution=lambda s, k: conv_by_transpose(s, k.flip(2, 3))
        ),
        "The kernels lie the wrong way round",
    ),
    (
        lambda *given: carry_back(*given, pooling=lambda s, w, size: F.interpolate(s, size)),
        "to all pixels of a window",
    ),
    (lambda *given: carry_back(*given).abs(), "The magnitude is taken"),
    (lambda n, i, s, rule: i * carry_back(n, i, s, rule), "multiplied with the images"),
    (lambda *given: carry_back(*given).relu(), "negative values are cut"),
    (lambda n, i, s, rule: carry_back(n, i[:1].expand_as(i).clone(), s, rule), "of the first one"),
    (lambda *given: carry_back(*given, stride=None), "`layer.stride` on"),
    (lambda *given: carry_back(*given, kernel_size=2), "`layer.kernel_size` *and*"),
    (carry_back_with_hooks_left, "It leaves hooks"),
]
WRONG = {
    checks.check_filter_signal: FILTERS,
    checks.check_relu_backward: RELU,
    checks.check_rules_agree: AGREEMENT,
    checks.check_convolution_backward: CONVOLUTION,
    checks.check_unpool: POOLING,
    checks.check_carry_back: WAYS,
}
(
    test_right_answers_pass_in_whatever_way_they_are_written,
    test_each_usual_mistake_gets_its_hint,
    test_no_hint_is_left_without_a_wrong_answer,
    test_no_mistake_gives_the_right_result,
) = usual_tests(checks, RIGHT, WRONG)


def test_the_slow_ways_are_what_automatic_differentiation_gives():
    signal = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    kernel = torch.rand(3, 2, 2, 3, generator=torch.Generator().manual_seed(1)).double()
    back = checks._convolution_backward(signal, kernel)
    assert torch.allclose(back, conv_by_autograd(signal, kernel))

    pooled_signal, switches, size = checks._pooled(7, 5, 3, 2, seed=3)
    assert len(switches[0, 0].unique()) < switches[0, 0].numel()  # windows share a switch
    back = checks._unpool(pooled_signal, switches, size)
    assert torch.equal(back, unpool_by_scatter(pooled_signal, switches, size))

    images = checks.drawn_image(2, 2, 8, 9, seed=5)
    layers = checks._small_layers(nn.MaxPool2d(2), images, 6, 5)
    one_hot = F.one_hot(torch.tensor([4, 1]), 5).double()
    for rule in deconvnet.RULES:
        expected = deconvnet.pseudo_gradient(layers, images, [4, 1], rule=rule)
        assert torch.allclose(checks._carry_back(layers, images, one_hot, rule), expected)


def test_each_rule_earns_a_point():
    assert checks.check_relu_backward(always("gradient")).points == 1
    assert checks.check_relu_backward(wrong_for("guided", always("gradient"))).points == 2
    assert checks.check_relu_backward(relu_by_masks).points == 3


def test_the_rules_agree_in_six_of_the_nine_cases():
    (x, signal), _ = checks._table()
    assert checks._agreement(x, signal).tolist() == [
        [True, True, False],
        [True, True, False],
        [False, True, True],
    ]
