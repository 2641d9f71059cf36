"""The backward pass as a network of its own (paper §4), without autograd.

The class score's way back to the image is a second network. Its layers are those of the
first in reverse order: a convolution's is `conv_transpose2d` with the same kernel, a fully
connected layer's its transposed matrix, a ReLU's a mask, a max-pooling's the switches, a
sum's a copy for each term, a concatenation's a split into its parts. Only the masks and
switches depend on the image; given these, the way back is linear. With the DeconvNet's rule
for the masks, which asks for the sign of the signal, it is the DeconvNet.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepinside.arguments import shown
from deepinside.backward_network.export import export_onnx
from deepinside.backward_network.layers import Layer, MaxPoolLayer, ReLULayer
from deepinside.backward_network.tracing import INPUT, Step, refuse_changed_layers, steps
from deepinside.class_score import check_images
from deepinside.deconvnet import RULES
from deepinside.networks import Network, copy_sharing_weights
from deepinside.networks.scores import check_scores

__all__ = ["BackwardNetwork", "backward_network", "export_onnx"]

UNPOOLING = ("add", "overwrite")


def backward_network(
    network: nn.Module, *, rule: str = "gradient", unpooling: str = "add"
) -> "BackwardNetwork":
    """Return the network together with its way back, built layer by layer without autograd.

    The layers share their weights with `network`, which is left as it is. Paper §4, chapter
    *Gradient and DeconvNet*.

    Parameters
    ----------
    network : nn.Module
        Of convolution, batch norm, kinds of ReLU, max- and average pooling, fully connected
        layers, flattening, dropout, sums and concatenations; otherwise of any shape.
    rule, unpooling : str
        As for `BackwardNetwork.use`, which changes them later.

    Raises
    ------
    ValueError
        If a layer is of another kind, or changed by a hook, a parametrization or a forward
        pass of its own; if the forward pass cannot be traced; or if the scores are not the
        network's, which is compared here where the size of its images is known, else once
        for each size that is seen.
    """
    both_ways = BackwardNetwork(network, steps(network)).use(rule=rule, unpooling=unpooling)
    if isinstance(network, Network):
        shape = (1, network.input_channels, *network.input_size)
        both_ways.scores_and_kept(network.normalization.mean.new_zeros(shape))
    return both_ways


class BackwardNetwork(nn.Module):
    """The network and its way back: images and classes to class scores and their gradient.

    Made by `backward_network`. Each layer has a `carry_back` beside its `forward`; those of
    ReLU have a `rule`, those of max-pooling an `unpooling`, both to be set at will, for all
    who use this object. Threads can share it while nobody sets them.

    Attributes
    ----------
    names : tuple of str
        The layers' names, first to last, as in ``network.named_modules()``; sums, calls and
        a module's further calls have names of their own. ``backward_network(...)[name]`` is
        that layer.
    """

    network: nn.Module

    def __init__(self, network: nn.Module, steps: Sequence[Step]) -> None:
        super().__init__()
        # not as a part, for its layers are parts already
        self.__dict__["network"] = network
        self.names = tuple(step.name for step in steps)
        self.layers = nn.ModuleList(step.layer for step in steps)
        self._steps = tuple(steps)
        last = {source: step.name for step in steps for source in step.sources}
        self._last_read = {name: [s for s in last if last[s] == name] for name in self.names}
        self._classes: dict[torch.Size, int] = {}  # by the size of images that was compared

    def __getitem__(self, name: str) -> Layer:
        if name not in self.names:
            raise ValueError(f"expected a layer's name, such as {self.names[:3]}, got {name!r}")
        return self._steps[self.names.index(name)].layer

    def train(self, mode: bool = True) -> "BackwardNetwork":
        """Return the network itself: it computes as in evaluation mode, in whatever mode."""
        return self

    def use(self, *, rule: str | None = None, unpooling: str | None = None) -> "BackwardNetwork":
        """Return the network itself, with the rule in each ReLU and max-pooling, for all users.

        Parameters
        ----------
        rule : str, optional
            "gradient", "deconvnet" or "guided".
        unpooling : str, optional
            "add" for the gradient; "overwrite" for un-pooling as PyTorch's `max_unpool2d` does
            it, which differs where windows overlap.
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

    @torch.no_grad()
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
            If images or classes are not such, or as `backward_network`.
        """
        scores, kept, signal = self._scores_and_start(images, classes)
        return scores, self.carry_back(signal, kept)[INPUT]

    @torch.no_grad()
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
        if not torch.compiler.is_compiling():  # a graph has no errors to raise
            self._check(images)
        return self._forward_pass(images)

    @torch.no_grad()
    def carry_back(
        self, signal: Tensor, kept: dict[str, Any], *, keep_all: bool = False
    ) -> dict[str, Tensor]:
        """Return the signal at the "input", or by name at every layer's output as well.

        This is the second network: linear in `signal`, (N, classes), which starts at the
        class scores, as long as the rules are those of the gradient.

        Raises
        ------
        ValueError
            If the signal is not like the scores that were kept.
        """
        if not torch.compiler.is_compiling():
            _check_signal(signal, kept, self.names)
        signals = {self.names[-1]: signal}
        for name, layer, sources in reversed(self._steps):
            signal = signals[name] if keep_all else signals.pop(name)
            carried = layer.carry_back(signal, kept[name])
            parts = carried if isinstance(carried, tuple) else (carried,) * len(sources)
            for source, part in zip(sources, parts, strict=True):
                # what several layers read gets the sum of their signals
                signals[source] = signals[source] + part if source in signals else part
        return signals

    def _forward_pass(self, images: Tensor) -> tuple[Tensor, dict[str, Any]]:
        values, kept = {INPUT: images}, {}
        for name, layer, sources in self._steps:
            values[name], kept[name] = layer(*(values[source] for source in sources))
            for read in self._last_read[name]:
                del values[read]
        kept[INPUT] = values[self.names[-1]].shape
        return values[self.names[-1]], kept

    def _scores_and_start(self, images: Tensor, classes: Tensor) -> tuple[Tensor, dict, Tensor]:
        """Return scores, what is kept, and the score's own derivative, where the way starts."""
        if not torch.compiler.is_compiling():
            count = self._check(images)
            _check_classes(classes, len(images), count)
        scores, kept = self._forward_pass(images)
        is_class = torch.arange(scores.shape[1]).to(classes) == classes[:, None]
        return scores, kept, is_class.to(scores).expand_as(scores)

    def _check(self, images: Tensor) -> int:
        """Return the number of classes, unless these are no images or the scores not its own.

        The scores are compared once for each size of images, on noise: an image that happens
        to be blank might hide a difference.
        """
        check_images(self.network, images)
        refuse_changed_layers(self.network)
        size = images.shape[1:]
        if size in self._classes:
            return self._classes[size]
        noise = torch.randn(1, *size, generator=torch.Generator().manual_seed(0), device="cpu")
        noise = noise.to(images)
        # a network may overwrite its images
        expected = copy_sharing_weights(self.network)(noise.clone())
        check_scores(expected, 1)
        got, _ = self._forward_pass(noise)
        difference = (got - expected).abs().max() if got.shape == expected.shape else torch.nan
        if not difference <= 1e-4 * expected.abs().max():
            raise ValueError(
                "expected layers that give the network's own scores, to 1e-4 of the largest, got "
                f"{got.flatten().tolist()[:3]} and not {expected.flatten().tolist()[:3]} ...: does "
                "one of them overwrite what another reads?"
            )
        return self._classes.setdefault(size, expected.shape[1])


def _check_classes(classes: Tensor, images: int, count: int) -> None:
    is_tensor = isinstance(classes, Tensor) and not classes.is_meta
    if not is_tensor or classes.dtype != torch.int64:
        raise ValueError(f"expected classes as a tensor of int64, got {shown(classes)}")
    if classes.shape not in ((1,), (images,)):
        raise ValueError(f"expected classes of shape ({images},), got {tuple(classes.shape)}")
    outside = classes[(classes < 0) | (classes >= count)].tolist()
    if outside:
        raise ValueError(f"expected classes from 0 to {count - 1}, got {outside}")


def _check_signal(signal: Tensor, kept: dict[str, Any], names: Sequence[str]) -> None:
    if not isinstance(kept, dict) or not {INPUT, *names} <= kept.keys():
        raise ValueError(f"expected what scores_and_kept returns, got {shown(kept)}")
    shape = tuple(kept[INPUT])
    if not isinstance(signal, Tensor) or signal.is_meta or not signal.is_floating_point():
        raise ValueError(f"expected a signal of floats, {shape}, got {shown(signal)}")
    if signal.shape != shape:
        raise ValueError(f"expected a signal of shape {shape}, got {tuple(signal.shape)}")
    if not signal.isfinite().all():
        raise ValueError("expected a finite signal, got values that are NaN or infinite")
