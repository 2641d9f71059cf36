"""Small networks of each kind, with weights that are drawn, for tests of maps."""

from functools import cache

import torch
from plain_squeezenet import small_squeezenet
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.densenet import DenseNet
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.models.vision_transformer import VisionTransformer

from deepinside.networks import from_model


class Ends(nn.Module):
    """A linear network of images with so many values, and something at its end."""

    def __init__(self, end, values):
        super().__init__()
        self.linear = nn.Linear(values, 4)
        self.end = end

    def forward(self, images):
        return self.end(self.linear(images.flatten(1)))


def resnet():
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5)


def densenet():
    return DenseNet(8, (2, 2), 8, num_classes=5)


def without_bias():
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), *pooled, nn.Linear(8, 5, bias=False))


def vgg():
    dense = [nn.Flatten(), nn.Linear(2048, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU()]
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), *dense, nn.Linear(8, 5)
    )


def max_pooled():
    pooled = [nn.AdaptiveMaxPool2d(1), nn.Flatten()]
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), *pooled, nn.Linear(8, 5))


def convnext():
    return ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], num_classes=5)


def vit():
    return VisionTransformer(64, 16, 3, 2, 16, 32, num_classes=5)


def squeezed():
    return small_squeezenet().float()


class Refuses(nn.Linear):
    """Layers that let nothing pass, so that work before an error would show."""

    def forward(self, images):
        raise AssertionError("a pass")


@cache
def drawn(build):
    """Return a network in float64 with weights that are drawn, none of them 0."""
    torch.manual_seed(3)
    model = build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return from_model(model, class_names=list("abcde"), input_size=(64, 64)).double()
