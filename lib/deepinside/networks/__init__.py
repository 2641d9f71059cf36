"""The networks of the book: frozen functions from images to class scores.

Every network takes RGB images in [0, 1] (the digits network gray ones) and returns
unnormalized class scores. Subtracting the training mean, which the paper's networks
expect to have been done, is the network's first layer.
"""

from deepinside.networks.network import (
    Network,
    Normalization,
    copy_sharing_weights,
    in_evaluation_mode,
)
from deepinside.networks.own_model import Scores, from_model
from deepinside.networks.pretrained import (
    NEED_NO_DOWNLOAD,
    imagenet_class_names,
    load_network,
    network_names,
)

# in the order of the package's pages
__all__ = [  # noqa: RUF022
    "load_network",
    "from_model",
    "Network",
    "Normalization",
    "Scores",
    "NEED_NO_DOWNLOAD",
    "network_names",
    "imagenet_class_names",
    "copy_sharing_weights",
    "in_evaluation_mode",
]
