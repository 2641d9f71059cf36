"""The explorers of the chapters: their controls, and what each state of them answers.

Each function here returns the widget that one chapter shows, with the answers to its grid
computed. What they show is computed by the same helpers as the rest of the chapter.
"""

import copy
from collections.abc import Sequence

import torch
from scipy.stats import spearmanr
from torch import Tensor

from deepinside import digits, images, plots
from deepinside.class_model import class_model
from deepinside.class_score import class_index, top_classes
from deepinside.deconvnet import RULES, pseudo_gradient, reconstruction
from deepinside.explorers.widget import Answer, Control, Curve, Explorer, Panel, State
from deepinside.localization import (
    graph_cut_localization,
    rescaled_box,
    threshold_localization,
)
from deepinside.measures import iou
from deepinside.networks import Network
from deepinside.object_maps import object_maps
from deepinside.saliency import gradient_times_input, image_gradient, saliency_map, smooth_grad

_STEPS, _SNAPSHOTS = 100, 11
_MAGNITUDE = ("magma", "0", "99th percentile")
_COPIES = 16
PhotoOrName = str | Tensor


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
    """
    mean = network.normalization.mean
    noise = torch.randn(1, *network.input_size, generator=torch.Generator().manual_seed(0))
    starts = {
        "zero image": mean,
        "noise": mean + 0.1 * noise,
        "a handwritten 3": digits.load_digits().images[320],
    }

    def start_of(state: State) -> Tensor:
        if isinstance(state["start"], str):
            return starts[state["start"]]
        return images.squash_photo(state["start"], network.input_size).mean(0, keepdim=True)

    def answers(states: list[State]) -> list[Answer]:
        begun = torch.stack([start_of(one) for one in states])
        found = class_model(
            network,
            [one["class"] for one in states],
            l2_weight=[one["l2_weight"] for one in states],
            step_size=[one["step_size"] for one in states],
            steps=_STEPS,
            start=begun,
            snapshots=_SNAPSHOTS,
            diverging="mark",
        )
        seen = found.images.nan_to_num(0.5).clamp(0, 1)
        judged = _centered_on_canvas(seen, judge.input_size)
        with torch.no_grad():
            probabilities = judge(judged).softmax(1)[torch.arange(len(states)), found.classes]
        return [
            _class_model_answer(
                state["class"],
                begun[i],
                found.images[i],
                found.class_scores[:, i],
                {
                    "class score": f"{found.class_scores[-1, i]:.1f}",
                    "probability": f"{found.class_probabilities[-1, i]:.2f}",
                    "judge's probability": f"{probabilities[i]:.2f}",
                    "length": f"{found.norms[-1, i]:.1f}",
                },
            )
            for i, state in enumerate(states)
        ]

    controls = [
        Control("class", "Class", digits.CLASS_NAMES, "list", "8"),
        Control("start", "Start", tuple(starts), "photo"),
        Control("l2_weight", "λ", (0.03, 0.1, 0.3, 1.0, 3.0, 10.0), start=1.0, log=True),
        Control(
            "step_size", "α, step size", (0.001, 0.003, 0.01, 0.03, 0.1, 0.3), "slider", 0.03, True
        ),
    ]
    return Explorer("Class models of digits", controls, answers)


def _class_model_answer(
    name: str, begun: Tensor, image: Tensor, scores: Tensor, numbers: dict[str, str]
) -> Answer:
    diverged = not image.isfinite().all()
    if diverged:
        numbers = dict.fromkeys(numbers, "diverged")
        alt = f"No image: the ascent of {name} diverged."
    else:
        alt = f"Class model of {name} after {_STEPS} steps, {_in_words(image)}."
    model = Panel(f"class model of {name}", alt, image.nan_to_num(0.5))
    start = Panel("start", f"Where the ascent of {name} started.", begun)
    curve = Curve("class score", _STEPS, scores.tolist())
    return Answer([start, model], numbers, curve)


def _in_words(image: Tensor) -> str:
    """Say how much of a gray image is bright, dark and in between."""
    bright, dark = (image > 0.6).double().mean(), (image < 0.1).double().mean()
    return f"{bright:.0%} of it bright, {dark:.0%} dark"


def _centered_on_canvas(small: Tensor, size: tuple[int, int]) -> Tensor:
    canvas = small.new_zeros(*small.shape[:2], *size)
    height, width = small.shape[-2:]
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas[..., top : top + height, left : left + width] = small
    return canvas


def saliency_explorer(network: Network) -> Explorer:
    """Return the explorer of saliency maps: photo, class, and how the map is made.

    Paper §3.1, chapter *Saliency maps*.
    """
    ways = {
        "largest magnitude (the paper's)": lambda x, c: saliency_map(network, x, c),
        "mean magnitude": lambda x, c: image_gradient(network, x, c).abs().mean(1),
        "positive part": lambda x, c: image_gradient(network, x, c).clamp(min=0).amax(1),
        "gradient × input": lambda x, c: gradient_times_input(network, x, c).abs().amax(1),
        "SmoothGrad": lambda x, c: _smooth_grad(network, x, c, squared=False),
        "SmoothGrad, squared": lambda x, c: _smooth_grad(network, x, c, squared=True),
    }
    ranks = ("the network's 1st", "the network's 2nd", "the network's 3rd")

    def answer(state: State) -> Answer:
        photo = _photo(state["photo"])
        image = images.fit_photo(photo, network)[0]
        best = top_classes(network, image[None], 3)[0]
        name = state["class"]
        if name in ranks:
            name = best[ranks.index(name)].index
        index = class_index(name, network.class_names)
        with torch.no_grad():
            scores = network(image[None])[0]
        one = ways[state["map"]](image[None], index)[0]
        first = saliency_map(network, image[None])[0]
        rank = spearmanr(one.flatten(), first.flatten()).statistic
        top = one.flatten().topk(one.numel() // 20).values.sum() / one.sum()
        called = network.class_names[index]
        what = f"Map of {called} by {state['map']}: the brightest twentieth holds {top:.0%} of it."
        panels = [
            Panel("photo", f"The photo, cropped: {_called(state['photo'])}.", image),
            Panel("map", what, plots.colored(one, percentile=99), scale=_MAGNITUDE, grainy=True),
        ]
        numbers = {
            "class": called,
            "score": f"{scores[index]:.1f}",
            "probability": f"{scores.softmax(0)[index]:.2f}",
            "rank correlation": f"{rank:.2f}",
        }
        return Answer(panels, numbers)

    controls = [
        Control("photo", "Photo", ("cat", "coffee", "rocket"), "photo"),
        Control(
            "class",
            "Class",
            (*ranks, "goldfish"),
            "list",
            free="or any class",
        ),
        Control("map", "Map", tuple(ways), "list"),
    ]
    return Explorer("Saliency maps", controls, lambda states: [answer(one) for one in states])


def _smooth_grad(network: Network, image: Tensor, target: int | str, *, squared: bool) -> Tensor:
    seeded = torch.Generator().manual_seed(0)
    return smooth_grad(network, image, target, generator=seeded, samples=_COPIES, squared=squared)


def localization_explorer(network: Network) -> Explorer:
    """Return the explorer of localization: photo, map, way, and its one or two quantiles.

    Paper §3.2, chapter *Localization without boxes*.
    """
    # a copy, as its layers are listened to, maybe while another cell uses the network
    network = copy.deepcopy(network)
    size = network.input_size
    kept: dict[tuple, tuple[str, Tensor]] = {}

    def class_and_map(photo: PhotoOrName, kind: str) -> tuple[str, Tensor]:
        """Return the class that is asked for, and its map; the last own photo's are kept."""
        key = (photo if isinstance(photo, str) else _fingerprint(photo), kind)
        if key not in kept:
            if not isinstance(photo, str):
                for old in [one for one in kept if isinstance(one[0], int)]:
                    del kept[old]
            image = images.squash_photo(_photo(photo), size)
            label = (
                next(iter(images.photo_boxes(photo)))
                if isinstance(photo, str)
                else top_classes(network, image[None], 1)[0][0].name
            )
            if kind == "one pass":
                one = saliency_map(network, image[None], label)[0]
            else:
                one = object_maps(network, [_photo(photo)], label)[0]
            kept[key] = (label, one)
        return kept[key]

    def answer(state: State) -> Answer:
        photo, image = state["photo"], images.squash_photo(_photo(state["photo"]), size)
        label, one = class_and_map(photo, state["map"])
        boxes, numbers = {}, {"class": label}
        by_saliency = state["map"] == "object map"
        try:
            if state["way"] == "threshold":
                found = threshold_localization(
                    one, quantile=state["upper"], by_saliency=by_saliency
                )
            else:
                found = graph_cut_localization(
                    image,
                    one,
                    object_quantile=state["upper"],
                    background_quantile=state["lower"],
                    by_saliency=by_saliency,
                )
            mask, boxes = found.mask, {"found": found.box}
        except ValueError as error:
            mask = torch.zeros(size, dtype=torch.bool)
            numbers["nothing found"] = str(error)
        if isinstance(photo, str):
            true = rescaled_box(
                images.photo_boxes(photo)[label], tuple(_photo(photo).shape[1:]), size
            )
            overlap = iou(boxes["found"], true) if boxes else 0.0
            boxes["drawn by hand"] = true
            numbers["IoU"] = f"{overlap:.2f}"
        share = mask.double().mean().item()
        numbers["component"] = f"{share:.1%} of the photo"
        where = f"in a box at {_corners(found.box)}" if "found" in boxes else "nowhere"
        alt = f"{_called(photo)}, darkened but for the component: {share:.1%}, {where}."
        panels = [
            Panel("component and box", alt, image, mask, boxes),
            Panel(
                "map",
                f"Map of {label}, {state['map']}.",
                plots.colored(one, percentile=99),
                scale=_MAGNITUDE,
            ),
        ]
        return Answer(panels, numbers)

    controls = [
        Control("photo", "Photo", ("astronaut", "cat", "coffee", "motorcycle"), "photo"),
        Control("map", "Map", ("one pass", "object map"), "list", "object map"),
        Control("way", "Way", ("threshold", "GraphCut"), "list"),
        Control(
            "upper",
            "Upper quantile: object above it",
            (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99),
            start=0.75,
        ),
        Control(
            "lower",
            "Lower quantile: background below it",
            (0.1, 0.2, 0.3, 0.5),
            start=0.3,
            needs=("way", "GraphCut"),
        ),
    ]
    return Explorer(
        "Localization without boxes", controls, lambda states: [answer(one) for one in states]
    )


def deconvnet_explorer(network: Network) -> Explorer:
    """Return the explorer of the three ReLU rules: photo, layer to start from, and rule.

    Paper §4, chapter *Gradient and DeconvNet*.
    """
    # a copy, as its rules are changed, maybe while another cell uses the network
    network = copy.deepcopy(network)
    layers = {"class score": None}
    layers |= {f"stage {i}": f"layers.blocks.{i}" for i in reversed(range(1, 6))}
    layers["first convolution"] = "layers.bn1"

    def carried(image: Tensor, layer: str | None, rule: str) -> Tensor:
        if layer is None:
            return pseudo_gradient(network, image[None], rule=rule)[0]
        return reconstruction(network, image[None], layer, rule=rule)[0]

    def answer(state: State) -> Answer:
        photo = _photo(state["photo"])
        image = images.fit_photo(photo, network)[0]
        layer, rule = layers[state["layer"]], state["rule"]
        signal = carried(image, layer, rule)
        length = signal.norm() / carried(image, layer, "gradient").norm()
        likeness = torch.corrcoef(torch.stack([signal.flatten(), image.flatten()]))[0, 1]
        end = signal.abs().flatten().quantile(0.99)
        gray = 0.5 + 0.5 * signal / end
        alt = (
            f"{_called(state['photo'])}: from {state['layer']} by the rule {rule}, "
            f"correlation {likeness:.1f} with the photo."
        )
        panels = [
            Panel("photo", f"The photo, cropped: {_called(state['photo'])}.", image),
            Panel("signal, gray is zero", alt, gray, grainy=True),
        ]
        numbers = {
            "correlation with the photo": f"{likeness:.2f}",
            "length, over the gradient's": f"{length:.3g}",
        }
        return Answer(panels, numbers)

    controls = [
        Control("photo", "Photo", ("cat", "coffee", "motorcycle"), "photo"),
        Control("layer", "Start from", tuple(layers), "list", "stage 2"),
        Control("rule", "Rule for ReLU", RULES, "list", "guided"),
    ]
    return Explorer(
        "Gradient and DeconvNet", controls, lambda states: [answer(one) for one in states]
    )


def _photo(photo: PhotoOrName) -> Tensor:
    return images.load_photo(photo) if isinstance(photo, str) else photo


def _called(photo: PhotoOrName) -> str:
    return images.photo_credit(photo).title if isinstance(photo, str) else "your photo"


def _fingerprint(photo: Tensor) -> int:
    return hash((photo.shape, photo.numpy().tobytes()))


def _corners(box: Sequence[float]) -> str:
    return "({:.0f}, {:.0f}, {:.0f}, {:.0f})".format(*box)
