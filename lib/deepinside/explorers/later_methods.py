"""The explorer of later methods: photo, class, method, and trained or random network."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepinside import images
from deepinside.class_activation import class_activation_map, grad_cam, guided_grad_cam
from deepinside.class_score import class_score, top_classes
from deepinside.explorers.packing import Answer, Panel, map_panel
from deepinside.explorers.widget import (
    Control,
    Explorer,
    State,
    class_asked_for,
    photo_of,
    photo_title,
)
from deepinside.integrated_gradients import integrated_gradients
from deepinside.limits import edge_maps, layers_top_down, randomize_layers, rank_correlation
from deepinside.networks import Network, in_evaluation_mode
from deepinside.networks.network import check_network
from deepinside.occlusion import occlusion
from deepinside.saliency import image_gradient
from deepinside.stages import stages

# from a network, an image (1, C, H, W) and a class to the values that a map is made of
Method = Callable[[Any, Tensor, int], Tensor]

_STEPS = 15
# batches of one photo in two networks: the photo, black, and 49 covered squares in each
_KEPT = 102
_FIRST = "the network's 1st"
_TRAINED, _RANDOM = "trained", "all layers random"
# the title of a map by its axes: (1, h, w) is Grad-CAM, cut at 0; (1, C, H, W) has channels
_PART = {3: "positive part", 4: "largest magnitude"}
_CAM, _INTEGRATED, _OCCLUSION = "CAM", "integrated gradients from black", "occlusion"

_SUMS = "signed sum (score's change)"


class _Recalling(nn.Module):
    """A network that keeps the scores of its last batches.

    A covered photo is the same for all classes, so it passes through the network only once.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = in_evaluation_mode(network)
        self._scores: dict[int, Tensor] = {}
        self.eval()

    @torch.no_grad()
    def forward(self, batch: Tensor) -> Tensor:
        key = hash(batch.numpy().tobytes())
        if key not in self._scores:
            if len(self._scores) == _KEPT:
                del self._scores[next(iter(self._scores))]
            self._scores[key] = self._network(batch)
        return self._scores[key]


def later_methods_explorer(network: Network) -> Explorer:
    """Return the explorer of later methods: photo, class, method, and trained or random network.

    Chapter *What came after*.

    Raises
    ------
    ValueError
        If the network has no class activation map, or no module that is a ReLU.
    """
    check_network(network)
    seeded = torch.Generator().manual_seed(0)
    blank = randomize_layers(network, layers_top_down(network), generator=seeded)
    assert isinstance(blank, Network)
    networks = {_TRAINED: network, _RANDOM: blank}
    recalling = {name: _Recalling(one) for name, one in networks.items()}
    methods = _methods(network)

    @lru_cache(maxsize=1)
    def photo_and_class(photo: str | Tensor) -> tuple[Tensor, int]:
        image = images.fit_photo(photo_of(photo), network)[0][None]
        return image, top_classes(network, image, 1)[0][0].index

    # the random network's map is compared with the trained one's, which was just computed
    @lru_cache(maxsize=2)
    def values_of(photo: str | Tensor, target: int, method: str, name: str) -> Tensor:
        one = recalling[name] if method == _OCCLUSION else networks[name]
        return methods[method](one, photo_and_class(photo)[0], target)

    def answer(state: State) -> Answer:
        photo, method, name = state["photo"], state["method"], state["network"]
        image, target = photo_and_class(photo)
        if state["class"] != _FIRST:
            target = class_asked_for(network, state["class"])
        trained, values = (values_of(photo, target, method, one) for one in (_TRAINED, name))
        shown = _read(values, image)
        likeness = _similarity(shown, _read(trained, image))
        score = class_score(recalling[name], image, target)
        numbers = {
            "class": network.class_names[target],
            "class score": f"{score.item():z.1f}",
            "similarity to the trained network's map": likeness,
            "similarity to the photo's edges": _similarity(shown, edge_maps(image)),
        }
        if method == _INTEGRATED:
            change = score - class_score(recalling[name], torch.zeros_like(image), target)
            numbers[_SUMS] = f"{values.sum():z.1f} ({change.item():z.1f})"
        alt = (
            f"Map of {network.class_names[target]} by {method}; network: {name}. It is "
            f"{_highest(shown[0])}, similarity {likeness} to the trained network's."
        )
        is_signed = method in (_CAM, _OCCLUSION)
        kind = "signed" if is_signed else _PART[values.ndim]
        panels = [
            Panel("photo", f"The photo, cropped: {photo_title(photo)}.", image[0]),
            map_panel(alt, shown[0], grainy=True, signed=is_signed)._replace(title=f"map, {kind}"),
        ]
        return Answer(panels, numbers)

    controls = [
        Control("photo", "Photo", ("coffee", "cat"), "photo"),
        Control("class", "Class", (_FIRST, "goldfish"), "list", free="or any class"),
        Control("method", "Method", tuple(methods), "list", _CAM),
        Control("network", "Network", tuple(networks), "list"),
    ]
    return Explorer(
        "What came after",
        controls,
        lambda states: [answer(state) for state in states],
        door={"panel": "photo", "photo": "{photo}", "class": "{class}", "map": "cam"},
    )


def _methods(network: Network) -> dict[str, Method]:
    """Return the methods by name; their values are (1, C, H, W) or (1, h, w)."""
    return {
        "gradient": image_gradient,
        _CAM: class_activation_map,
        **_finer_grad_cam(network),
        "guided Grad-CAM": guided_grad_cam,
        _INTEGRATED: _integrated_gradients,
        _OCCLUSION: _occlusion,
    }


def _finer_grad_cam(network: Network) -> dict[str, Method]:
    """Return Grad-CAM at the last stage that has more positions than CAM's map.

    At the last activation itself, Grad-CAM is CAM's positive part up to a factor.
    """
    mean = network.normalization.mean
    blank = mean.new_zeros(1, network.input_channels, *network.input_size)
    coarse = class_activation_map(network, blank, 0).shape
    for layer in reversed(stages(network)):
        fine = grad_cam(network, blank, 0, layer).shape
        if fine > coarse:
            return {f"Grad-CAM at {fine[1]} × {fine[2]}": partial(grad_cam, layer=layer)}
    return {}


def _integrated_gradients(network: Network, image: Tensor, target: int) -> Tensor:
    black = image.new_zeros(())
    return integrated_gradients(network, image, target, baseline=black, steps=_STEPS)


def _occlusion(network: Network, image: Tensor, target: int) -> Tensor:
    side = image.shape[-1] // 4
    gray = image.new_tensor(0.5)
    return occlusion(network, image, target, replacement=gray, patch=side, stride=side // 2)


def _read(values: Tensor, image: Tensor) -> Tensor:
    """Return a method's values as a map (1, H, W) of the image's size."""
    if values.ndim == 4:
        return values.abs().amax(1)
    return F.interpolate(values[:, None], image.shape[2:], mode="bilinear")[:, 0]


def _similarity(shown: Tensor, other: Tensor) -> str:
    """Return the rank correlation of two maps; one that is flat has no ranks."""
    if any(values.min() == values.max() for values in (shown, other)):
        return "none"
    return f"{rank_correlation(shown, other).item():z.2f}"


def _highest(shown: Tensor) -> str:
    """Return where a map (H, W) is highest, in words."""
    if not shown.any():
        return "0 everywhere"
    height, width = shown.shape
    row, column = divmod(int(shown.argmax()), width)
    return f"highest at {column / width:.0%} of the width and {row / height:.0%} of the height"
