"""The explorer of randomized layers: what maps are of a network that forgot (after the paper)."""

from functools import lru_cache

import torch
from torch import Tensor

from deepinside import images
from deepinside.class_score import top_classes
from deepinside.deconvnet import pseudo_gradient
from deepinside.explorers.deconvnet import RULES
from deepinside.explorers.packing import Answer, Panel, map_panel
from deepinside.explorers.widget import Control, Explorer, State, photo_of, photo_title
from deepinside.limits import layers_top_down, randomize_layers, rank_correlation
from deepinside.networks import Network

_COUNTS = (0, 1, 2, 5, 10, 20, 35)


def limits_explorer(network: Network) -> Explorer:
    """Return the explorer of randomized layers: how many of them, photo, and rule.

    After the paper, chapter *Limits*.
    """
    layers = layers_top_down(network)
    counts = (*(count for count in _COUNTS if count < len(layers)), len(layers))

    @lru_cache(maxsize=len(counts))
    def forgetful(count: int) -> Network:
        seeded = torch.Generator().manual_seed(0)
        blank = randomize_layers(network, layers[:count], generator=seeded)
        assert isinstance(blank, Network)
        return blank

    def answer(state: State) -> Answer:
        image = images.fit_photo(photo_of(state["photo"]), network)[0][None]
        # between two values of the slider there may be half a layer
        count, rule = round(state["layers"]), state["rule"]
        blank, asked = forgetful(count), top_classes(network, image, 1)[0][0]
        trained, random = (
            pseudo_gradient(net, image, asked.index, rule=RULES[rule]).abs().amax(1)
            for net in (network, blank)
        )
        says = top_classes(blank, image, 1)[0][0]
        # a network that ends in a ReLU may give a class 0, and no pixel a part in it
        rank = f"{rank_correlation(trained, random).item():.2f}" if random.any() else "none"
        title = photo_title(state["photo"])
        told = f"Map of {title}, {asked.name}, by the rule {rule}"
        panels = [
            _map_panel("trained network", f"{told}, of the trained network.", trained[0]),
            _map_panel(
                f"{count} of {len(layers)} random",
                f"{told}, with {count} layers random: similarity {rank}.",
                random[0],
            ),
        ]
        numbers = {
            "similarity of the two maps": rank,
            "randomized network says": f"{says.name} ({says.probability:.2f})",
        }
        return Answer(panels, numbers)

    controls = [
        Control("layers", "Random layers, from the last one on", counts, start=len(layers)),
        Control("rule", "Rule for ReLU", tuple(RULES), "list", "guided back-propagation"),
        Control("photo", "Photo", ("cat", "coffee", "astronaut"), "photo"),
    ]
    return Explorer(
        "Randomized layers", controls, lambda states: [answer(state) for state in states]
    )


def _map_panel(title: str, alt: str, saliency: Tensor) -> Panel:
    return map_panel(alt, saliency, grainy=True)._replace(title=title)
