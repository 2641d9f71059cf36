"""The DeconvNet and the gradient (paper §4): one backward pass, three rules for ReLU.

Both carry a signal back through convolution and max-pooling in the same way, as long as
signals that meet at a switch are added. They differ at a ReLU, with input x and the signal r
coming back: the gradient passes ``r * 1(x > 0)``, the DeconvNet (Zeiler and Fergus, 2013)
``r * 1(r > 0)``, guided back-propagation (Springenberg et al., 2014)
``r * 1(x > 0) * 1(r > 0)``. The gradient exists for every layer that has a derivative; the
other two rules are about ReLU alone.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node, get_gradient_edge

from deepinside.arguments import number, shown
from deepinside.class_score import Target, check_images, class_score
from deepinside.networks import Network, copy_sharing_weights, in_evaluation_mode
from deepinside.networks.scores import gradient_by
from deepinside.stages import have_proportions, layouts

# what a ReLU passes on of the signal r, where x_open is 1(x > 0) and r_open is 1(r > 0)
_PASSED_ON: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "gradient": lambda r, x_open, r_open: r * x_open,
    "deconvnet": lambda r, x_open, r_open: r * r_open,
    "guided": lambda r, x_open, r_open: r * x_open * r_open,
}
RULES = tuple(_PASSED_ON)

Position = tuple[int, int] | Sequence[tuple[int, int]] | str | None

# how autograd names what is linear for a given image: a signal passes it under every rule alike
_LINEAR = re.compile(
    "(Add|Sub|Rsub|Neg|Sum|Mean|Clone|ToCopy|Copy|Alias|View|UnsafeView|ReshapeAlias|Permute|T"
    "|Transpose|Expand|Repeat|Squeeze|Unsqueeze|Slice|Select|Split|SplitWithSizes|Unbind|Stack|Cat"
    "|Flip|Roll|Gather|IndexSelect|ConstantPadNd|ReflectionPad2D|ReplicationPad2D|PixelShuffle"
    "|PixelUnshuffle|Im2Col|Col2Im|AsStrided|Upsample(Nearest|Bilinear|Bicubic)2D|AvgPool2D"
    "|(Mkldnn)?AdaptiveAvgPool2D|MaxPool2DWithIndices|AdaptiveMaxPool2D|Amax|Max"
    r"|(Native|Cudnn|Miopen)BatchNorm)Backwards?\d*"
)
# ... and what is linear in each of its two factors
_PRODUCT = re.compile(
    r"(Mul|Div|Mm|Mv|Bmm|Addmm|Baddbmm|Linear|(Mkldnn|Cudnn|Miopen)?Convolution)Backward\d*"
)
# ... and a ReLU that is a call and no module
_RELU_CALL = re.compile(
    "(Relu|Hardtanh|Clamp|ClampMin|ClampMax|LeakyRelu|PreluKernel|RreluWithNoise|Threshold"
    r"|Maximum|Where)Backward\d*"
)


def pseudo_gradient(
    network: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    rule: str,
    layer: str | None = None,
) -> Tensor:
    """Return the class score's signal, carried back to the image or to a layer, as activation.

    With the rule "gradient" this is dS_c/dI, or the derivative with respect to the layer's
    output. Paper §4, chapter *Gradient and DeconvNet*.

    Parameters
    ----------
    network, images, target
        As for `deepinside.class_score.class_score`.
    rule : str
        What each ReLU does with the signal: "gradient", "deconvnet" or "guided".
    layer : str, optional
        A name of ``network.named_modules()``: stop at this layer's output.

    Raises
    ------
    ValueError
        As `class_score`; if rule or layer is unknown; or, unless the rule is "gradient", if
        the signal passes what is neither known to be linear nor a ReLU that is a module.

    Notes
    -----
    Where max-pooling windows overlap, a pixel can be the maximum of several. By every rule here
    it gets the sum of their signals. Un-pooling by `torch.nn.functional.max_unpool2d` keeps one
    of them, and PyTorch does not document which; `deepinside.backward_network` does so on
    request. Nor is it documented which of several equal values in a window is the maximum.
    """
    _check(network, images, rule, layer)
    network, outputs = _with_rule(network, rule, layer)
    with torch.inference_mode(False), torch.enable_grad():
        images = images.detach().clone().requires_grad_()
        score = class_score(network, images, target).sum()
        goal = images if layer is None else _only(outputs, layer)
        _check_way(network, score, goal, rule)
        return gradient_by(score, goal)


def reconstruction(
    network: nn.Module,
    images: Tensor,
    layer: str,
    *,
    rule: str = "deconvnet",
    channel: int | Sequence[int] | None = None,
    position: Position = None,
) -> Tensor:
    """Return the image rebuilt from a layer's output, as the images, (N, C, H, W).

    Full from all activations of the layer, partial from one filter's channel or one neuron:
    all others are set to 0. Max-poolings are carried back as by `pseudo_gradient`. Paper §4,
    chapter *Gradient and DeconvNet*.

    Parameters
    ----------
    channel : int or sequence of int, optional
        The filter, one for all images or one each. Where channels come last, as in Swin, it
        is read as such.
    position : (row, column), sequence of them, or "strongest", optional
        The neuron within `channel`, one for all or one each; "strongest" takes each
        image's largest activation of the channel.

    Raises
    ------
    ValueError
        As `pseudo_gradient`; if the layer has no such channel or position; or, of a
        `deepinside.networks.Network`, if it is not known which axis has the channels.
    """
    if layer is None:
        raise ValueError("expected the name of a layer, got None")
    _check(network, images, rule, layer)
    if position is not None and channel is None:
        raise ValueError(f"expected a channel for the position, got only position={position!r}")
    channels = None if channel is None else _channels(channel, len(images), layer)
    places = position if isinstance(position, str | None) else _places(position, len(images))
    if isinstance(places, str) and places != "strongest":
        raise ValueError(f"expected a (row, column) or 'strongest', got {places!r}")
    ruled, outputs = _with_rule(network, rule, layer)
    with torch.inference_mode(False), torch.enable_grad():
        images = images.detach().clone().requires_grad_()
        ruled(images)
        output = _only(outputs, layer)
        signal = output.detach()
        if channels is not None:
            axis = _channel_axis(network, layer, signal.shape, images.shape[2:])
            first = signal.movedim(axis, 1)
            signal = (first * _chosen(first, layer, channels, places)).movedim(1, axis)
        _check_way(ruled, output, images, rule)
        return gradient_by(output * signal, images)


def relu_backward(
    x: Tensor, signal: Tensor, rule: str, *, slope: float | Tensor = 0.0, upper: float | None = None
) -> Tensor:
    """Return what a ReLU with input x passes on of the signal that comes back, as `signal`.

    The gradient is ``r * f(x)``, DeconvNet ``r * f(r)``, guided ``r * f(x) * f(r)``, where
    ``f(v) = 1 where v > 0, else slope``. ReLU has slope 0.

    Parameters
    ----------
    slope : float or Tensor
        That of a leaky ReLU. Neither Zeiler and Fergus nor Springenberg et al. have such a
        layer; this rule becomes theirs at slope 0, and leaves a linear layer alone at slope 1.
    upper : float, optional
        Where the activation saturates, 6 for ReLU6: the gradient and guided pass nothing at
        or above it. The DeconvNet has no rule for saturation, so its signal passes there.

    Raises
    ------
    ValueError
        If x and signal are no tensors of finite floats of one shape, or an option is wrong.
    """
    _check_rule(rule)
    for values in (x, signal, *([slope] if isinstance(slope, Tensor) else [])):
        if not isinstance(values, Tensor) or values.is_meta or not values.is_floating_point():
            raise ValueError(f"expected a tensor of floats, got {shown(values)}")
        if not values.isfinite().all():
            raise ValueError("expected finite values, got some that are NaN or infinite")
    if x.shape != signal.shape or x.dtype != signal.dtype:
        raise ValueError(f"expected a signal like x, {shown(x)}, got {shown(signal)}")
    if isinstance(slope, Tensor):
        try:
            slope.expand_as(x)
        except RuntimeError:
            raise ValueError(
                f"expected a slope that broadcasts to x, {shown(x)}, got {shown(slope)}"
            ) from None
    else:
        slope = number(slope, "a slope", -math.inf)
    if upper is not None:
        upper = number(upper, "an upper limit", 0, above=True)
    return passed_on(x, signal, rule, slope, upper)


def passed_on(
    x: Tensor, signal: Tensor, rule: str, slope: float | Tensor, upper: float | None
) -> Tensor:
    """Return what `relu_backward` does, within a pass whose arguments were checked before."""
    x_open = _open(x, slope)
    if upper is not None:
        x_open = x_open * (x < upper)
    return _PASSED_ON[rule](signal, x_open, _open(signal, slope))


def relu_shape(module: nn.Module) -> tuple[float | Tensor, float | None] | None:
    """Return the slope below 0 and where a module saturates, or None if it is no kind of ReLU."""
    if isinstance(module, nn.ReLU):
        return 0.0, None
    if isinstance(module, nn.ReLU6):
        return 0.0, 6.0
    if isinstance(module, nn.LeakyReLU):
        return module.negative_slope, None
    if isinstance(module, nn.RReLU):
        return (module.lower + module.upper) / 2, None
    if isinstance(module, nn.PReLU):
        return module.weight.detach(), None
    return None


class _RuledReLU(torch.autograd.Function):
    """The activation's own forward pass, with another rule for the way back."""

    has_rule = True

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        activation: Callable[[Tensor], Tensor],
        rule: str,
        slope: float | Tensor,
        upper: float | None,
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.rule, ctx.slope, ctx.upper = rule, slope, upper
        # a copy, as the activation may be an in-place one
        return activation(x.clone())

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (x,) = ctx.saved_tensors
        slope = ctx.slope
        if isinstance(slope, Tensor) and slope.numel() > 1:
            slope = slope.view(-1, *[1] * (x.ndim - 2))
        passed = passed_on(x, signal, ctx.rule, slope, ctx.upper)
        return passed, None, None, None, None


def _open(values: Tensor, slope: float | Tensor) -> Tensor:
    """Return 1 where values are above 0, else the slope."""
    if not isinstance(slope, Tensor):
        if slope == 0:
            return values > 0
        # in the values' own type: of two numbers torch makes a tensor of the default one
        slope = values.new_full((), slope)
    return torch.where(values > 0, 1.0, slope)


def _with_rule(network: nn.Module, rule: str, layer: str | None) -> tuple[nn.Module, list[Tensor]]:
    """Return a copy whose ReLUs have the rule, and the list that gets the layer's outputs."""
    outputs: list[Tensor] = []
    if rule == "gradient" and layer is None:
        return in_evaluation_mode(network), outputs
    network = copy_sharing_weights(network)

    def note(module: nn.Module, given: tuple, output: Tensor) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim not in (2, 4):
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                f"expected a layer that puts out (N, C, H, W) or (N, units), {layer!r} puts out "
                f"{got}"
            )
        outputs.append(output)
        # what follows may work in place, and shall do so on a copy
        return output.clone()

    if layer is not None:
        network.get_submodule(layer).register_forward_hook(note)
    for module in network.modules() if rule != "gradient" else ():
        shape = relu_shape(module)
        if shape is not None:
            module.forward = _ruled(module.forward, rule, *shape)
    return network, outputs


def _ruled(
    activation: Callable[[Tensor], Tensor], rule: str, slope: float | Tensor, upper: float | None
) -> Callable[[Tensor], Tensor]:
    return lambda x: _RuledReLU.apply(x, activation, rule, slope, upper)


def _check(network: nn.Module, images: Tensor, rule: str, layer: str | None) -> None:
    _check_rule(rule)
    check_images(network, images)
    names = [name for name, _ in network.named_modules() if name]
    if layer is not None and not (isinstance(layer, str) and layer in names):
        raise ValueError(f"expected the name of a layer, such as {names[:3]}, got {layer!r}")


def _check_rule(rule: str) -> None:
    if not isinstance(rule, str) or rule not in RULES:
        raise ValueError(f"expected a rule of {', '.join(RULES)}, got {shown(rule)}")


def _only(outputs: list[Tensor], layer: str) -> Tensor:
    if len(outputs) != 1:
        raise ValueError(
            f"expected a layer that is called once for each image, {layer!r} was called "
            f"{len(outputs)} times"
        )
    return outputs[0]


def _check_way(network: nn.Module, start: Tensor, goal: Tensor, rule: str) -> None:
    """Raise if the way from `start` back to `goal` passes what the rule does not cover.

    What is known to be linear is admitted; all else is refused, as a rule that is not applied
    gives the plain gradient without a word.
    """
    if not goal.requires_grad:
        raise ValueError(
            f"expected a layer with a gradient, got an output of {shown(goal)} that is computed "
            "without one"
        )
    if rule == "gradient":
        return
    steps = _steps_between(start, goal)
    if not steps:
        raise ValueError(f"expected what depends on the image, got a constant {tuple(start.shape)}")
    own = {
        values.untyped_storage().data_ptr()
        for values in (*network.parameters(), *network.buffers())
    }
    refused = set()
    for step, inputs in steps.items():
        name = step.name()
        if _RELU_CALL.fullmatch(name):
            raise ValueError(
                f"expected every ReLU to be a module that the rule {rule!r} can reach, got one "
                f"that is a call ({name}): use nn.ReLU in place of F.relu, or the rule 'gradient'"
            )
        if not (
            getattr(getattr(type(step), "_forward_cls", None), "has_rule", False)
            or (_LINEAR.fullmatch(name) and not getattr(step, "_saved_training", False))
            or (_PRODUCT.fullmatch(name) and _is_by_a_constant(step, inputs, own))
        ):
            refused.add(name)
    if refused:
        raise ValueError(
            f"expected no activations but kinds of ReLU, and else linear layers, for the rule "
            f"{rule!r}, which has no meaning elsewhere; got {min(refused)}: the rule 'gradient' "
            "works for all"
        )


def _steps_between(start: Tensor, goal: Tensor) -> dict[Node, list[int]]:
    """Return each operation after `goal` up to `start`, and which of its inputs depend on it."""
    end = get_gradient_edge(goal).node
    read_by: dict[Node, list[tuple[Node, int]]] = {}
    waiting = [start.grad_fn] if start.grad_fn is not None else []
    seen = {end, *waiting}
    while waiting:
        step = waiting.pop()
        for place, (source, _) in enumerate(step.next_functions):
            if source is None:
                continue
            read_by.setdefault(source, []).append((step, place))
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    steps: dict[Node, list[int]] = {}
    waiting = [end]
    while waiting:
        for step, place in read_by.get(waiting.pop(), ()):
            if step not in steps:
                waiting.append(step)
            steps.setdefault(step, []).append(place)
    return steps


def _is_by_a_constant(step: Node, inputs: list[int], own: set[int]) -> bool:
    """Return whether only one factor depends on the image; a mask made from it does, too."""
    if len(inputs) > 1:
        return False
    if not step.name().startswith(("Mul", "Div")):
        return True
    factor: Tensor = getattr(step, "_saved_self" if inputs == [1] else "_saved_other")
    return _is_number(factor) or factor.untyped_storage().data_ptr() in own


def _is_number(factor: Tensor) -> bool:
    """Return whether autograd keeps a number of Python here, which promotes no other's type."""
    narrow = torch.float16 if factor.is_floating_point() else torch.int8
    promoted = torch.result_type(torch.zeros((), dtype=narrow), factor)
    return factor.ndim == 0 and factor.dtype != torch.bool and promoted == narrow


def _channel_axis(network: nn.Module, layer: str, shape: Sequence[int], size: Sequence[int]) -> int:
    """Return 1, or -1 if the axes with the images' proportions, (height, width), come before it."""
    if len(shape) == 2:
        return 1
    first, last = have_proportions(shape[2:], size), have_proportions(shape[1:3], size)
    if isinstance(network, Network) and (last or not first):
        return layouts(network, [layer])[layer].channels
    return -1 if last and not first else 1


def _chosen(output: Tensor, layer: str, channels: Tensor, places: Tensor | str | None) -> Tensor:
    """Return 1 where the signal starts, else 0, as `output`, (N, C, H, W) or (N, units)."""
    chosen, images = output.new_zeros(output.shape), range(len(output))
    _check_within(channels, output.shape[1:2], f"a channel of {layer!r}")
    if places is None:
        chosen[images, channels] = 1
        return chosen
    if output.ndim != 4:
        got = places if isinstance(places, str) else places.tolist()
        raise ValueError(f"expected no position in {layer!r}, which has no rows; got {got}")
    if isinstance(places, str):
        best = output[images, channels].flatten(1).argmax(1)
        chosen.flatten(2)[images, channels, best] = 1
        return chosen
    _check_within(places, output.shape[2:], f"a (row, column) of {layer!r}")
    chosen[images, channels, places[:, 0], places[:, 1]] = 1
    return chosen


def _channels(channel: int | Sequence[int], count: int, layer: str) -> Tensor:
    """Return a channel for each of `count` images, (count,)."""
    found = _whole(channel)
    if found is None or found.shape not in ((), (1,), (count,)):
        raise ValueError(
            f"expected one channel of {layer!r} or {count}, one for each image; got "
            f"{shown(channel)}"
        )
    return found.expand(count)


def _places(position: Position, count: int) -> Tensor:
    """Return a (row, column) for each of `count` images, (count, 2)."""
    found = _whole(position)
    if found is None or found.shape not in ((2,), (1, 2), (count, 2)):
        raise ValueError(
            f"expected one (row, column) or {count}, one for each image; got {shown(position)}"
        )
    return found.expand(count, 2)


def _whole(given: object) -> Tensor | None:
    """Return whole numbers as a tensor, or None where there are others."""
    # a tensor of True and 1 would have the True as 1
    if isinstance(given, Sequence) and any(isinstance(each, bool) for each in given):
        return None
    try:
        found = torch.as_tensor(given, device="cpu")
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None
    is_whole = not (found.is_floating_point() or found.is_complex() or found.dtype == torch.bool)
    return found.long() if is_whole else None


def _check_within(indices: Tensor, size: Sequence[int], what: str) -> None:
    outside = (indices < 0) | (indices >= torch.tensor(size, device="cpu"))
    if outside.any():
        limits = " and ".join(map(str, size))
        raise ValueError(f"expected {what} from 0 to below {limits}, got {indices.tolist()}")
