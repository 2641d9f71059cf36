"""The explorers of localization: from a map to a box (paper §3.2)."""

from functools import cache

import torch
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
from deepinside.images import Box
from deepinside.localization import (
    Localization,
    graph_cut_localization,
    rescaled_box,
    threshold_localization,
)
from deepinside.measures import iou
from deepinside.networks import Network
from deepinside.networks.network import check_network
from deepinside.object_maps import object_maps
from deepinside.saliency import saliency_map

# how many maps are kept: those of the grid, and of the last own photos
_KEPT = 32
_OBJECT, _FIRST = "the object's", "the network's 1st"
_OTSU, _QUANTILE, _GRAPH_CUT = "Otsu's threshold", "a quantile", "GraphCut"


def threshold_explorer(network: Network) -> Explorer:
    """Return the explorer of the first page: one photo, its object map, one threshold.

    Paper §3.2, chapter *Localization without boxes*, whose own explorer has more controls.
    """
    check_network(network)
    photo, size = images.load_photo("astronaut"), network.input_size
    shape = (photo.shape[1], photo.shape[2])
    ((label, box),) = images.photo_boxes("astronaut").items()
    drawn = rescaled_box(box, shape, size)
    image = images.squash_photo(photo, size, interpolation=network.interpolation)
    saliency = object_maps(network, [photo], label)[0]

    def answer(state: State) -> Answer:
        quantile = 1 - state["kept"] / 100
        found = threshold_localization(saliency, quantile=quantile, by_saliency=True)
        component, share = _component_panel(found, image, "astronaut", {"drawn by hand": drawn})
        numbers = {
            "overlap of the two boxes (IoU)": f"{iou(found.box, drawn):.2f}",
            "component": f"{share} of the photo",
        }
        panels = [component, map_panel(f"Map of {label}.", saliency)]
        return Answer([panel._replace(aspect=shape) for panel in panels], numbers)

    kept = Control(
        "kept",
        "Brightest percent of the map",
        (1, 2, 3, 4, 6, 8, 10, 12, 15, 20, 25, 30, 35, 40, 50),
        start=40,
    )
    return Explorer(
        "A threshold finds the space shuttle",
        [kept],
        lambda states: [answer(state) for state in states],
        door={
            "panel": "photo",
            "photo": "astronaut",
            "class": "space shuttle",
            "map": "cam",
            "threshold": "otsu",
        },
    )


def localization_explorer(network: Network) -> Explorer:
    """Return the explorer of localization: photo, class, map, and how a box is read from it.

    Paper §3.2, chapter *Localization without boxes*.
    """
    check_network(network)
    size = network.input_size
    kept: dict[tuple[str | int, str, str], tuple[str, Tensor]] = {}

    def shape_and_image(photo: Tensor) -> tuple[tuple[int, int], Tensor]:
        shape = (photo.shape[1], photo.shape[2])
        return shape, images.squash_photo(photo, size, interpolation=network.interpolation)

    @cache
    def shipped(name: str) -> tuple[tuple[int, int], Tensor]:
        return shape_and_image(photo_of(name))

    def class_and_map(photo: str | Tensor, asked: str, kind: str) -> tuple[str, Tensor]:
        """Return the name of the class that is asked for, and its map."""
        key = (photo if isinstance(photo, str) else _fingerprint(photo), asked, kind)
        if key not in kept:
            image = images.squashed(network, [photo_of(photo)], size)
            target = _class_asked_for(network, photo, image, asked)
            if kind == "one pass":
                saliency = saliency_map(network, image, target)[0]
            else:
                saliency = object_maps(network, [photo_of(photo)], target)[0]
            if len(kept) == _KEPT:
                del kept[next(iter(kept))]
            kept[key] = network.class_names[target], saliency
        return kept[key]

    def answer(state: State) -> Answer:
        name = state["photo"]
        shape, image = shipped(name) if isinstance(name, str) else shape_and_image(name)
        label, saliency = class_and_map(name, state["class"], state["map"])
        numbers, drawn = {"class": label}, {}
        if isinstance(name, str):
            (box,) = images.photo_boxes(name).values()
            drawn = {"drawn by hand": rescaled_box(box, shape, size)}
        found = None
        try:
            found = _located(image, saliency, state)
        except ValueError as error:
            numbers["nothing found"] = str(error)
        for box in drawn.values():
            numbers["IoU with the box drawn by hand"] = f"{iou(found.box, box) if found else 0:.2f}"
        component, share = _component_panel(found, image, name, drawn)
        numbers["component"] = f"{share} of the photo"
        panels = [component, map_panel(f"Map of {label}, {state['map']}.", saliency)]
        return Answer([panel._replace(aspect=shape) for panel in panels], numbers)

    controls = [
        Control("photo", "Photo", ("astronaut", "cat", "coffee", "rocket"), "photo"),
        Control("class", "Class", (_OBJECT, _FIRST, "goldfish"), "list", free="or any class"),
        Control("map", "Map", ("object map", "one pass"), "list"),
        Control("way", "From map to object", (_OTSU, _QUANTILE, _GRAPH_CUT), "list"),
        Control(
            "quantile",
            "Object above quantile",
            (0.5, 0.7, 0.8, 0.9, 0.95, 0.99),
            start=0.9,
            needs=("way", _QUANTILE),
        ),
        Control(
            "upper",
            "Object seeds above",
            (0.9, 0.95, 0.99),
            start=0.95,
            needs=("way", _GRAPH_CUT),
        ),
        Control(
            "lower",
            "Background seeds up to",
            (0.1, 0.3),
            start=0.3,
            needs=("way", _GRAPH_CUT),
        ),
    ]
    return Explorer(
        "Localization without boxes",
        controls,
        lambda states: [answer(state) for state in states],
        door={
            "panel": "photo",
            "photo": "{photo}",
            "class": "{class}",
            "map": "cam",
            "threshold": "otsu",
        },
    )


def _class_asked_for(network: Network, photo: str | Tensor, image: Tensor, asked: str) -> int:
    """Return the index of a class given in words; the object's is known of shipped photos."""
    if isinstance(photo, str) and asked == _OBJECT:
        (asked,) = images.photo_boxes(photo)
    if asked in (_OBJECT, _FIRST):
        return top_classes(network, image, 1)[0][0].index
    return class_asked_for(network, asked)


def _located(image: Tensor, saliency: Tensor, state: State) -> Localization:
    by_saliency = state["map"] == "object map"
    if state["way"] == _GRAPH_CUT:
        return graph_cut_localization(
            image,
            saliency,
            object_quantile=state["upper"],
            background_quantile=state["lower"],
            by_saliency=by_saliency,
        )
    quantile = state["quantile"] if state["way"] == _QUANTILE else None
    return threshold_localization(saliency, quantile=quantile, by_saliency=by_saliency)


def _component_panel(
    found: Localization | None, image: Tensor, photo: str | Tensor, drawn: dict[str, Box]
) -> tuple[Panel, str]:
    """Return the panel of what was found in a photo, and how much of the photo that is."""
    height, width = image.shape[1:]
    mask = found.mask if found else torch.zeros((height, width), dtype=torch.bool)
    share = f"{mask.double().mean():.1%}"
    alt = f"{photo_title(photo)}: nothing found."
    if found:
        alt = (
            f"{photo_title(photo)}, darkened except for the component, {share} of the photo. "
            f"Its box goes {_extent(found.box, height, width)}."
        )
    for label, box in drawn.items():
        alt += f" The box {label} goes {_extent(box, height, width)}."
    boxes = ({"found": found.box} if found else {}) | drawn
    return Panel("component and box", alt, image, mask, boxes), share


def _extent(box: Box, height: int, width: int) -> str:
    x0, y0, x1, y1 = box
    return (
        f"from {x0 / width:.0%} to {x1 / width:.0%} of the width "
        f"and from {y0 / height:.0%} to {y1 / height:.0%} of the height"
    )


def _fingerprint(photo: Tensor) -> int:
    return hash((photo.shape, photo.numpy().tobytes()))
