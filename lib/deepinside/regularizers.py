"""What later work adds to the ascent of a class model, each a plain option of the same loop.

Random views (Mordvintsev et al., 2015, and Olah et al., 2017): the network sees the image
shifted, turned and scaled at random, so that a change counts only if it raises the score in
most views. Blur (Yosinski et al., 2015) weakens the effect of single pixels. The Fourier
parametrization with decorrelated colors (Olah et al., 2017) describes images between 0 and 1
by waves, of which the coarse ones change most in a step. Adam (Kingma and Ba, 2015) gives
every coordinate its own step size.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from deepinside.arguments import full_precision, number, shown

# how fast amplitudes fall with the frequency: in photographs about as 1 / frequency, which
# here gives grainy images of many small parts; a steeper fall gives fewer and larger ones
_DECAY = 1.7
_GAIN = 0.5
# how strongly red, green and blue go together, about as in photographs
_COLOR_CORRELATION = 0.7
# beyond these no photograph is anything but a blot
_MOST_PIXELS, _MOST_SCALE = 1000, 100


class Regularizers(NamedTuple):
    """What an ascent does besides following the gradient; by default nothing.

    Attributes
    ----------
    jitter, scale, rotation : float, tuple of float, float
        Of the random views: the longest shift in pixels, the smallest and the largest
        enlargement, the largest angle either way in degrees.
    blur : float
        The network sees the image blurred by a Gaussian of so many pixels, up to 1,000.
    fourier, adam, anneal : bool
        Ascend in the coefficients of `Fourier`, not in pixels; follow the direction of
        `Adam`, not the gradient; let the step size fall to 0 along half a cosine.
    """

    jitter: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0
    blur: float = 0.0
    fourier: bool = False
    adam: bool = False
    anneal: bool = False

    @property
    def views(self) -> bool:
        """Whether the network sees random views."""
        return self.jitter > 0 or self.rotation > 0 or tuple(self.scale) != (1.0, 1.0)

    def share_of_step(self, step: int, steps: int) -> float:
        """Return what is left of the step size at a step: all, or half a cosine, 1 to 0."""
        return (1 + math.cos(math.pi * step / steps)) / 2 if self.anneal else 1.0

    def check(self) -> None:
        """Raise a ValueError unless every value is in its range."""
        number(self.jitter, "a jitter", 0, _MOST_PIXELS)
        number(self.rotation, "a rotation", 0, 180)
        number(self.blur, "a blur", 0, _MOST_PIXELS)
        pair = isinstance(self.scale, Sequence) and len(self.scale) == 2
        if not pair or isinstance(self.scale, str):
            raise ValueError(f"expected a scale (low, high), got {shown(self.scale)}")
        low = number(self.scale[0], "the low end of a scale", 0, _MOST_SCALE, above=True)
        number(self.scale[1], "the high end of a scale", low, _MOST_SCALE)
        for name in ("fourier", "adam", "anneal"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"expected {name} as True or False, got {getattr(self, name)!r}")


PAPER = Regularizers()
# views, Fourier coordinates and Adam together; for a step size of about 0.05
MODERN = Regularizers(
    jitter=40.0, scale=(0.6, 1.6), rotation=10.0, fourier=True, adam=True, anneal=True
)


def transformed(images: Tensor, how: Regularizers, generators: Sequence[torch.Generator]) -> Tensor:
    """Return what the network sees of zero-centered images: themselves, or a view, blurred."""
    if how.views:
        uniform = drawn(torch.rand, generators, images.new_empty(len(images), 4))
        images = random_view(images, uniform, how)
    return gaussian_blur(images, how.blur) if how.blur else images


def random_view(images: Tensor, uniform: Tensor, how: Regularizers) -> Tensor:
    """Return zero-centered images (N, C, H, W) seen shifted, scaled and turned.

    One bilinear resampling does all three; outside of an image is 0, the training mean.
    A shift alone is one of whole pixels. `uniform`, (N, 4), is drawn from [0, 1): for the
    shift down, the shift right, scale and angle, of which `how` has the limits.
    """
    height, width = images.shape[-2:]
    dtype, images, uniform = images.dtype, full_precision(images), full_precision(uniform)
    y, x = ((2 * uniform[:, :2] - 1) * how.jitter).unbind(1)
    low, high = how.scale
    if low == high == 1 and how.rotation == 0:
        y, x = y.round(), x.round()
    # the window that the view shows of the image: half as large means twice enlarged
    window = 1 / (low * (high / low) ** uniform[:, 2])
    angle = (2 * uniform[:, 3] - 1) * math.radians(how.rotation)
    cos, sin = window * angle.cos(), window * angle.sin()
    # affine_grid measures in half sides, so a turn has to respect the aspect ratio
    across = [cos, -sin * height / width, 2 * x / width]
    down = [sin * width / height, cos, 2 * y / height]
    turned = torch.stack(across + down, 1).view(-1, 2, 3)
    grid = F.affine_grid(turned, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False).to(dtype)


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Return zero-centered images blurred by a Gaussian of `sigma` pixels, 0 outside."""
    sigma = number(sigma, "a blur", 0, _MOST_PIXELS)
    if sigma == 0:
        return images
    dtype, images = images.dtype, full_precision(images)
    reach = math.ceil(3 * sigma)
    places = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-places.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).to(images).repeat(images.shape[1], 1, 1, 1)
    groups = len(kernel)
    across = F.conv2d(images, kernel, padding=(0, reach), groups=groups)
    return F.conv2d(across, kernel.transpose(2, 3), padding=(reach, 0), groups=groups).to(dtype)


class Fourier:
    """Images in (0, 1) by the coefficients of their waves (Olah et al., 2017).

    ``image = sigmoid(colors · irfft2(amplitudes · unknown))``. The amplitudes, one for each
    frequency, fall with it; `colors` mixes decorrelated channels into red, green and blue.
    A parametrization like `deepinside.class_model.Pixels`, of images of the size, type and
    device of the given ones, (N, C, H, W); of half precision, they become float32.
    """

    noise = 0.01

    def __init__(self, images: Tensor, mean: Tensor) -> None:
        channels, height, width = images.shape[1:]
        images, mean, device = full_precision(images), full_precision(mean), images.device
        down = torch.fft.fftfreq(height, dtype=torch.float32, device=device)[:, None]
        across = torch.fft.rfftfreq(width, dtype=torch.float32, device=device)[None]
        lowest = 1 / max(height, width)
        frequency = (down.square() + across.square()).sqrt().clamp(min=lowest)
        amplitudes = _GAIN * math.sqrt(height * width) * (frequency / lowest) ** -_DECAY
        self.amplitudes, self.colors = amplitudes.to(images), _color_mix(channels).to(images)
        self.mean, self.size = mean, (height, width)

    def unknown(self, images: Tensor) -> Tensor:
        """Return what stands for images clipped to 0.001 to 0.999, (N, C, H, W // 2 + 1, 2)."""
        logits = full_precision(images).logit(1e-3)
        channels = torch.einsum("ij,njhw->nihw", self.colors.inverse(), logits)
        return torch.view_as_real(torch.fft.rfft2(channels, norm="ortho") / self.amplitudes)

    def centered(self, unknown: Tensor) -> Tensor:
        """Return the zero-centered images that the unknown stands for, (N, C, H, W)."""
        waves = torch.view_as_complex(full_precision(unknown)) * self.amplitudes
        channels = torch.fft.irfft2(waves, s=self.size, norm="ortho")
        return torch.sigmoid(torch.einsum("ij,njhw->nihw", self.colors, channels)) - self.mean

    def bounded(self, unknown: Tensor) -> Tensor:
        """Return the unknown itself: each stands for images between 0 and 1."""
        return unknown


class Adam:
    """Directions of Adam (Kingma and Ba, 2015), as torch's, which has one step size for all.

    The gradient's running mean over the root of its square's running mean, both corrected
    for having started at 0.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.mean = self.square = torch.zeros(())

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the direction of the next step, in the shape of the gradient."""
        gradient = full_precision(gradient)
        self.steps += 1
        self.mean = 0.9 * self.mean + (1 - 0.9) * gradient
        self.square = 0.999 * self.square + (1 - 0.999) * gradient.square()
        mean = self.mean / (1 - 0.9**self.steps)
        square = self.square / (1 - 0.999**self.steps)
        return mean / (square.sqrt() + 1e-8)


def drawn(
    sample: Callable[..., Tensor], generators: Sequence[torch.Generator], like: Tensor
) -> Tensor:
    """Return random values in the shape of `like`, each image's from its own generator."""
    # as float32 on the generator's device, so that a run repeats on any device
    options = {"dtype": torch.float32}
    values = [sample(like.shape[1:], generator=g, device=g.device, **options) for g in generators]
    return torch.stack(values).to(like).expand_as(like)


def _color_mix(channels: int) -> Tensor:
    """Return the symmetric root of a covariance in which all channels correlate alike."""
    average = torch.full((channels, channels), 1 / channels, dtype=torch.float64)
    apart = math.sqrt(1 - _COLOR_CORRELATION) * (torch.eye(channels) - average)
    together = math.sqrt(1 + (channels - 1) * _COLOR_CORRELATION) * average
    return (apart + together) / (apart + together).norm(dim=0).max()
