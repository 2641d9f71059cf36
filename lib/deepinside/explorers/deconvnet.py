"""The explorer of the three rules for ReLU: photo, layer to start from, and rule (paper §4)."""

import torch
from torch import Tensor

from deepinside import images
from deepinside.deconvnet import pseudo_gradient, reconstruction, relu_shape
from deepinside.explorers.packing import Answer, Panel
from deepinside.explorers.widget import (
    Control,
    Explorer,
    State,
    photo_of,
    photo_title,
)
from deepinside.networks import Network
from deepinside.networks.network import check_network
from deepinside.object_maps import stage_names

# what a reader chooses among, and the names in the package
RULES = {
    "gradient": "gradient",
    "DeconvNet": "deconvnet",
    "guided back-propagation": "guided",
}


def deconvnet_explorer(network: Network) -> Explorer:
    """Return the explorer of the three ReLU rules: photo, layer to start from, and rule.

    The signal starts from the class score, from all activations of one of the network's stages
    (the first five, as in object maps), or from its first ReLU. Paper §4, chapter *Gradient and
    DeconvNet*.

    Raises
    ------
    ValueError
        If the network has no module that is a ReLU.
    """
    check_network(network)
    layers = _layers(network)

    def answer(state: State) -> Answer:
        image = images.fit_photo(photo_of(state["photo"]), network)[0]
        layer, rule = layers[state["layer"]], state["rule"]
        signal = _carried_back(network, image, layer, RULES[rule])
        gradient = _carried_back(network, image, layer, "gradient").norm()
        norm = f"{signal.norm() / gradient:.3g}" if gradient else "none"
        # a signal of zeros is like nothing, and nor is any like a photo of one color
        both = torch.stack([signal.flatten(), image.flatten()])
        is_flat = bool((both.amin(1) == both.amax(1)).any())
        likeness = "none" if is_flat else f"{torch.corrcoef(both)[0, 1]:z.2f}"
        end = signal.abs().flatten().quantile(0.99)
        title = photo_title(state["photo"])
        alt = (
            f"{title}: from {state['layer']} by the rule {rule}, "
            f"correlation {likeness} with the photo."
        )
        shown = 0.5 + 0.5 * signal / (end or 1)
        panels = [
            Panel("photo", f"The photo, cropped: {title}.", image),
            Panel("signal, gray is zero", alt, shown, grainy=True),
        ]
        numbers = {
            "correlation with the photo": likeness,
            "norm, over that of the gradient's signal": norm,
        }
        return Answer(panels, numbers)

    controls = [
        Control("photo", "Photo", ("cat", "coffee", "rocket"), "photo"),
        Control("layer", "Signal starts from", tuple(layers), "list", "stage 2"),
        Control("rule", "Rule for ReLU", tuple(RULES), "list", "guided back-propagation"),
    ]
    page = {"name": "deconvnet", "layers": layers, "rules": RULES}
    return Explorer(
        "Gradient and DeconvNet",
        controls,
        lambda states: [answer(state) for state in states],
        page if network.name == "squeezenet" else None,
        {"panel": "photo", "photo": "{photo}", "map": "signed", "rule": "guided"},
    )


def _layers(network: Network) -> dict[str, str | None]:
    """Return where the signal can start, by what a reader is told, from the scores down."""
    relus = [name for name, module in network.named_modules() if relu_shape(module)]
    if not relus:
        raise ValueError(f"expected a network with ReLUs that are modules, got {network.name}")
    stages = {f"stage {i}": name for i, name in enumerate(stage_names(network)[:5], 1)}
    return {"class score": None, **dict(reversed(stages.items())), "first convolution": relus[0]}


def _carried_back(network: Network, image: Tensor, layer: str | None, rule: str) -> Tensor:
    if layer is None:
        return pseudo_gradient(network, image[None], rule=rule)[0]
    return reconstruction(network, image[None], layer, rule=rule)[0]
