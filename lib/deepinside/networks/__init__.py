"""The networks of the book: frozen functions from images to class scores.

Every network takes RGB images in [0, 1] (the digits networks gray ones) and returns
unnormalized class scores. The paper's network was trained on zero-centered images; here the
first layer of each network subtracts what its own training subtracted.
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
