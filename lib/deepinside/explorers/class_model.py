"""The explorer of class models: class, start, λ and α (paper §2)."""

import base64

import torch
from torch import Tensor
from torch.nn import functional as F

from deepinside import digits, images
from deepinside.class_model import class_model
from deepinside.class_score import class_probability
from deepinside.explorers.packing import Answer, Curve, Panel
from deepinside.explorers.widget import Control, Explorer, State
from deepinside.networks import Network
from deepinside.networks.network import check_network

_STEPS, _SNAPSHOTS = 100, 11
# the snapshots that are played: every twenty steps
_FRAMES = slice(None, None, 2)


def class_model_explorer(network: Network, judge: Network) -> Explorer:
    """Return the explorer of class models of digits: class, start, λ and α.

    Paper §2, chapter *Class models*.

    Parameters
    ----------
    network : Network
        The digits network, which is climbed.
    judge : Network
        A second network for digits, of canvases at least as large. The class model is
        placed in the middle of a black one.

    Raises
    ------
    ValueError
        If the networks are not such.
    """
    check_network(network)
    check_network(judge)
    for each in (network, judge):
        if each.class_names != digits.CLASS_NAMES or each.input_channels != 1:
            raise ValueError(f"expected two networks for gray images of digits, got {each.name}")
    if any(one < other for one, other in zip(judge.input_size, network.input_size, strict=True)):
        raise ValueError(
            f"expected a judge of images of {network.input_size} or more, got {judge.input_size}"
        )
    mean = network.normalization.mean
    seeded = torch.Generator().manual_seed(0)
    noise = torch.randn(1, *network.input_size, generator=seeded).to(mean)
    starts = {
        "zero image": mean,
        "noise": mean + 0.1 * noise,
        "a handwritten 3": digits.load_digits().images[320],
    }

    def start_of(state: State) -> Tensor:
        if isinstance(state["start"], str):
            return starts[state["start"]]
        return images.squashed(network, [state["start"]], network.input_size)[0]

    def answers(states: list[State]) -> list[Answer]:
        begun = torch.stack([start_of(state) for state in states])
        found = class_model(
            network,
            [state["class"] for state in states],
            l2_weight=[state["l2_weight"] for state in states],
            step_size=[state["step_size"] for state in states],
            steps=_STEPS,
            start=begun,
            snapshots=_SNAPSHOTS,
            diverging="mark",
        )
        scores, probabilities = found.class_scores, found.class_probabilities[-1]
        weights = torch.tensor([state["l2_weight"] for state in states])
        climbed = scores - weights * found.norms.square()
        seen = found.images.nan_to_num(0.5).clamp(0, 1)
        judged = class_probability(judge, _in_the_middle(seen, judge.input_size), found.classes)
        return [
            _answer(
                state["class"],
                begun[i],
                found.snapshots[_FRAMES, i],
                {
                    "objective, start to end": f"{climbed[0, i]:.1f} to {climbed[-1, i]:.1f}",
                    "norm of the image less the mean": f"{found.norms[-1, i]:.1f}",
                    "probability, by the climbed network": f"{probabilities[i]:.2f}",
                    "probability, by a second network": f"{judged[i]:.2f}",
                },
                scores[:, i].tolist(),
            )
            for i, state in enumerate(states)
        ]

    controls = [
        Control("class", "Class", digits.CLASS_NAMES, "list", "8"),
        Control("start", "Start", tuple(starts), "photo"),
        Control("l2_weight", "λ, penalty", (0.1, 1.0, 3.0, 10.0), start=1.0, log=True),
        Control("step_size", "α, step size", (0.003, 0.03, 0.3), start=0.03, log=True),
    ]
    page = {
        "name": "class_model",
        "starts": {name: _float32(image) for name, image in starts.items()},
    }
    door = {
        "panel": "class_model",
        "class": "{class}",
        "lambda": "{l2_weight}",
        "alpha": "{step_size}",
    }
    return Explorer("Class models of digits", controls, answers, page, door)


def _answer(
    name: str, begun: Tensor, frames: Tensor, numbers: dict[str, str], scores: list[float]
) -> Answer:
    image = frames[-1]
    if image.isfinite().all():
        bright, dark = (image > 0.6).double().mean(), (image < 0.1).double().mean()
        alt = (
            f"Class model of {name} after {_STEPS} steps, {bright:.0%} of it bright, "
            f"{dark:.0%} dark."
        )
    else:
        numbers = dict.fromkeys(numbers, "diverged")
        alt = f"No image: the ascent of {name} diverged."
    start = Panel("start", f"Where the ascent of {name} started.", begun)
    side_by_side = torch.cat([*frames.nan_to_num(0.5)], dim=-1)
    model = Panel(f"class model of {name}", alt, side_by_side, frames=len(frames))
    return Answer([start, model], numbers, Curve("class score", _STEPS, scores))


def _float32(image: Tensor) -> str:
    return base64.b64encode(image.numpy().astype("<f4").tobytes()).decode("ascii")


def _in_the_middle(small: Tensor, size: tuple[int, int]) -> Tensor:
    """Return images in the middle of black ones of a size (height, width)."""
    (height, width), (h, w) = size, small.shape[-2:]
    top, left = (height - h) // 2, (width - w) // 2
    return F.pad(small, (left, width - w - left, top, height - h - top))
