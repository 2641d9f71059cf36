"""The explorer of limits: layers made random, and pixels taken away (after the paper)."""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from deepinside import images
from deepinside.class_score import ClassScore, class_probability, top_classes
from deepinside.deconvnet import pseudo_gradient
from deepinside.explorers.deconvnet import RULES
from deepinside.explorers.packing import Answer, Curve, Panel, map_panel
from deepinside.explorers.widget import (
    Control,
    Explorer,
    State,
    photo_of,
    photo_title,
)
from deepinside.limits import (
    area_under,
    blurred,
    edge_maps,
    layers_top_down,
    randomize_layers,
    rank_correlation,
)
from deepinside.networks import Network
from deepinside.networks.network import check_network

_LAYERS, _PIXELS = "layers", "pixels"
_COUNTS = (0, 1, 2, 5, 10, 20, 35)
_EDGES, _RANDOM = "edges of the photo", "random order"
_SHARES = (0, 10, 20, 30, 50, 70, 100)
# pixels go in squares, so many a side, and the curve has so many steps
_SQUARES, _STEPS = 28, 10
# what is kept of the photos of the grid, and of a reader's last one
_KEPT = 32


def limits_explorer(network: Network) -> Explorer:
    """Return the explorer of two tests: random layers, and pixels replaced by the blurred photo.

    In the first test, how many layers are random, the rule for ReLU, and the photo. In the
    second, in which order pixels are replaced, and how many. After the paper, chapter *Limits*.
    """
    check_network(network)
    layers = layers_top_down(network)
    counts = (*(count for count in _COUNTS if count < len(layers)), len(layers))

    @lru_cache(maxsize=len(counts))
    def forgetful(count: int) -> Network:
        seeded = torch.Generator().manual_seed(0)
        blank = randomize_layers(network, layers[:count], generator=seeded)
        assert isinstance(blank, Network)
        return blank

    @lru_cache(maxsize=_KEPT)
    def image_and_class(photo: str | Tensor) -> tuple[Tensor, ClassScore]:
        image = images.fit_photo(photo_of(photo), network)[0][None]
        return image, top_classes(network, image, 1)[0][0]

    @lru_cache(maxsize=_KEPT)
    def blurred_photo(photo: str | Tensor) -> Tensor:
        return blurred(image_and_class(photo)[0])

    @lru_cache(maxsize=_KEPT)
    def trained_map(photo: str | Tensor, rule: str) -> Tensor:
        image, asked = image_and_class(photo)
        return _magnitudes(network, image, asked.index, rule)

    @lru_cache(maxsize=_KEPT)
    def says(photo: str | Tensor, count: int) -> ClassScore:
        return top_classes(forgetful(count), image_and_class(photo)[0], 1)[0][0]

    @lru_cache(maxsize=_KEPT)
    def squares_and_curve(photo: str | Tensor, order: str) -> tuple[Tensor, list[float]]:
        """Return what an order goes by, one value a square, and the class probabilities."""
        image, asked = image_and_class(photo)
        if order == _RANDOM:
            seeded = torch.Generator().manual_seed(0)
            squares = torch.rand(_SQUARES, _SQUARES, generator=seeded, dtype=image.dtype)
        else:
            fine = edge_maps(image) if order == _EDGES else trained_map(photo, order)
            squares = F.adaptive_avg_pool2d(fine, _SQUARES)[0]
        # of whole squares, as the picture is: `deletion_curve` would cut one at most steps
        blank, shares = blurred_photo(photo), [k / _STEPS for k in range(_STEPS + 1)]
        steps = torch.cat([_replaced(image, blank, squares, share) for share in shares])
        return squares, class_probability(network, steps, asked.index).tolist()

    def of_layers(state: State) -> Answer:
        image, asked = image_and_class(state["photo"])
        # between two values of the slider there may be half a layer
        count, rule = round(state["layers"]), state["rule"]
        trained, said = trained_map(state["photo"], rule), says(state["photo"], count)
        random = _magnitudes(forgetful(count), image, asked.index, rule)
        # a network that ends in a ReLU may give a class 0, and no pixel a part in it
        has_ranks = all(found.min() < found.max() for found in (trained, random))
        rank = f"{rank_correlation(trained, random).item():.2f}" if has_ranks else "none"
        told = f"Map of {photo_title(state['photo'])}, {asked.name}, by the rule {rule}"
        panels = [
            _map_panel("trained network", f"{told}, of the trained network.", trained[0]),
            _map_panel(
                f"{count} of {len(layers)} random",
                f"{told}, with {count} layers random: rank correlation {rank}.",
                random[0],
            ),
        ]
        numbers = {
            "rank correlation of the two maps": rank,
            "random network says": f"{said.name} ({said.probability:.2f})",
        }
        return Answer(panels, numbers)

    def of_pixels(state: State) -> Answer:
        image, asked = image_and_class(state["photo"])
        order, share = state["order"], state["share"] / 100
        squares, curve = squares_and_curve(state["photo"], order)
        seen = _replaced(image, blurred_photo(state["photo"]), squares, share)
        step = round(share * _STEPS)
        mark = step if math.isclose(share * _STEPS, step) else None
        # between two steps of the curve the network is asked again
        p = class_probability(network, seen, asked.index).item() if mark is None else curve[mark]
        now = f"{p:.2f}"
        title = photo_title(state["photo"])
        panels = [
            map_panel(f"{title} in squares: {order}.", squares)._replace(title=order),
            Panel(
                f"{share:.0%} replaced",
                f"{title}, {share:.0%} of it replaced by the blurred photo, highest first by "
                f"{order}: probability of {asked.name} {now}.",
                seen[0],
                grainy=True,
            ),
        ]
        numbers = {
            f"probability of {asked.name}": now,
            "area under the curve": f"{area_under(torch.tensor([curve])).item():.2f}",
        }
        words = f"class probability; in each step {1 / _STEPS:.0%} is replaced"
        return Answer(panels, numbers, Curve(words, _STEPS, curve, mark))

    def answer(state: State) -> Answer:
        return of_layers(state) if state["test"] == _LAYERS else of_pixels(state)

    controls = [
        Control("test", "What is changed", (_LAYERS, _PIXELS), "list"),
        Control(
            "layers",
            "Random layers, from the last one on",
            counts,
            start=len(layers),
            needs=("test", _LAYERS),
        ),
        Control(
            "rule",
            "Rule for ReLU",
            tuple(RULES),
            "list",
            "guided back-propagation",
            needs=("test", _LAYERS),
        ),
        Control(
            "share", "Percent of the photo replaced", _SHARES, start=20, needs=("test", _PIXELS)
        ),
        Control(
            "order",
            "Replaced first: the highest of",
            ("gradient", "guided back-propagation", _EDGES, _RANDOM),
            "list",
            needs=("test", _PIXELS),
        ),
        Control("photo", "Photo", ("cat", "coffee", "astronaut"), "photo"),
    ]
    return Explorer(
        "Two tests of maps",
        controls,
        lambda states: [answer(s) for s in states],
        door={"panel": "photo", "photo": "{photo}", "rule": "guided", "random": "1"},
    )


def _magnitudes(network: Network, image: Tensor, target: int, rule: str) -> Tensor:
    return pseudo_gradient(network, image, target, rule=RULES[rule]).abs().amax(1)


def _map_panel(title: str, alt: str, saliency: Tensor) -> Panel:
    return map_panel(alt, saliency, grainy=True)._replace(title=title)


def _replaced(image: Tensor, other: Tensor, squares: Tensor, share: float) -> Tensor:
    """Return the image with a share of its squares, the highest, taken from another."""
    order = squares.flatten().argsort(descending=True, stable=True)
    gone = torch.zeros(_SQUARES**2)
    gone[order[: round(share * _SQUARES**2)]] = 1
    mask = F.interpolate(gone.view(1, 1, _SQUARES, _SQUARES), image.shape[2:]) > 0
    return torch.where(mask, other, image)
