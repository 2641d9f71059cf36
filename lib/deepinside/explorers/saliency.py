"""The explorer of saliency maps: photo, class, and how the map is made (paper §3.1)."""

from collections.abc import Callable

import torch
from scipy.stats import spearmanr
from torch import Tensor

from deepinside import images
from deepinside.class_score import top_classes
from deepinside.explorers.packing import Answer, Panel, map_panel
from deepinside.explorers.widget import (
    Control,
    Explorer,
    State,
    class_asked_for,
    photo_of,
    photo_title,
)
from deepinside.networks import Network
from deepinside.networks.network import check_network
from deepinside.saliency import gradient_times_input, image_gradient, saliency_map, smooth_grad

_COPIES = 8


def _smooth_grad(network: Network, image: Tensor, target: int, *, squared: bool = False) -> Tensor:
    seeded = torch.Generator().manual_seed(0)
    return smooth_grad(network, image, target, generator=seeded, samples=_COPIES, squared=squared)


_WAYS: dict[str, Callable[[Network, Tensor, int], Tensor]] = {
    "largest magnitude (the paper's)": saliency_map,
    "mean magnitude": lambda n, x, c: image_gradient(n, x, c).abs().mean(1),
    "positive part": lambda n, x, c: image_gradient(n, x, c).clamp(min=0).amax(1),
    "gradient × input": lambda n, x, c: gradient_times_input(n, x, c).abs().amax(1),
    "SmoothGrad": _smooth_grad,
    # the root has the unit of the other maps, and a brightest twentieth to be compared with theirs
    "SmoothGrad, root of squares": lambda n, x, c: _smooth_grad(n, x, c, squared=True).sqrt(),
}
_RANKS = ("the network's 1st", "the network's 2nd")


def saliency_explorer(network: Network) -> Explorer:
    """Return the explorer of saliency maps: photo, class, and how the map is made.

    Paper §3.1, chapter *Saliency maps*.
    """
    check_network(network)

    def answer(state: State) -> Answer:
        image = images.fit_photo(photo_of(state["photo"]), network)[0][None]
        best = top_classes(network, image, len(network.class_names))[0]
        target = state["class"]
        if target in _RANKS:
            target = best[_RANKS.index(target)].index
        else:
            target = class_asked_for(network, target)
        asked = next(known for known in best if known.index == target)
        saliency = _WAYS[state["map"]](network, image, target)[0]
        # the paper's map, of the network's first class
        first = saliency_map(network, image)[0]
        has_ranks = all(found.min() < found.max() for found in (saliency, first))
        rank = "none"
        if has_ranks:
            rank = f"{spearmanr(saliency.flatten(), first.flatten()).statistic:.2f}"
        alt = f"Map of {asked.name} by {state['map']}: "
        if total := saliency.sum():
            top = saliency.flatten().topk(max(1, saliency.numel() // 20)).values.sum() / total
            alt += f"the brightest twentieth holds {top:.0%} of it."
        else:
            alt += "0 everywhere."
        photo = f"The photo, cropped: {photo_title(state['photo'])}."
        numbers = {
            "class": asked.name,
            "class score": f"{asked.score:.1f}",
            "class probability": f"{asked.probability:.2f}",
            "rank correlation with the paper's map, 1st class": rank,
        }
        return Answer(
            [Panel("photo", photo, image[0]), map_panel(alt, saliency, grainy=True)], numbers
        )

    controls = [
        Control("photo", "Photo", ("cat", "coffee", "rocket"), "photo"),
        Control("class", "Class", (*_RANKS, "goldfish"), "list", free="or any class"),
        Control("map", "How the map is made", tuple(_WAYS), "list"),
    ]
    return Explorer(
        "Saliency maps",
        controls,
        lambda states: [answer(state) for state in states],
        door={"panel": "photo", "photo": "{photo}", "class": "{class}"},
    )
