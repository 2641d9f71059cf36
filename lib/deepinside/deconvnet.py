"""The DeconvNet and the gradient (paper §4): one backward pass, three rules for ReLU.

Convolution and max-pooling are carried back alike by both. Only at a ReLU, with input x and
the signal r coming back, do they differ: the gradient passes ``r * 1(x > 0)``, the DeconvNet
(Zeiler and Fergus, 2013) ``r * 1(r > 0)``, guided back-propagation (Springenberg et al.,
2014) ``r * 1(x > 0) * 1(r > 0)``. The gradient exists for every layer; the other two are
rules for ReLU, and no more.
"""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from deepinside.class_score import Target, check_images, class_score
from deepinside.inference.preparation import evaluation_mode

RULES = ("gradient", "deconvnet", "guided")

Position = tuple[int, int] | Sequence[tuple[int, int]] | str | None

# how autograd names the backward of a ReLU that is a call and no module ...
_UNREACHED = re.compile(
    "(relu|hardtanh|clamp|clampmin|clampmax|leakyrelu|prelukernel|rreluwithnoise|threshold"
    "|maximum|where)backward.*"
)
# ... and of what has no DeconvNet rule at all
_WITHOUT_RULE = re.compile(
    "(gelu|silu|mish|elu|celu|glu|hardswish|hardsigmoid|sigmoid|logsigmoid|tanh|softplus"
    "|softshrink|hardshrink|softmax|logsoftmax|erf|exp|abs|scaleddotproduct.*)backward.*"
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
        the signal passes an activation that has no such rule, or a ReLU that is no module.
    """
    _check(network, images, rule, layer)
    with _recording(network, rule, layer) as (record, outputs):
        images = record(images)
        score = class_score(network, images, target).sum()
        goal = images if layer is None else _only(outputs, layer)
        _check_path(score, goal, rule)
        return torch.autograd.grad(score, goal)[0]


def reconstruction(
    network: nn.Module,
    images: Tensor,
    layer: str,
    *,
    rule: str = "deconvnet",
    channel: int | Sequence[int] | None = None,
    position: Position = None,
    start: str = "activations",
) -> Tensor:
    """Return the image rebuilt from a layer's output, as the images, (N, C, H, W).

    Full from all of the layer, partial from one filter's channel or one neuron: what
    is left out starts as 0. Paper §4, chapter *Gradient and DeconvNet*.

    Parameters
    ----------
    channel : int or sequence of int, optional
        The filter, one for all images or one each.
    position : (row, column), sequence of them, or "strongest", optional
        The neuron within `channel`, one for all or one each; "strongest" takes each
        image's largest activation of the channel.
    start : str
        "activations" starts from what the layer put out; "ones" from 1, which for one neuron
        and the rule "gradient" gives its derivative.

    Raises
    ------
    ValueError
        As `pseudo_gradient`; or if the layer has no such channel or position.
    """
    _check(network, images, rule, layer)
    if start not in ("activations", "ones"):
        raise ValueError(f"expected a start of 'activations' or 'ones', got {start!r}")
    if position is not None and channel is None:
        raise ValueError(f"expected a channel for the position, got only position={position!r}")
    with _recording(network, rule, layer) as (record, outputs):
        images = record(images)
        with evaluation_mode(network):
            network(images)
        output = _only(outputs, layer)
        chosen = _chosen(output.detach(), layer, channel, position)
        signal = chosen if start == "ones" else chosen * output.detach()
        _check_path(output, images, rule)
        return torch.autograd.grad(output, images, signal)[0]


def relu_backward(
    x: Tensor, signal: Tensor, rule: str, *, slope: float | Tensor = 0.0, upper: float | None = None
) -> Tensor:
    """Return what a ReLU with input x passes on of the signal that comes back, as `signal`.

    Written once with the factor ``f(v) = 1 where v > 0, else slope``: the gradient is
    ``r * f(x)``, DeconvNet ``r * f(r)``, guided ``r * f(x) * f(r)``. ReLU has slope 0.

    Parameters
    ----------
    slope : float or Tensor
        That of a leaky ReLU. Neither Zeiler and Fergus nor Springenberg et al. have such a
        layer; this rule becomes theirs at slope 0, and leaves a linear layer alone at slope 1.
    upper : float, optional
        Where the activation saturates, 6 for ReLU6: the gradient and guided pass nothing at
        or above it. The signal is measured in other units than x, so it is not clipped there.
    """
    _check_rule(rule)
    factors = []
    if rule != "gradient":
        factors.append(_factor(signal, slope))
    if rule != "deconvnet":
        factors.append(_factor(x, slope))
        if upper is not None:
            factors.append(x < upper)
    return signal * reduce(operator.mul, factors)


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

    @staticmethod
    def forward(
        ctx: FunctionCtx,
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
    def backward(ctx: FunctionCtx, signal: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        slope = ctx.slope
        if isinstance(slope, Tensor) and slope.numel() > 1:
            slope = slope.view(-1, *[1] * (x.ndim - 2))
        passed = relu_backward(x, signal, ctx.rule, slope=slope, upper=ctx.upper)
        return passed, None, None, None, None


def _factor(values: Tensor, slope: float | Tensor) -> Tensor:
    positive = values > 0
    is_plain = isinstance(slope, float) and slope == 0
    return positive if is_plain else torch.where(positive, 1.0, slope)


@contextmanager
def _recording(
    network: nn.Module, rule: str, layer: str | None
) -> Iterator[tuple[Callable[[Tensor], Tensor], list[Tensor]]]:
    """Give each ReLU the rule and note the layer's outputs; leave all as it was afterwards."""
    outputs: list[Tensor] = []

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

    hook, replaced = None, []
    try:
        if layer is not None:
            hook = network.get_submodule(layer).register_forward_hook(note)
        if rule != "gradient":
            for module in network.modules():
                if relu_shape(module) is not None:
                    replaced.append((module, module.__dict__.get("forward")))
                    module.forward = _ruled(module, rule)
        with torch.inference_mode(False), torch.enable_grad():
            yield lambda images: images.detach().clone().requires_grad_(), outputs
    finally:
        if hook is not None:
            hook.remove()
        for module, own in reversed(replaced):
            if own is None:
                del module.forward
            else:
                module.forward = own


def _ruled(module: nn.Module, rule: str) -> Callable[[Tensor], Tensor]:
    activation, (slope, upper) = module.forward, relu_shape(module)
    return lambda x: _RuledReLU.apply(x, activation, rule, slope, upper)


def _check(network: nn.Module, images: Tensor, rule: str, layer: str | None) -> None:
    _check_rule(rule)
    check_images(network, images)
    names = [name for name, _ in network.named_modules() if name]
    if layer is not None and layer not in names:
        raise ValueError(f"expected the name of a layer, such as {names[:3]}, got {layer!r}")


def _check_rule(rule: str) -> None:
    if rule not in RULES:
        raise ValueError(f"expected a rule of {', '.join(RULES)}, got {rule!r}")


def _only(outputs: list[Tensor], layer: str) -> Tensor:
    if len(outputs) != 1:
        raise ValueError(
            f"expected a layer that is called once for each image, {layer!r} was called "
            f"{len(outputs)} times"
        )
    return outputs[0]


def _check_path(start: Tensor, goal: Tensor, rule: str) -> None:
    """Raise if the way from `start` back to `goal` passes what the rule does not cover."""
    if rule == "gradient":
        return
    seen, waiting = {goal.grad_fn}, [start.grad_fn]
    while waiting:
        step = waiting.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        waiting += [before for before, _ in step.next_functions]
        if _UNREACHED.fullmatch(step.name().lower()):
            raise ValueError(
                f"expected every ReLU to be a module that the rule {rule!r} can reach, got one "
                f"that is a call ({step.name()}): use nn.ReLU in place of F.relu, or the rule "
                "'gradient'"
            )
        if _WITHOUT_RULE.fullmatch(step.name().lower()):
            raise ValueError(
                f"expected no activations but kinds of ReLU for the rule {rule!r}, which has no "
                f"meaning elsewhere; got {step.name()}: the rule 'gradient' works for all"
            )


def _chosen(
    output: Tensor, layer: str, channel: int | Sequence[int] | None, position: Position
) -> Tensor:
    """Return 1 where the signal starts, else 0, as `output`."""
    if channel is None:
        return torch.ones_like(output)
    count, channels = output.shape[:2]
    each = _one_each(channel, count, "channel")
    if not all(isinstance(one, int) and 0 <= one < channels for one in each):
        raise ValueError(f"expected a channel of {layer!r} from 0 to {channels - 1}, got {channel}")
    chosen, images = torch.zeros_like(output), range(count)
    if position is None:
        chosen[images, each] = 1
        return chosen
    if output.ndim != 4:
        raise ValueError(f"expected no position in {layer!r}, which has no rows; got {position}")
    height, width = output.shape[2:]
    if isinstance(position, str):
        if position != "strongest":
            raise ValueError(f"expected a (row, column) or 'strongest', got {position!r}")
        best = output[images, each].flatten(1).argmax(1)
        rows, columns = best // width, best % width
    else:
        rows, columns = (_one_each(one, count, "position") for one in _split(position))
        for row, column in zip(rows, columns, strict=True):
            if not (0 <= row < height and 0 <= column < width):
                raise ValueError(
                    f"expected a position within the {height} rows and {width} columns of "
                    f"{layer!r}, got ({row}, {column})"
                )
    chosen[images, each, rows, columns] = 1
    return chosen


def _split(position: Sequence) -> tuple[int, int] | tuple[list[int], list[int]]:
    """Return the row and the column, or those of each image."""
    try:
        values = torch.as_tensor(position)
        if values.is_floating_point() or values.shape[-1] != 2 or values.ndim > 2:
            raise TypeError
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"expected a (row, column), or one an image; got {position!r}") from error
    return tuple(values.movedim(-1, 0).tolist())


def _one_each(given: int | Sequence[int], count: int, what: str) -> list[int]:
    if isinstance(given, int):
        return [given] * count
    if len(given) != count:
        raise ValueError(f"expected one {what} or {count}, one for each image; got {len(given)}")
    return torch.as_tensor(given).tolist()
