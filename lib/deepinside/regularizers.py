"""What later work adds to the ascent of a class model, each a plain option of the same loop.

Random views (Mordvintsev et al., 2015, and Olah et al., 2017): the network sees the image
shifted, turned and scaled at random, so that only what survives this is rewarded. Blur
(Yosinski et al., 2015) keeps single pixels from being worth anything. The Fourier
parametrization with decorrelated colors (Olah et al., 2017) describes the same images by
other coordinates, in which a step of one length is a smooth change of the image. Adam
(Kingma and Ba, 2015) gives every coordinate a step length of its own.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# how fast amplitudes fall with the frequency: in photographs about as 1 / frequency, which
# here gives grainy images of many small parts; a steeper fall gives fewer and larger ones
_DECAY = 1.7
_GAIN = 0.5
# how strongly red, green and blue go together, about as in photographs
_COLOR_CORRELATION = 0.7


class Regularizers(NamedTuple):
    """What an ascent does besides following the gradient; by default nothing.

    Attributes
    ----------
    jitter : float
        The longest shift of the random views, in pixels.
    scale : tuple of float
        The smallest and the largest enlargement of the random views.
    rotation : float
        Their largest angle either way, in degrees.
    blur : float
        The network sees the image blurred by a Gaussian of so many pixels.
    fourier : bool
        Ascend in the coefficients of `FourierImages`, not in pixels.
    adam : bool
        Follow `Adam`'s direction in place of the gradient.
    anneal : bool
        Let the step size fall to 0 along half a cosine.
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

    def check(self) -> None:
        """Raise a ValueError unless every value is in its range."""
        for name in ("jitter", "rotation", "blur"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"expected a {name} of 0 or more, got {value}")
        pair = isinstance(self.scale, Sequence) and len(self.scale) == 2
        if not pair or not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(f"expected a scale (low, high) with 0 < low <= high, got {self.scale}")


PAPER = Regularizers()
# all of it together; goes with a step size of 0.05, noise to start from and no L2 weight
MODERN = Regularizers(
    jitter=40.0, scale=(0.6, 1.6), rotation=10.0, fourier=True, adam=True, anneal=True
)


def annealed(step: int, steps: int) -> float:
    """Return the share of the step size that is left at a step: half a cosine, 1 to 0."""
    return (1 + math.cos(math.pi * step / steps)) / 2


def random_view(images: Tensor, uniform: Tensor, how: Regularizers) -> Tensor:
    """Return zero-centered images seen shifted, scaled and turned, (N, C, H, W).

    One bilinear resampling does all three; outside of an image is 0, the training mean.
    A shift alone is one of whole pixels.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W), zero-centered.
    uniform : Tensor
        (N, 4), drawn from [0, 1): for the shift down, the shift right, scale and angle.
    how : Regularizers
        Its `jitter`, `scale` and `rotation` are the limits.
    """
    height, width = images.shape[-2:]
    y, x = ((2 * uniform[:, :2] - 1) * how.jitter).unbind(1)
    low, high = how.scale
    if low == high == 1 and how.rotation == 0:
        y, x = y.round(), x.round()
    # the window that the view shows of the image: half as large means twice enlarged
    window = 1 / (low * (high / low) ** uniform[:, 2])
    angle = (2 * uniform[:, 3] - 1) * math.radians(how.rotation)
    cos, sin = window * angle.cos(), window * angle.sin()
    # affine_grid measures in half sides, so a turn has to respect the aspect ratio
    rows = [
        torch.stack([cos, -sin * height / width, 2 * x / width], 1),
        torch.stack([sin * width / height, cos, 2 * y / height], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Return zero-centered images blurred by a Gaussian of `sigma` pixels, 0 outside."""
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-torch.arange(-reach, reach + 1.0).square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).to(images).repeat(images.shape[1], 1, 1, 1)
    groups = len(kernel)
    across = F.conv2d(images, kernel, padding=(0, reach), groups=groups)
    return F.conv2d(across, kernel.transpose(2, 3), padding=(reach, 0), groups=groups)


class FourierImages(NamedTuple):
    """Images in (0, 1) as functions of their spectrum (Olah et al., 2017).

    ``image = sigmoid(colors · irfft2(amplitudes · spectrum))``. The amplitudes fall with
    the frequency; `colors` mixes decorrelated channels into red, green and blue.

    Attributes
    ----------
    amplitudes : Tensor
        (H, W // 2 + 1), one for each frequency.
    colors : Tensor
        (C, C), applied to the channels.
    size : tuple of int
        (height, width).
    """

    amplitudes: Tensor
    colors: Tensor
    size: tuple[int, int]

    def images(self, spectra: Tensor) -> Tensor:
        """Return images (N, C, H, W) of spectra (N, C, H, W // 2 + 1, 2)."""
        waves = torch.view_as_complex(spectra) * self.amplitudes
        channels = torch.fft.irfft2(waves, s=self.size, norm="ortho")
        return torch.sigmoid(torch.einsum("ij,njhw->nihw", self.colors, channels))

    def spectra(self, images: Tensor) -> Tensor:
        """Return the spectra of images, whose values are first clipped to 0.001 to 0.999."""
        channels = torch.einsum("ij,njhw->nihw", self.colors.inverse(), images.logit(1e-3))
        waves = torch.fft.rfft2(channels, norm="ortho") / self.amplitudes
        return torch.view_as_real(waves)


def fourier_images(like: Tensor) -> FourierImages:
    """Return the parametrization of images of the size, type and device of `like`."""
    channels, height, width = like.shape[-3:]
    down = torch.fft.fftfreq(height, device=like.device)[:, None]
    across = torch.fft.rfftfreq(width, device=like.device)[None]
    lowest = 1 / max(height, width)
    frequency = (down.square() + across.square()).sqrt().clamp(min=lowest)
    amplitudes = _GAIN * math.sqrt(height * width) * (frequency / lowest) ** -_DECAY
    return FourierImages(amplitudes.to(like), _color_mix(channels).to(like), (height, width))


class Adam:
    """The directions of Adam (Kingma and Ba, 2015), for one step size an image.

    The gradient's running mean over the root of its square's running mean, both corrected
    for having started at 0. `torch.optim.Adam` gives the same, but one step size for all.
    """

    def __init__(self, *, decay: float = 0.9, decay_of_squares: float = 0.999) -> None:
        self.decay, self.decay_of_squares = decay, decay_of_squares
        self.steps = 0
        self.mean = self.square = 0.0

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the direction of the next step, in the shape of the gradient."""
        self.steps += 1
        self.mean = self.decay * self.mean + (1 - self.decay) * gradient
        square = (1 - self.decay_of_squares) * gradient.square()
        self.square = self.decay_of_squares * self.square + square
        mean = self.mean / (1 - self.decay**self.steps)
        square = self.square / (1 - self.decay_of_squares**self.steps)
        return mean / (square.sqrt() + 1e-8)


def _color_mix(channels: int) -> Tensor:
    """Return the symmetric root of a covariance in which all channels correlate alike."""
    if channels == 1:
        return torch.ones(1, 1)
    correlation = torch.full((channels, channels), _COLOR_CORRELATION, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(correlation.fill_diagonal_(1.0))
    root = (vectors * values.sqrt()) @ vectors.T
    return root / root.norm(dim=0).max()
