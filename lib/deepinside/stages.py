"""Stages: the layers whose activations stand for the depths of a network, and their layouts.

Convolutions put out activations (N, C, h, w), Swin (N, h, w, C), a ViT tokens (N, 1 + h * w, C).
Nothing here is specific to a class or a photo: a network is passed once, with noise, and every
layer listened to.
"""

import math
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node, get_gradient_edge
from torch.nn import functional as F
from torchvision.models.maxvit import PartitionAttentionLayer

from deepinside.arguments import shown
from deepinside.networks import Network, copy_sharing_weights
from deepinside.networks.network import check_network
from deepinside.networks.scores import check_scores, no_gradient

_LAYOUTS = "activations (N, C, h, w) or (N, h, w, C), or tokens (N, others + h * w, C)"


class Layout(NamedTuple):
    """The axis of an activation's channels; of tokens, also the pixels from one to the next.

    (down, right), which counts a ViT's patches for images of any size.
    """

    channels: int
    step: tuple[float, float] | None = None

    def as_picture(self, values: Tensor, size: Sequence[int]) -> Tensor:
        """Return the activation for images of a size (height, width) as (N, C, h, w)."""
        if self.step is not None:
            h, w = round(size[0] / self.step[0]), round(size[1] / self.step[1])
            # class token and registers come first
            values = values[:, -h * w :].unflatten(1, (h, w))
        return values.movedim(self.channels, 1)


class _Activation(NamedTuple):
    """A layer's output: its layout, and a score's gradient there, (1, C, h, w).

    `is_passed` is whether every path from the images to the scores goes through it, as no path
    does through a branch, a window's attention or what a residual connection goes around.
    """

    layout: Layout
    gradient: Tensor
    is_passed: bool

    @property
    def tells_places(self) -> bool:
        """Whether the gradient's direction differs between positions."""
        vectors = self.gradient[0].flatten(1)
        one = F.normalize(vectors[:, vectors.norm(dim=0).argmax()], dim=0, eps=1e-30)
        rest = vectors - one[:, None] * (one @ vectors)
        return bool(rest.norm() > 1e-3 * vectors.norm())


def stages(network: Network) -> dict[str, Layout]:
    """Return the layers that stand for the depths of a network, first to last, with their layouts.

    For timm's EfficientNets all stages but the first; for a network of tokens all blocks; else
    the last activation of each resolution, from a quarter of the image's side down. A branch, a
    bottleneck, or what a residual connection goes around, is none. Nor is an activation whose
    gradient has one direction at all positions, as before global average pooling: it holds
    weights of the last layer and nothing of places.

    Raises
    ------
    ValueError
        If there are none.
    """
    check_network(network)
    blocks = getattr(network.layers, "blocks", None)
    if isinstance(blocks, nn.Sequential) and hasattr(network.layers, "conv_stem"):
        # timm's EfficientNets
        return {f"layers.blocks.{i}": Layout(1) for i in range(1, len(blocks))}
    found, modules = _activations(network), dict(network.named_modules())
    largest = network.input_size[0] / 4 + 1
    passed = [
        name
        for name, activation in found.items()
        if activation.is_passed
        and activation.gradient.shape[2] <= largest
        and not isinstance(modules[name], nn.Identity)
        and not any(
            _differ_in_channels(activation, outer)
            for module, outer in found.items()
            if name.startswith(f"{module}.") and not isinstance(modules[module], nn.Sequential)
        )
    ]
    # the blocks of a network of tokens
    chosen = [
        name
        for name in passed
        if found[name].layout.step
        and isinstance(modules[name.rpartition(".")[0]], nn.Sequential | nn.ModuleList)
        and [*modules[name].children()]
        and found[name].tells_places
    ]
    if not chosen:
        last: dict[torch.Size, str] = {}
        for name in reversed(passed):
            size = found[name].gradient.shape[2:]
            if size not in last and found[name].tells_places:
                last[size] = name
        chosen = [*last.values()][::-1]
    if not chosen:
        raise ValueError(
            f"expected a network with {_LAYOUTS}, of a quarter of its images' side or less, got "
            f"{network.name}: name the layers of object_maps, or take a saliency map"
        )
    return {name: found[name].layout for name in chosen}


def _differ_in_channels(one: _Activation, other: _Activation) -> bool:
    shape, others = one.gradient.shape, other.gradient.shape
    return shape[2:] == others[2:] and shape[1] != others[1]


def layouts(network: Network, layers: Sequence[str]) -> dict[str, Layout]:
    """Return the layouts of layers given by name.

    It costs one pass of noise each way, as `stages` does.

    Raises
    ------
    ValueError
        If a name is none of ``network.named_modules()`` or comes twice, or a layer's output has
        no positions.
    """
    check_network(network)
    are_names = isinstance(layers, Collection) and all(isinstance(name, str) for name in layers)
    if isinstance(layers, str) or not are_names or len({*layers}) < len(layers):
        raise ValueError(f"expected a list of layers' names, each once, got {shown(layers)}")
    modules = dict(network.named_modules())
    unknown = [name for name in layers if name not in modules]
    if unknown or not len(layers):
        raise ValueError(f"expected names of modules of {network.name}, got {unknown or 'none'}")
    found = _activations(network)
    others = [name for name in layers if name not in found]
    if others:
        raise ValueError(f"expected layers of {network.name} with {_LAYOUTS}, got {others}")
    return {name: found[name].layout for name in layers}


def last_activation(network: Network) -> tuple[str, Layout]:
    """Return the last layer whose positions the scores depend on, and its layout.

    Of a ViT the tokens before the last block, as after it the class token alone is looked at.
    Maps of the classes, of which SqueezeNet's scores are averages, are no activation: there no
    fully connected layer weighs them.

    Raises
    ------
    ValueError
        If there is none.
    """
    check_network(network)
    is_weighed = any(isinstance(module, nn.Linear) for module in network.modules())
    found = [
        (name, activation.layout)
        for name, activation in _activations(network).items()
        if activation.is_passed
        and activation.gradient.any()
        and (is_weighed or activation.gradient.shape[1] != len(network.class_names))
    ]
    if not found:
        raise ValueError(f"expected a network with {_LAYOUTS}, got {network.name}: name a layer")
    return found[-1]


@torch.inference_mode(False)
@torch.enable_grad()
def _activations(network: Network) -> dict[str, _Activation]:
    """Return every layer's activation for noise, in the order in which they are computed."""
    seen, images = _seen(network, _noise(network)[:1])

    @cache
    def moved() -> dict[str, Tensor]:
        return _seen(network, _noise(network))[0]

    check_scores(seen[""], 1)
    chosen = seen.pop("").amax()
    if not chosen.requires_grad:
        raise no_gradient()
    seen = {n: v for n, v in seen.items() if v.requires_grad and v.shape[:1] == (1,)}
    on_every_path = _on_every_path(chosen, images)
    gradients = torch.autograd.grad(chosen, [*seen.values()], allow_unused=True)
    found: dict[str, _Activation] = {}
    for (name, values), gradient in zip(seen.items(), gradients, strict=True):
        layout = _layout(network.input_size, name, values.shape, found.values(), moved)
        if layout is not None and gradient is not None:
            picture = layout.as_picture(gradient, network.input_size)
            found[name] = _Activation(layout, picture, values.grad_fn in on_every_path)
    if found and not any(activation.gradient.any() for activation in found.values()):
        raise ValueError(
            f"expected scores of {network.name} that depend on the image, got a gradient of 0 at "
            "all places"
        )
    return found


def _noise(network: Network) -> Tensor:
    """Return three images, (3, C, H, W); of the first, 1 has another upper half, 2 a left one."""
    (height, width), generator = network.input_size, torch.Generator().manual_seed(0)
    shape = (2, network.input_channels, height, width)
    one, other = torch.rand(shape, generator=generator, dtype=torch.float32)
    images = torch.stack([one] * 3)
    images[1, :, : height // 2] = other[:, : height // 2]
    images[2, :, :, : width // 2] = other[:, :, : width // 2]
    return images.to(network.normalization.mean)


def _seen(network: Network, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Return every layer's output by its name, the scores by "", and the images that they saw.

    Less those of windows in torchvision's MaxViT, (N, windows, h * w, C), which only its class
    tells from pictures; elsewhere windows are counted with the images.
    """
    network = copy_sharing_weights(network)
    seen = listened_to(network, [name for name, _ in network.named_modules()])
    images = images.clone().requires_grad_()
    network(images)
    windows = [n for n, m in network.named_modules() if isinstance(m, PartitionAttentionLayer)]
    inside = tuple(f"{name}." for name in windows)
    return {name: seen[name] for name in seen if not name.startswith(inside)}, images


def _on_every_path(start: Tensor, goal: Tensor) -> set[Node | None]:
    """Return the operations of autograd that every path from `start` back to `goal` takes.

    As many paths go through each of these, from the start and onward, as there are.
    """
    first, last = get_gradient_edge(start).node, get_gradient_edge(goal).node
    # the number of paths from an operation to the goal, in an order from there to the start
    onward = {last: 1}
    waiting = [first]
    while waiting:
        sources = _sources(waiting[-1])
        unknown = [source for source in sources if source not in onward]
        waiting += unknown
        if not unknown:
            onward.setdefault(waiting.pop(), sum(onward[source] for source in sources))
    paths = dict.fromkeys(onward, 0) | {first: 1}
    for step in reversed(onward):
        for source in _sources(step) if step is not last else ():
            paths[source] += paths[step]
    return {step for step in onward if paths[step] * onward[step] == onward[first]}


def _sources(step: Node) -> list[Node]:
    return [source for source, _ in step.next_functions if source is not None]


def _layout(
    size: tuple[int, int],
    name: str,
    shape: torch.Size,
    before: Collection[_Activation],
    moved: Callable[[], dict[str, Tensor]],
) -> Layout | None:
    """Return the layout of a layer's output, or None if it has no positions.

    Positions have the images' proportions, up to rounding. Tokens are as many as the positions
    of an activation before them, or of its halves, and a few others. Where channels may come
    first or last, as in 16 x 16 x 16, it is seen along which axes a change of the image moves.
    """
    height, width = size
    if len(shape) == 3:
        sides = {tuple(activation.gradient.shape[2:]) for activation in before}
        halves = {(h >> k, w >> k) for h, w in sides for k in range(4)}
        grids = [grid for grid in halves if 1 < math.prod(grid) <= shape[1]]
        h, w = max(grids, key=math.prod, default=(0, 0))
        return Layout(-1, (height / h, width / w)) if grids else None
    if len(shape) != 4:
        return None
    fits = [
        layout
        for layout, sides in ((Layout(1), shape[2:]), (Layout(-1), shape[1:3]))
        if min(sides) > 1 and have_proportions(sides, size)
    ]
    if len(fits) > 1:
        fits.sort(key=lambda layout: _moves(layout.as_picture(moved()[name].detach(), size)))
    return fits[-1] if fits else None


def have_proportions(sides: Sequence[int], size: Sequence[int]) -> bool:
    """Return whether (h, w) have the proportions of images (height, width), up to rounding."""
    (h, w), (height, width) = sides, size
    slack = max(height, width) + 2 * abs(height - width)
    return abs(h * width - w * height) < slack


def _moves(picture: Tensor) -> float:
    """Return how far two changes are apart in (3, C, h, w): down from 1 to 2, right from 2 to 1."""
    changes = (picture[1:] - picture[:1]).abs().sum(1)
    down, right = (torch.linspace(0, 1, side).to(changes) for side in changes.shape[1:])
    centers = changes * (down[:, None] - right) / changes.sum((1, 2), keepdim=True)
    upper, left = centers.sum((1, 2))
    return float(left - upper)


def listened_to(network: Network, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return where each pass leaves the outputs of these layers, in the order of the calls."""
    modules = dict(network.named_modules())
    seen: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[..., object]:
        def keep(module: nn.Module, inputs: tuple, output: Any) -> object:  # noqa: ANN401
            first, *others = output if type(output) is tuple and output else (output,)
            if not isinstance(first, Tensor):
                return output
            seen.pop(name, None)
            seen[name] = first
            # what follows may work in place, and shall do so on a copy
            return first.clone() if first is output else (first.clone(), *others)

        return keep

    for name in layers:
        modules[name].register_forward_hook(keeper(name))
    return seen
