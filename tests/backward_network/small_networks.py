"""What the tests of the backward network share: small networks, exact in float64."""

import torch
from torch import nn


def relative_difference(got, expected):
    return ((got - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)).max().item()


def scored(*layers):
    """Layers between a convolution and a fully connected layer of 3 scores, for 2 x 9 x 11."""
    torch.manual_seed(4)
    body = nn.Sequential(nn.Conv2d(2, 4, 3), *layers).double()
    body.eval()
    shape = body(torch.zeros(1, 2, 9, 11, dtype=torch.float64)).shape
    head = nn.Linear(shape[1:].numel(), 3).double()
    return nn.Sequential(body, nn.Flatten(), head)


def three_images(seed=20):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 2, 9, 11, generator=generator, dtype=torch.float64)


THREE_CLASSES = torch.tensor([2, 0, 1])
