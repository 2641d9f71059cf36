"""The explorer of the three rules for ReLU: photo, layer to start from, and rule (paper §4)."""

import torch
from torch import Tensor

from deepinside import images
from deepinside.deconvnet import pseudo_gradient, reconstruction
from deepinside.explorers.packing import Answer, Panel
from deepinside.explorers.widget import Control, Explorer, State, photo_of, photo_title
from deepinside.networks import Network

# what a reader chooses among, and the names in the package
RULES = {
    "gradient": "gradient",
    "DeconvNet": "deconvnet",
    "guided back-propagation": "guided",
}
_LAYERS = {
    "class score": None,
    **{f"stage {i}": f"layers.blocks.{i}" for i in range(5, 0, -1)},
    "first convolution": "layers.bn1",
}


def deconvnet_explorer(network: Network) -> Explorer:
    """Return the explorer of the three ReLU rules: photo, layer to start from, and rule.

    Paper §4, chapter *Gradient and DeconvNet*.
    """

    def answer(state: State) -> Answer:
        image = images.fit_photo(photo_of(state["photo"]), network)[0]
        layer, rule = _LAYERS[state["layer"]], state["rule"]
        signal = _carried_back(network, image, layer, RULES[rule])
        norm = signal.norm() / _carried_back(network, image, layer, "gradient").norm()
        likeness = torch.corrcoef(torch.stack([signal.flatten(), image.flatten()]))[0, 1]
        end = signal.abs().flatten().quantile(0.99)
        title = photo_title(state["photo"])
        alt = (
            f"{title}: from {state['layer']} by the rule {rule}, "
            f"correlation {likeness:z.2f} with the photo."
        )
        panels = [
            Panel("photo", f"The photo, cropped: {title}.", image),
            Panel("signal, gray is zero", alt, 0.5 + 0.5 * signal / end, grainy=True),
        ]
        numbers = {
            "correlation with the photo": f"{likeness:z.2f}",
            "norm, over that of the gradient's signal": f"{norm:.3g}",
        }
        return Answer(panels, numbers)

    controls = [
        Control("photo", "Photo", ("cat", "coffee", "rocket"), "photo"),
        Control("layer", "Signal starts from", tuple(_LAYERS), "list", "stage 2"),
        Control("rule", "Rule for ReLU", tuple(RULES), "list", "guided back-propagation"),
    ]
    return Explorer(
        "Gradient and DeconvNet", controls, lambda states: [answer(state) for state in states]
    )


def _carried_back(network: Network, image: Tensor, layer: str | None, rule: str) -> Tensor:
    if layer is None:
        return pseudo_gradient(network, image[None], rule=rule)[0]
    return reconstruction(network, image[None], layer, rule=rule)[0]
