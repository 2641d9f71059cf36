"""SqueezeNet 1.1: a network of the paper's kind for photos, whose weights come with the package.

Like the paper's network it has convolutions, ReLU and max-pooling; the windows of its pooling
overlap. It reaches AlexNet's accuracy with 1.2 million parameters (Iandola et al., 2016). It has
no fully connected layer: a 1 x 1 convolution gives every position a score for each class, a ReLU
cuts these at 0, and the class score is their mean. So it can classify photos of other sizes.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

INPUT_SIDE, RESIZED_SIDE = 227, 256
# red, green, blue: the training mean, and the unit in which the images were
MEAN, STD = (122.679 / 255, 116.669 / 255, 104.006 / 255), (1 / 255,) * 3


class Fire(nn.Module):
    """A fire module: a 1 x 1 convolution to few channels, then two convolutions side by side.

    These two have 1 x 1 and 3 x 3 pixels; their outputs are concatenated.
    """

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, kernel_size=1)
        self.squeeze_relu = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeezed, expanded, kernel_size=1)
        self.expand1x1_relu = nn.ReLU()
        self.expand3x3 = nn.Conv2d(squeezed, expanded, kernel_size=3, padding=1)
        self.expand3x3_relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the joined activations, (N, 2 * expanded, h, w)."""
        squeezed = self.squeeze_relu(self.squeeze(x))
        small = self.expand1x1_relu(self.expand1x1(squeezed))
        large = self.expand3x3_relu(self.expand3x3(squeezed))
        return torch.cat([small, large], dim=1)


def squeezenet_layers() -> nn.Sequential:
    """Return the layers of SqueezeNet 1.1 with fresh weights, under its authors' names.

    From normalized photos (N, 3, h, w), trained at 227 x 227, to scores of ImageNet's 1,000
    classes. The authors' dropout is left out, as nothing is trained here.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 64, kernel_size=3, stride=2),
            relu1=nn.ReLU(),
            pool1=_pooling(),
            fire2=Fire(64, 16, 64),
            fire3=Fire(128, 16, 64),
            pool3=_pooling(),
            fire4=Fire(128, 32, 128),
            fire5=Fire(256, 32, 128),
            pool5=_pooling(),
            fire6=Fire(256, 48, 192),
            fire7=Fire(384, 48, 192),
            fire8=Fire(384, 64, 256),
            fire9=Fire(512, 64, 256),
            conv10=nn.Conv2d(512, 1000, kernel_size=1),
            relu10=nn.ReLU(),
            pool10=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
        )
    )


def _pooling() -> nn.MaxPool2d:
    """Return a max-pooling whose windows overlap by one pixel."""
    return nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
