"""The explorer of scores and soft-max: what moves a probability, and its gradient (paper §2)."""

import torch
from torch import Tensor

from deepinside import images
from deepinside.class_score import check_images, class_indices
from deepinside.explorers.packing import Answer, bar_panel
from deepinside.explorers.widget import Control, Explorer, State
from deepinside.networks import Network
from deepinside.networks.network import check_network
from deepinside.networks.scores import gradient_by

_ASKED, _RIVAL = "tabby", "tiger cat"
_NAMES = (_ASKED, _RIVAL, "Egyptian cat", "lynx")
_OWN, _OTHERS = (-4, -2, 0, 2, 4, 6), (-4, -2, 0, 2, 4)


def soft_max_explorer(network: Network) -> Explorer:
    """Return the explorer of scores and soft-max: the scores of a cat's photo, moved.

    Moving a score is what another bias in the last layer does: it leaves the gradient of each
    class score as it is, and changes that of the probability. Paper §2, chapter *The network as
    a function of its input*.

    Parameters
    ----------
    network : Network
        A classifier of ImageNet's classes.
    """
    check_network(network)
    scores, gradients = _scores_and_gradients(network)
    products = gradients @ gradients.T
    norm_of_score = products[0, 0].sqrt()
    highest = scores[: len(_NAMES)].max().item() + max(_OWN) + max(_OTHERS)
    chosen = torch.zeros_like(scores)
    chosen[0] = 1

    def answer(state: State) -> Answer:
        moved = scores + state["all"]
        moved[0] += state["own"]
        moved[1] += state["rival"]
        probabilities = moved.softmax(0)
        # how much of each score's gradient is in that of the probability
        slopes = probabilities[0] * (chosen - probabilities)
        norm = (slopes @ products @ slopes).sqrt()
        cosine = (products[0] @ slopes) / (norm * norm_of_score)
        named = [
            dict(zip(_NAMES, v.tolist(), strict=False)) for v in (moved, probabilities, slopes)
        ]
        panels = [
            bar_panel("class score", named[0], (0, highest), digits=1),
            bar_panel("probability", named[1], (0, 1), digits=3),
            bar_panel(f"∂P({_ASKED}) / ∂score", named[2], (-0.25, 0.25), digits=3),
        ]
        numbers = {
            f"P({_ASKED})": f"{probabilities[0]:.3f}",
            "∂P/∂I, norm": f"{norm:.2f}",
            "∂S/∂I, norm": f"{norm_of_score:.2f}",
            "cosine of the two": f"{cosine:z.2f}",
        }
        return Answer(panels, numbers)

    controls = [
        Control("own", f"Add to {_ASKED}'s score", _OWN, start=0),
        Control("rival", f"Add to {_RIVAL}'s score", _OTHERS, start=0),
        Control("all", "Add to all scores", _OTHERS, start=0),
    ]
    return Explorer(
        "Scores and soft-max",
        controls,
        lambda states: [answer(s) for s in states],
        door={"panel": "photo", "photo": "cat", "class": _ASKED, "other": _RIVAL},
    )


def _scores_and_gradients(network: Network) -> tuple[Tensor, Tensor]:
    """Return the scores of the named classes, (n + 1,), and their gradients, (n + 1, pixels).

    The last one is log-sum-exp of all other scores: soft-max treats them as one class of that
    score.
    """
    named = class_indices(_NAMES, len(_NAMES), network.class_names)

    def scores_of(image: Tensor) -> Tensor:
        found = network(image)[0]
        others = torch.ones_like(found, dtype=torch.bool)
        others[named] = False
        return torch.stack([*found[named], found[others].logsumexp(0)])

    with torch.inference_mode(False), torch.enable_grad():
        image = images.fit_photo(images.load_photo("cat"), network)[0][None].requires_grad_()
        check_images(network, image)
        scores = scores_of(image)
        gradients = [gradient_by(scores_of(image)[i], image)[0] for i in range(len(scores))]
    return scores.detach().double(), torch.stack(gradients).flatten(1).double()
