"""The explorer of localization: from a map to a box, by quantiles (paper §3.2)."""

import torch
from torch import Tensor

from deepinside import images
from deepinside.class_score import top_classes
from deepinside.explorers.packing import Answer, Panel, map_panel
from deepinside.explorers.widget import Control, Explorer, State, photo_of, photo_title
from deepinside.localization import (
    Localization,
    graph_cut_localization,
    rescaled_box,
    threshold_localization,
)
from deepinside.measures import iou
from deepinside.networks import Network
from deepinside.object_maps import object_maps
from deepinside.saliency import saliency_map

# how many maps are kept: those of the grid, and of the last own photos
_KEPT = 16


def localization_explorer(network: Network) -> Explorer:
    """Return the explorer of localization: photo, map, way, and its one or two quantiles.

    Paper §3.2, chapter *Localization without boxes*.
    """
    size = network.input_size
    kept: dict[tuple[str | int, str], tuple[str, Tensor]] = {}

    def class_and_map(photo: str | Tensor, kind: str) -> tuple[str, Tensor]:
        """Return the class that is asked for, and its map."""
        key = (photo if isinstance(photo, str) else _fingerprint(photo), kind)
        if key not in kept:
            image = images.squash_photo(photo_of(photo), size)[None]
            if isinstance(photo, str):
                label = next(iter(images.photo_boxes(photo)))
            else:
                label = top_classes(network, image, 1)[0][0].name
            if kind == "one pass":
                saliency = saliency_map(network, image, label)[0]
            else:
                saliency = object_maps(network, [photo_of(photo)], label)[0]
            if len(kept) == _KEPT:
                del kept[next(iter(kept))]
            kept[key] = label, saliency
        return kept[key]

    def answer(state: State) -> Answer:
        name, photo = state["photo"], photo_of(state["photo"])
        image = images.squash_photo(photo, size)
        label, saliency = class_and_map(name, state["map"])
        boxes, numbers = {}, {"class": label}
        mask, where = torch.zeros(size, dtype=torch.bool), "nowhere"
        try:
            found = _located(image, saliency, state)
        except ValueError as error:
            numbers["nothing found"] = str(error)
        else:
            mask, boxes["found"] = found.mask, found.box
            where = "in a box at ({:.0f}, {:.0f}, {:.0f}, {:.0f})".format(*found.box)
        if isinstance(name, str):
            height, width = photo.shape[1:]
            drawn = rescaled_box(images.photo_boxes(name)[label], (height, width), size)
            overlap = iou(boxes["found"], drawn) if boxes else 0.0
            boxes["drawn by hand"] = drawn
            numbers["IoU"] = f"{overlap:.2f}"
        share = mask.double().mean().item()
        numbers["component"] = f"{share:.1%} of the photo"
        alt = f"{photo_title(name)}, darkened but for the component: {share:.1%}, {where}."
        panels = [
            Panel("component and box", alt, image, mask, boxes),
            map_panel(f"Map of {label}, {state['map']}.", saliency),
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
        "Localization without boxes", controls, lambda states: [answer(state) for state in states]
    )


def _located(image: Tensor, saliency: Tensor, state: State) -> Localization:
    by_saliency = state["map"] == "object map"
    if state["way"] == "threshold":
        return threshold_localization(saliency, quantile=state["upper"], by_saliency=by_saliency)
    return graph_cut_localization(
        image,
        saliency,
        object_quantile=state["upper"],
        background_quantile=state["lower"],
        by_saliency=by_saliency,
    )


def _fingerprint(photo: Tensor) -> int:
    return hash((photo.shape, photo.numpy().tobytes()))
