"""Layers that double the sides of a map, in one or two dimensions: three ways, one of which goes well with int8.

- transposed: a stride-2 transposed convolution, kernel 3, padding 1. V. Dumoulin and F. Visin, "A guide to convolution
  arithmetic for deep learning", 2016 (arXiv:1603.07285), section 4.6.
- nearest: each value twice along each side, then a convolution: no checkerboard. A. Odena, V. Dumoulin and C. Olah,
  "Deconvolution and Checkerboard Artifacts", Distill 2016.
- subpixel: a convolution to 2 (4 for images) times the channels, whose values are then laid out side by side. It is an
  ordinary convolution at the smaller size, which integer kernels do fast. W. Shi et al., "Real-Time Single Image and
  Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016 (arXiv:1609.05158).

Where the larger side is odd, the last two ways cut one value off at its end; the transposed layer makes one less.
"""

from typing import Final, NamedTuple

from torch import Tensor, nn

from reparam_train.options import Upsample

CONVOLUTION: Final = {1: nn.Conv1d, 2: nn.Conv2d}
TRANSPOSED: Final = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}


class Doubling(NamedTuple):
    """A layer that doubles sides, with what comes before and after it and has no weights."""

    before: tuple[nn.Module, ...]
    layer: nn.Module
    after: tuple[nn.Module, ...]


def upsample(kind: Upsample, before: int, after: int, *, odd: tuple[bool, ...]) -> Doubling:
    """Modules from [batch, before, *sides] to [batch, after, *larger]; larger = 2 side - 1 where odd, else 2 side.

    Args:
        kind: which of the three.
        before: channels that come in.
        after: channels that go out.
        odd: of each larger side.
    """
    sides = len(odd)
    conv, crop = CONVOLUTION[sides], (Crop(odd),) if any(odd) else ()
    if kind == "nearest":
        return Doubling((nn.Upsample(scale_factor=2), *crop), conv(before, after, kernel_size=3, padding=1), ())
    if kind == "subpixel":
        layer = conv(before, 2**sides * after, kernel_size=3, padding=1)
        return Doubling((), layer, (nn.PixelShuffle(2) if sides == 2 else Shuffle(), *crop))
    padding: tuple[int, ...] = tuple(int(not each) for each in odd)
    layer = TRANSPOSED[sides](before, after, kernel_size=3, stride=2, padding=1, output_padding=padding)  # type: ignore[arg-type]  # as many as sides
    return Doubling((), layer, ())


class Shuffle(nn.Module):
    """[batch, 2 channels, length] to [batch, channels, 2 length]: `nn.PixelShuffle` of one side."""

    def forward(self, x: Tensor) -> Tensor:
        """The longer map."""
        channels, length = x.shape[1] // 2, x.shape[2]
        return x.reshape(-1, channels, 2, length).transpose(2, 3).reshape(-1, channels, 2 * length)


class Crop(nn.Module):
    """Cuts the last value off along each odd side."""

    def __init__(self, odd: tuple[bool, ...]) -> None:
        super().__init__()
        self._odd = odd

    def forward(self, x: Tensor) -> Tensor:
        """The map without its ends."""
        for axis, cut in enumerate(self._odd, 2):
            if cut:
                x = x.narrow(axis, 0, x.shape[axis] - 1)
        return x
