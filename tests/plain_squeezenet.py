"""SqueezeNet's kinds of layers a second time, and plainly: sums over a kernel, loops over windows.

The way back is written beside the way there: a ReLU's rule, un-pooling by switches, the transposed
convolution, and the split where two outputs were joined. Nothing of torch's own convolution,
pooling or autograd is used.
"""

import itertools
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from deepinside.networks import Normalization
from deepinside.squeezenet import Fire

# for `torch.testing.assert_close`: float64's own, as small signals are compared
EXACTLY = {"rtol": 1e-9, "atol": 1e-12}


def small_squeezenet():
    """A network of SqueezeNet's layers, with 5 scores, in float64."""
    torch.manual_seed(2)
    layers = OrderedDict(
        conv1=nn.Conv2d(3, 8, 3, stride=2),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, stride=2, ceil_mode=True),
        fire2=Fire(8, 4, 6),
        fire3=Fire(12, 4, 6),
        pool3=nn.MaxPool2d(3, stride=2, ceil_mode=True),
        fire4=Fire(12, 6, 8),
        conv10=nn.Conv2d(16, 5, 1),
        relu10=nn.ReLU(),
        pool10=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
    )
    # else some class has the score 0 everywhere, and no gradient
    nn.init.ones_(layers["conv10"].bias)
    return nn.Sequential(layers).double().eval()


def plainly(module, x, rule, unpooling="add"):
    """Return a layer's output, and the function that carries a signal back through it.

    Rule and unpooling are those of `deepinside.backward_network`.
    """

    def one_after_another(*modules):
        y, ways = x, []
        for each in modules:
            y, way = plainly(each, y, rule, unpooling)
            ways.append(way)

        def back(signal):
            for way in reversed(ways):
                signal = way(signal)
            return signal

        return y, back

    match module:
        case Normalization():
            return (x - module.mean) / module.std, lambda signal: signal / module.std
        case nn.Conv2d():
            return convolution(module, x)
        case nn.ReLU():
            return relu(x, rule)
        case nn.MaxPool2d():
            return max_pooling(x, unpooling)
        case nn.AdaptiveAvgPool2d():
            count = x.shape[2] * x.shape[3]
            y = x.sum((2, 3), keepdim=True) / count
            return y, lambda signal: (signal / count).expand_as(x)
        case nn.Flatten():
            return x[:, :, 0, 0], lambda signal: signal[:, :, None, None]
        case Fire():
            x, back = one_after_another(module.squeeze, module.squeeze_relu)
            small, back_small = one_after_another(module.expand1x1, module.expand1x1_relu)
            large, back_large = one_after_another(module.expand3x3, module.expand3x3_relu)
            count = small.shape[1]
            return (
                torch.cat([small, large], 1),
                lambda signal: back(back_small(signal[:, :count]) + back_large(signal[:, count:])),
            )
        case nn.Sequential():
            return one_after_another(*module)
    raise TypeError(f"no plain {type(module).__name__}")


def convolution(module, x):
    weight, (stride, _), (padding, _) = module.weight.detach(), module.stride, module.padding
    padded = F.pad(x, [padding] * 4)
    height, width = ((n - weight.shape[2]) // stride + 1 for n in padded.shape[2:])

    def read_by(row, column):
        """What the kernel's weights at (row, column) are multiplied with."""
        rows = slice(row, row + stride * (height - 1) + 1, stride)
        return ..., rows, slice(column, column + stride * (width - 1) + 1, stride)

    kernel = list(itertools.product(range(weight.shape[2]), range(weight.shape[3])))
    y = module.bias.detach()[:, None, None] + sum(
        torch.einsum("oi,nihw->nohw", weight[:, :, *place], padded[read_by(*place)])
        for place in kernel
    )

    def back(signal):
        spread = torch.zeros_like(padded)
        for place in kernel:
            spread[read_by(*place)] += torch.einsum("oi,nohw->nihw", weight[:, :, *place], signal)
        return spread[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]]

    return y, back


def relu(x, rule):
    def back(signal):
        if rule != "gradient":
            signal = signal.clamp(min=0)
        return signal if rule == "deconvnet" else torch.where(x > 0, signal, 0)

    return x.clamp(min=0), back


def max_pooling(x, unpooling):
    """3 x 3 windows, two pixels apart; those at the end may be smaller."""
    image, channel = torch.arange(len(x))[:, None], torch.arange(x.shape[1])
    height, width = (-(-(n - 3) // 2) + 1 for n in x.shape[2:])
    y, switches = x.new_zeros(*x.shape[:2], height, width), {}
    for i, j in itertools.product(range(height), range(width)):
        window = x[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        largest = window.amax((2, 3), keepdim=True)
        # of equal ones the first
        order = torch.arange(window[0, 0].numel()).view_as(window[0, 0])
        first = torch.where(window == largest, order, order.numel()).amin((2, 3))
        switches[i, j] = 2 * i + first // window.shape[3], 2 * j + first % window.shape[3]
        y[:, :, i, j] = largest[:, :, 0, 0]

    def back(signal):
        spread = torch.zeros_like(x)
        for (i, j), (row, column) in switches.items():
            if unpooling == "add":
                spread[image, channel, row, column] += signal[:, :, i, j]
            else:
                spread[image, channel, row, column] = signal[:, :, i, j]
        return spread

    return y, back
