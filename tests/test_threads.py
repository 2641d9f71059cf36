"""Two threads on one network: each gets what it gets alone, and the network stays as it is."""

import itertools
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from deepinside.class_model import class_model
from deepinside.class_score import class_score
from deepinside.deconvnet import pseudo_gradient, reconstruction
from deepinside.inference.packed import PackedConv2d
from deepinside.limits import randomize_layers
from deepinside.networks import Network, Normalization
from deepinside.object_maps import stage_saliency
from deepinside.saliency import image_gradient

TIMES = 200
CLASSES = [1, 3]
IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def randomized(network):
    generator = torch.Generator().manual_seed(0)
    names = ["layers.3", "layers.0"]
    return class_score(randomize_layers(network, names, generator=generator), IMAGES, CLASSES)


JOBS = {
    "score": lambda network: class_score(network, IMAGES, CLASSES),
    "gradient": lambda network: image_gradient(network, IMAGES, CLASSES),
    "deconvnet": lambda network: pseudo_gradient(network, IMAGES, CLASSES, rule="deconvnet"),
    "guided": lambda network: pseudo_gradient(network, IMAGES, CLASSES, rule="guided"),
    "reconstruction": lambda network: reconstruction(network, IMAGES, "layers.4", channel=2),
    "stage maps": lambda network: stage_saliency(network, IMAGES, CLASSES, ["layers.1"])[0],
    "randomizing": randomized,
    "class model": lambda network: class_model(network, 3, steps=1).images,
}


@pytest.fixture(scope="module")
def tiny():
    """A packed network with dropout, so that its mode, its rules and its hooks all matter."""
    torch.manual_seed(5)
    layers = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(6, 6, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 64, 4),
    )
    return Network(
        Normalization(torch.full((3, 1, 1), 0.5), torch.ones(3, 1, 1)),
        layers,
        name="tiny",
        class_names="abcd",
        input_size=(8, 8),
        resized_side=8,
        interpolation="bilinear",
    )


@pytest.fixture
def switching_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


PAIRS = list(itertools.combinations_with_replacement(JOBS, 2))


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=map(" beside ".join, PAIRS))
def test_each_gets_what_it_gets_alone(one, other, tiny, switching_often):
    network = tiny.train()
    expected = [JOBS[one](network), JOBS[other](network)]
    together = threading.Barrier(2)

    def work(name):
        together.wait()
        return JOBS[name](network)

    def state():
        return [
            (module.training, len(module._forward_hooks), "forward" in vars(module))
            for module in network.modules()
        ]

    before = state()
    packed = [module for module in network.modules() if isinstance(module, PackedConv2d)]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(TIMES):
            for module in packed:
                module._pack = None  # so that both call it for the first time
            for got, right in zip(pool.map(work, (one, other)), expected, strict=True):
                torch.testing.assert_close(got, right, rtol=1e-5, atol=1e-6)
    assert state() == before
