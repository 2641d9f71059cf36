"""The backward pass as a network of its own (paper §4), without autograd.

The class score's way back to the image is a second network. Its layers are those of the
first in reverse order: a convolution's is `conv_transpose2d` with the same kernel, a fully
connected layer's its transposed matrix, a ReLU's a mask, a max-pooling's the switches, a
sum's a copy for each term. Only the masks and switches depend on the image; given these, it
is linear. With the masks of another rule the same network is the DeconvNet.
"""

import copy
import operator
import warnings
from collections import Counter, OrderedDict
from collections.abc import Sequence
from os import PathLike
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from deepinside.class_score import check_images
from deepinside.deconvnet import RULES, relu_backward, relu_shape
from deepinside.inference.packed import PackedConv2d
from deepinside.inference.preparation import evaluation_mode
from deepinside.networks import Network, Normalization

UNPOOLING = ("add", "overwrite")


class BackwardNetwork(nn.Module):
    """The network and its way back: images and classes to class scores and their gradient.

    Made by `backward_network`. Each layer has a `carry_back` beside its `forward`; those of
    ReLU have a `rule`, those of max-pooling an `unpooling`, both to be set at will.

    Attributes
    ----------
    names : tuple of str
        The layers' names, first to last, as the network's own modules are called;
        ``backward_network(...)[name]`` is that layer.
    """

    def __init__(
        self, steps: Sequence["_Step"], *, image_shape: tuple[int, int, int] | None = None
    ) -> None:
        super().__init__()
        self._image_shape = image_shape
        self.names = tuple(step.name for step in steps)
        self.layers = nn.ModuleList(step.layer for step in steps)
        self._sources = tuple(step.sources for step in steps)
        last = {name: i for i, sources in enumerate(self._sources) for name in sources}
        self._last_read = [[name for name in last if last[name] == i] for i in range(len(steps))]

    def __getitem__(self, name: str) -> nn.Module:
        if name not in self.names:
            raise ValueError(f"expected a layer's name, such as {self.names[:3]}, got {name!r}")
        return self.layers[self.names.index(name)]

    def use(self, *, rule: str | None = None, unpooling: str | None = None) -> "BackwardNetwork":
        """Return the network itself, with the rule in each ReLU and max-pooling.

        Parameters
        ----------
        rule : str, optional
            "gradient", "deconvnet" or "guided".
        unpooling : str, optional
            "add" for the gradient; "overwrite" for un-pooling as Zeiler and Fergus do it,
            which differs where windows overlap.
        """
        if rule not in (None, *RULES):
            raise ValueError(f"expected a rule of {', '.join(RULES)}, got {rule!r}")
        if unpooling not in (None, *UNPOOLING):
            raise ValueError(f"expected unpooling of {', '.join(UNPOOLING)}, got {unpooling!r}")
        for layer in self.layers:
            if rule and isinstance(layer, ReLULayer):
                layer.rule = rule
            if unpooling and isinstance(layer, MaxPoolLayer):
                layer.unpooling = unpooling
        return self

    def forward(self, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class scores, (N, classes), and dS_c/dI, as the images.

        Parameters
        ----------
        images : Tensor
            (N, C, H, W), RGB in [0, 1].
        classes : Tensor
            (N,) or (1,), int64: the class c of each image.

        Raises
        ------
        ValueError
            If images or classes are not such.
        """
        scores, kept, signal = self._scores_and_start(images, classes)
        return scores, self.carry_back(signal, kept)["input"]

    def signals(self, images: Tensor, classes: Tensor) -> dict[str, Tensor]:
        """Return the signal at each layer's output, last layer first, and at the "input".

        Parameters and errors as for `forward`.
        """
        _, kept, signal = self._scores_and_start(images, classes)
        return self.carry_back(signal, kept, keep_all=True)

    @torch.no_grad()
    def scores_and_kept(self, images: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the class scores, and by its name what each layer keeps for the way back.

        A ReLU keeps its values, a max-pooling its switches; others at most a size.
        """
        values, kept = {"input": images}, {}
        with evaluation_mode(self):
            for i, (name, layer) in enumerate(zip(self.names, self.layers, strict=True)):
                values[name], kept[name] = layer(*[values[one] for one in self._sources[i]])
                for read_for_the_last_time in self._last_read[i]:
                    del values[read_for_the_last_time]
        return values[self.names[-1]], kept

    @torch.no_grad()
    def carry_back(
        self, signal: Tensor, kept: dict[str, Any], *, keep_all: bool = False
    ) -> dict[str, Tensor]:
        """Return the signal at the "input", or by name at every layer's output as well.

        This is the second network: linear in `signal`, (N, classes), which starts at the
        class scores, as long as the rules are those of the gradient.
        """
        signals = {self.names[-1]: signal}
        for i in reversed(range(len(self.names))):
            name = self.names[i]
            signal = signals[name] if keep_all else signals.pop(name)
            signal = self.layers[i].carry_back(signal, kept[name])
            for source in self._sources[i]:
                # what several layers read gets the sum of their signals
                signals[source] = signals[source] + signal if source in signals else signal
        return signals

    def _scores_and_start(self, images: Tensor, classes: Tensor) -> tuple[Tensor, dict, Tensor]:
        check_images(self, images)
        if self._image_shape is not None and images.shape[1:] != self._image_shape:
            raise ValueError(
                f"expected images of shape (N, {', '.join(map(str, self._image_shape))}), "
                f"got {tuple(images.shape)}"
            )
        if not isinstance(classes, Tensor) or classes.dtype != torch.int64:
            raise ValueError(f"expected classes as a tensor of int64, got {classes!r}")
        if classes.shape not in ((1,), (len(images),)):
            raise ValueError(
                f"expected classes of shape ({len(images)},), got {tuple(classes.shape)}"
            )
        scores, kept = self.scores_and_kept(images)
        outside = classes[(classes < 0) | (classes >= scores.shape[1])].tolist()
        if outside:
            raise ValueError(f"expected classes from 0 to {scores.shape[1] - 1}, got {outside}")
        return scores, kept, _one_at(classes, scores)


def export_onnx(network: BackwardNetwork, path: str | PathLike, *, images: Tensor) -> None:
    """Write both passes as one ONNX graph: "image" and "class" in, "scores" and "gradient" out.

    The rules are those that the layers have at the time. The batch may be of any size.
    Kernels are stored once, for both directions.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W): its C, H and W are those that the graph takes.

    Raises
    ------
    ImportError
        If the packages for it are not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "exporting needs the packages onnx and onnxscript: pip install 'deepinside[onnx]'"
        ) from error
    batch = torch.export.Dim("batch", min=1)
    # two images: with one, the exporter would take the batch for a constant
    example = (
        images[:1].detach().repeat(2, 1, 1, 1),
        torch.zeros(2, dtype=torch.int64, device=images.device),
    )
    both_ways = _Unchecked(network)
    with warnings.catch_warnings(), evaluation_mode(both_ways):
        warnings.simplefilter("ignore")  # the exporter's own, about names of dimensions
        program = torch.onnx.export(
            both_ways,
            example,
            dynamo=True,
            opset_version=18,
            input_names=["image", "class"],
            output_names=["scores", "gradient"],
            dynamic_shapes=({0: batch}, {0: batch}),
            verbose=False,
        )
    program.save(path, include_initializers=True, external_data=False)


def backward_network(
    network: nn.Module, *, rule: str = "gradient", unpooling: str = "add"
) -> BackwardNetwork:
    """Return the network together with its way back, built layer by layer without autograd.

    The layers are shared with `network`, not copied. Paper §4, chapter *Gradient and
    DeconvNet*.

    Parameters
    ----------
    network : nn.Module
        Of convolution, batch norm, kinds of ReLU, max- and average pooling, fully connected
        layers, flattening, dropout and sums; otherwise of any shape.
    rule, unpooling : str
        As for `BackwardNetwork.use`, which changes them later.

    Raises
    ------
    ValueError
        If a layer is of another kind, or the forward pass cannot be traced.
    """
    shape = None
    if isinstance(network, Network):
        shape = (network.input_channels, *network.input_size)
    both_ways = BackwardNetwork(_steps(network), image_shape=shape)
    return both_ways.use(rule=rule, unpooling=unpooling)


class ConvolutionLayer(nn.Module):
    """A convolution; backward, the flipped kernel: the paper's ``r * K^``."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        if convolution.padding_mode != "zeros":
            raise ValueError(f"expected padding with zeros, got {convolution.padding_mode!r}")
        self.convolution = convolution
        self.padding = convolution.padding
        if self.padding == "valid":
            self.padding = (0, 0)
        elif self.padding == "same":
            spans = [
                d * (k - 1)
                for d, k in zip(convolution.dilation, convolution.kernel_size, strict=True)
            ]
            if any(span % 2 for span in spans):
                raise ValueError(
                    "expected padding that is the same on both sides, got an even kernel"
                )
            self.padding = tuple(span // 2 for span in spans)

    def forward(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        """Return the convolution, and the size of what came in."""
        return self.convolution(x), x.shape[2:]

    def carry_back(self, signal: Tensor, size: torch.Size) -> Tensor:
        """Return the signal at the input."""
        convolution = self.convolution
        window = (convolution.kernel_size, convolution.stride, self.padding, convolution.dilation)
        return F.conv_transpose2d(
            signal,
            convolution.weight,
            stride=convolution.stride,
            padding=self.padding,
            output_padding=_left_out(size, signal.shape[2:], *window),
            groups=convolution.groups,
            dilation=convolution.dilation,
        )


class LinearLayer(nn.Module):
    """A fully connected layer; backward, its transposed matrix."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Return the layer's output; nothing need be kept."""
        return self.linear(x), None

    def carry_back(self, signal: Tensor, _: None) -> Tensor:
        """Return the signal at the input."""
        return signal @ self.linear.weight


class ScaleLayer(nn.Module):
    """Batch norm or normalization: a fixed factor a channel, the same in both directions."""

    def __init__(self, norm: nn.BatchNorm2d | nn.BatchNorm1d | Normalization) -> None:
        super().__init__()
        if not isinstance(norm, Normalization) and norm.running_var is None:
            raise ValueError("expected batch norm with running statistics, got one without")
        self.norm = norm

    def factor(self) -> Tensor:
        """Return what each channel is multiplied by."""
        if isinstance(self.norm, Normalization):
            return 1 / self.norm.std
        factor = (self.norm.running_var + self.norm.eps).rsqrt()
        return factor if self.norm.weight is None else factor * self.norm.weight

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Return the layer's output; nothing need be kept."""
        return self.norm(x), None

    def carry_back(self, signal: Tensor, _: None) -> Tensor:
        """Return the signal at the input."""
        factor = self.factor()
        if not isinstance(self.norm, Normalization):
            factor = factor.view(-1, *[1] * (signal.ndim - 2))
        return signal * factor


class ReLULayer(nn.Module):
    """A ReLU of any kind; backward, the mask of its `rule`."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = copy.copy(activation)
        # what comes in may be read elsewhere
        if hasattr(self.activation, "inplace"):
            self.activation.inplace = False
        self.slope, self.upper = relu_shape(activation)
        self.rule = "gradient"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activation, and that which tells where x is positive."""
        y = self.activation(x)
        # y lies above 0 and below the upper limit where x does, and the next layer has it anyway
        return y, y if isinstance(self.slope, float) and self.slope >= 0 else x

    def carry_back(self, signal: Tensor, kept: Tensor) -> Tensor:
        """Return the signal at the input."""
        slope = self.slope
        if isinstance(slope, Tensor) and slope.numel() > 1:
            slope = slope.view(-1, *[1] * (signal.ndim - 2))
        return relu_backward(kept, signal, self.rule, slope=slope, upper=self.upper)


class MaxPoolLayer(nn.Module):
    """A max-pooling; backward, the signal goes to the switches, where each window's maximum was.

    Where windows overlap, a place can be the maximum of several. The gradient adds their
    signals; un-pooling by switches keeps the last that is written.
    """

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        if pool.return_indices:
            raise ValueError("expected max-pooling that returns only the maxima")
        self.pool = pool
        self.unpooling = "add"

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, torch.Size]]:
        """Return the maxima; and the switches, with the size of what came in."""
        pool = self.pool
        y, switches = F.max_pool2d(
            x,
            pool.kernel_size,
            pool.stride,
            pool.padding,
            pool.dilation,
            ceil_mode=pool.ceil_mode,
            return_indices=True,
        )
        return y, (switches, x.shape[2:])

    def carry_back(self, signal: Tensor, kept: tuple[Tensor, torch.Size]) -> Tensor:
        """Return the signal at the input."""
        switches, size = kept
        empty = signal.new_zeros(*signal.shape[:2], size[0] * size[1])
        places, arriving = switches.flatten(2), signal.flatten(2)
        if self.unpooling == "add":
            spread = empty.scatter_add(2, places, arriving)
        else:
            spread = empty.scatter(2, places, arriving)
        return spread.unflatten(2, tuple(size))


class AveragePoolLayer(nn.Module):
    """An average pooling; backward, each window's signal in equal shares over the window."""

    def __init__(self, pool: nn.AvgPool2d) -> None:
        super().__init__()
        self.pool = pool
        sizes = (pool.kernel_size, pool.stride, pool.padding)
        self.window = tuple((one, one) if isinstance(one, int) else one for one in sizes)
        (height, width), _, padding = self.window
        self.count = pool.divisor_override or height * width
        if pool.ceil_mode or (any(padding) and not pool.count_include_pad):
            raise ValueError(f"expected average pooling whose windows are all alike, got {pool}")

    def forward(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        """Return the averages, and the size of what came in."""
        return self.pool(x), x.shape[2:]

    def carry_back(self, signal: Tensor, size: torch.Size) -> Tensor:
        """Return the signal at the input."""
        kernel_size, stride, padding = self.window
        channels = signal.shape[1]
        return F.conv_transpose2d(
            signal,
            torch.full((channels, 1, *kernel_size), 1 / self.count).to(signal),
            stride=stride,
            padding=padding,
            output_padding=_left_out(size, signal.shape[2:], *self.window, (1, 1)),
            groups=channels,
        )


class AdaptivePoolLayer(nn.Module):
    """An average pooling to a fixed size; backward, equal shares over each window.

    Averaging rows, then columns, is one matrix from each side; backward, these transposed.
    """

    def __init__(self, pool: nn.AdaptiveAvgPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        """Return the averages, and the size of what came in."""
        return self.pool(x), x.shape[2:]

    def carry_back(self, signal: Tensor, size: torch.Size) -> Tensor:
        """Return the signal at the input."""
        rows, columns = (
            F.adaptive_avg_pool1d(torch.eye(full).to(signal), pooled)
            for full, pooled in zip(size, signal.shape[2:], strict=True)
        )
        return rows @ signal @ columns.T


class FlattenLayer(nn.Module):
    """Flattening; backward, the shape from before."""

    def __init__(self, flatten: nn.Flatten) -> None:
        super().__init__()
        self.flatten = flatten

    def forward(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        """Return the flat values, and the shape from before."""
        return self.flatten(x), x.shape

    def carry_back(self, signal: Tensor, shape: torch.Size) -> Tensor:
        """Return the signal at the input."""
        return signal.reshape(shape)


class SumLayer(nn.Module):
    """A sum of two layers' outputs; backward, the signal goes to both."""

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, None]:
        """Return the sum; nothing need be kept."""
        if x.shape != y.shape:
            raise ValueError(
                f"expected a sum of one shape, got {tuple(x.shape)} and {tuple(y.shape)}"
            )
        return x + y, None

    def carry_back(self, signal: Tensor, _: None) -> Tensor:
        """Return the signal at either input."""
        return signal


class _Unchecked(nn.Module):
    """Both passes without the checks, whose outcome would depend on the image's values."""

    def __init__(self, network: BackwardNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        scores, kept = self.network.scores_and_kept(images)
        signals = self.network.carry_back(_one_at(classes, scores), kept)
        return scores, signals["input"]


def _one_at(classes: Tensor, scores: Tensor) -> Tensor:
    """Return the score's own derivative, where the way back starts: 1 at the class, else 0."""
    return (
        (torch.arange(scores.shape[1]).to(classes) == classes[:, None]).to(scores).expand_as(scores)
    )


class _Step(NamedTuple):
    """One layer, and the names of the layers whose outputs it takes."""

    name: str
    layer: nn.Module
    sources: tuple[str, ...]


_LAYERS = {
    nn.Conv2d: ConvolutionLayer,
    PackedConv2d: ConvolutionLayer,
    nn.Linear: LinearLayer,
    nn.BatchNorm2d: ScaleLayer,
    nn.BatchNorm1d: ScaleLayer,
    Normalization: ScaleLayer,
    nn.MaxPool2d: MaxPoolLayer,
    nn.AvgPool2d: AveragePoolLayer,
    nn.AdaptiveAvgPool2d: AdaptivePoolLayer,
    nn.Flatten: FlattenLayer,
}
# calls that are a layer without weights, with the same arguments
_MODULE_OF_CALL = {
    F.relu: nn.ReLU,
    torch.relu: nn.ReLU,
    "relu": nn.ReLU,
    F.relu6: nn.ReLU6,
    F.leaky_relu: nn.LeakyReLU,
    F.max_pool2d: nn.MaxPool2d,
    F.avg_pool2d: nn.AvgPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    torch.flatten: nn.Flatten,
    "flatten": nn.Flatten,
}
_SUMS = (operator.add, operator.iadd, torch.add, "add", "add_")
# these do nothing to a network that is not being trained
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d, F.dropout)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in _LAYERS or super().is_leaf_module(m, module_qualified_name)


def _steps(network: nn.Module) -> list[_Step]:
    """Return the layers in the order of the forward pass."""
    traced = network
    if isinstance(network, Network):  # whose forward pass checks its images first
        parts = OrderedDict(normalization=network.normalization, layers=network.layers)
        traced = nn.Sequential(parts)
    try:
        with evaluation_mode(network):
            nodes = list(_Tracer().trace(traced).nodes)
    except Exception as error:  # tracing runs the network's own code, which raises what it likes
        raise ValueError(
            f"expected a network whose forward pass can be traced by torch.fx: {error}"
        ) from error
    modules = dict(traced.named_modules())
    calls = Counter(node.target for node in nodes)
    needed = {nodes[-1]}
    for node in reversed(nodes):
        needed |= set(node.all_input_nodes) if node in needed else set()
    steps, names = [], {}
    for node in filter(needed.__contains__, nodes):
        what = modules[node.target] if node.op == "call_module" else node.target
        given = [one for one in (*node.args, *node.kwargs.values()) if isinstance(one, fx.Node)]
        if node.op == "placeholder" and not names:
            names[node] = "input"
        elif node.op == "output":
            if isinstance(node.args[0], fx.Node):
                return steps
        elif what in _NOTHING or type(what) in _NOTHING:
            names[node] = names[given[0]]
        else:
            once = node.op == "call_module" and calls[node.target] == 1
            names[node] = node.target if once else node.name
            layer = _layer(node, what)
            in_place = getattr(what, "inplace", False) or node.kwargs.get("inplace", False)
            if (in_place or what in (operator.iadd, "add_")) and len(given[0].users) > 1:
                raise ValueError(f"{names[node]!r} overwrites what another layer reads")
            steps.append(_Step(names[node], layer, tuple(names[one] for one in given)))
    raise ValueError("expected a network that returns one tensor of class scores")


def _layer(node: fx.Node, what: object) -> nn.Module:
    """Return the layer that goes both ways, for a module or a call."""
    try:
        if node.op != "call_module" and what in _SUMS:
            if node.kwargs or not all(isinstance(term, fx.Node) for term in node.args):
                raise ValueError("expected a sum of two layers' outputs")
            return SumLayer()
        if node.op != "call_module" and what in _MODULE_OF_CALL:
            what = _MODULE_OF_CALL[what](*node.args[1:], **dict(node.kwargs))
        if relu_shape(what) is not None:
            return ReLULayer(what)
        if type(what) in _LAYERS:
            return _LAYERS[type(what)](what)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{node.name}: {error}") from error
    known = ", ".join(kind.__name__ for kind in _LAYERS)
    kind = type(what) if isinstance(what, nn.Module) else what
    raise ValueError(
        f"expected layers of the kinds {known}, ReLU and sums, got {node.name}: "
        f"{getattr(kind, '__name__', kind)}"
    )


def _left_out(
    size: Sequence[int],
    reached: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> list[int]:
    """Return how many rows and columns at the end no window reached: their signal is 0."""
    return [
        size[i]
        + 2 * padding[i]
        - dilation[i] * (kernel_size[i] - 1)
        - 1
        - (reached[i] - 1) * stride[i]
        for i in range(2)
    ]
