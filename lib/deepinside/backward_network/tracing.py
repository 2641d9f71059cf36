"""The layers that a network's forward pass goes through, and what each of them reads."""

import operator
from collections.abc import Callable, Sequence
from itertools import chain, count
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import ParametrizationList

from deepinside.arguments import shown
from deepinside.backward_network import layers
from deepinside.inference.recording import recorded_calls
from deepinside.networks import Network, Normalization, copy_sharing_weights

INPUT = "input"


class Step(NamedTuple):
    """One layer, and the names of those whose outputs it reads; "input" is the images."""

    name: str
    layer: layers.Layer
    sources: tuple[str, ...]


# kinds of modules, and the layers made from them
_LAYERS: dict[type[nn.Module], Callable[[Any], layers.Layer]] = {
    nn.Conv2d: layers.ConvolutionLayer,
    nn.Linear: layers.LinearLayer,
    nn.BatchNorm2d: layers.ScaleLayer,
    nn.BatchNorm1d: layers.ScaleLayer,
    Normalization: layers.ScaleLayer,
    **dict.fromkeys((nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.RReLU, nn.PReLU), layers.ReLULayer),
    **dict.fromkeys((nn.MaxPool2d, nn.AdaptiveMaxPool2d), layers.MaxPoolLayer),
    nn.AvgPool2d: layers.AveragePoolLayer,
    nn.AdaptiveAvgPool2d: layers.AdaptivePoolLayer,
    nn.Flatten: layers.FlattenLayer,
}
# these do nothing to a network that is not being trained
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d)
# what changes a module, by the attribute that it is in
_CHANGES = {
    "forward": "a forward pass of its own",
    "_forward_pre_hooks": "a forward pre-hook",
    "_forward_hooks": "a forward hook",
    "_backward_pre_hooks": "a backward pre-hook",
    "_backward_hooks": "a backward hook",
}


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Identity:
    if training and p:
        raise ValueError("expected dropout that evaluation mode switches off")
    return nn.Identity()


# the arguments of these two have torch's own names, as they may be given by name


def _sum(input: object, other: object, **options: object) -> layers.SumLayer:
    if options or not all(isinstance(given, fx.Node) for given in (input, other)):
        raise ValueError("expected a sum of two layers' outputs")
    return layers.SumLayer()


def _concatenation(
    tensors: Sequence[object], dim: int = 0, axis: int | None = None
) -> layers.ConcatenationLayer:
    dim = dim if axis is None else axis
    # the first of the four axes of pictures is that of images
    if dim in (0, -4) or not all(isinstance(given, fx.Node) for given in tensors):
        raise ValueError("expected a concatenation of layers' outputs, and not of images, dim 0")
    return layers.ConcatenationLayer(dim)


# calls, and what returns the module that does the same, given all arguments but the first
_CALLS: dict[object, Callable[..., nn.Module]] = {
    **dict.fromkeys((F.relu, torch.relu, "relu"), nn.ReLU),
    F.relu6: nn.ReLU6,
    F.leaky_relu: nn.LeakyReLU,
    F.max_pool2d: nn.MaxPool2d,
    F.adaptive_max_pool2d: nn.AdaptiveMaxPool2d,
    F.avg_pool2d: nn.AvgPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    **dict.fromkeys((torch.flatten, "flatten"), nn.Flatten),
    F.dropout: _dropout,
}
# calls that read several layers' outputs, and what returns the layer, given all arguments
_JOINS: dict[object, Callable[..., layers.Join]] = {
    **dict.fromkeys((operator.add, torch.add, "add"), _sum),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _concatenation),
}


def steps(network: nn.Module) -> list[Step]:
    """Return the layers in the order of the forward pass, named as the network's modules.

    Raises
    ------
    ValueError
        If a layer is of an unknown kind, or `refuse_changed_layers` refuses it; or if the
        forward pass cannot be traced.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"expected a network as an nn.Module, got {shown(network)}")
    refuse_changed_layers(network)
    modules = dict(network.named_modules())
    names: dict[fx.Node, str] = {}
    found = []
    for node in _nodes_on_the_way(network):
        reads = tuple(names[source] for source in _sources(node))
        if node.op == "placeholder":
            names[node] = INPUT
            continue
        name = _name(node, {*modules, *names.values()})
        module = _module(name, node, modules)
        names[node] = reads[0] if isinstance(module, _NOTHING) else name
        if not isinstance(module, _NOTHING):
            found.append(Step(name, _layer(name, module), reads))
    return found


def refuse_changed_layers(network: nn.Module) -> None:
    """Raise a ValueError that names a module if it does not compute what its class does.

    A hook, a parametrization or a forward pass set on the module changes that.
    """
    for name, module in network.named_modules():
        changes = [_CHANGES[key] for key in _CHANGES if module.__dict__.get(key)]
        if isinstance(module, ParametrizationList):
            changes.append("a parametrization")
        if changes:
            raise ValueError(
                "expected layers that compute what their classes do, got "
                f"{changes[0]} on {name or type(module).__name__!r}"
            )


def _nodes_on_the_way(network: nn.Module) -> list[fx.Node]:
    """Return the images and the calls on which the scores depend, in order."""
    copied = copy_sharing_weights(network)
    if isinstance(copied, Network):  # whose forward pass checks its images first
        parts = copied
        vars(copied)["forward"] = lambda images: parts.layers(parts.normalization(images))
    nodes = list(recorded_calls(copied, lambda module: _kind(module) is not None).nodes)
    scores = nodes[-1].args[0]
    if not isinstance(scores, fx.Node) or scores.op == "placeholder":
        raise ValueError("expected a network that returns one tensor of class scores")
    needed = {scores}
    for node in reversed(nodes):
        needed |= set(node.all_input_nodes) if node in needed else set()
        if node not in needed and _works_in_place(node):
            raise ValueError(
                f"expected layers whose output is read, got {node.name}, which only overwrites "
                "what others read"
            )
    return [node for node in nodes if node in needed]


def _sources(node: fx.Node) -> list[fx.Node]:
    """Return the calls whose outputs a call reads, each as often as it is read."""
    sources: list[fx.Node] = []
    fx.node.map_arg((node.args, node.kwargs), sources.append)
    return sources


def _works_in_place(node: fx.Node) -> bool:
    name = getattr(node.target, "__name__", str(node.target))
    is_call = node.op in ("call_function", "call_method")
    return is_call and (
        name.endswith("_") or "out" in node.kwargs or bool(node.kwargs.get("inplace"))
    )


def _name(node: fx.Node, taken: set[str]) -> str:
    """Return the module's own name for its first call, else one that is not taken."""
    before = (other for other in node.graph.nodes if other.target == node.target)
    if node.op == "call_module" and next(before) is node:
        return str(node.target)
    name = str(node.target) if node.op == "call_module" else node.name
    numbered = (f"{name}_{i}" for i in count(1))
    return next(free for free in chain([name], numbered) if free not in taken)


def _module(name: str, node: fx.Node, modules: dict[str, nn.Module]) -> object:
    """Return the module that is called, or one that does the same as the call of a function."""
    if node.op == "call_module":
        return modules[str(node.target)]
    try:
        if node.target in _JOINS:
            return _JOINS[node.target](*node.args, **node.kwargs)
        return _CALLS[node.target](*node.args[1:], **node.kwargs)
    except KeyError:
        return node.target
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error


def _kind(module: object) -> type[nn.Module] | None:
    """Return what kind of layer a module is: of torch's own, or of one derived here."""
    known = type(module).__module__.startswith(("torch.nn.", "deepinside."))
    return next((kind for kind in type(module).__mro__ if known and kind in _LAYERS), None)


def _layer(name: str, module: object) -> layers.Layer:
    """Return the layer that goes both ways."""
    if isinstance(module, layers.Join):
        return module
    try:
        if kind := _kind(module):
            return _LAYERS[kind](module)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    got = type(module) if isinstance(module, nn.Module) else module
    raise ValueError(
        "expected layers of the kinds that help(backward_network) lists, "
        f"got {name}: {getattr(got, '__name__', got)}"
    )
