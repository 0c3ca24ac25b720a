"""The networks of Liu et al. (2018): from locations to pictures, and back.

`CoordConvDecoder` and `DeconvDecoder` take points ``(N, 2)`` to a canvas: scores for
the pixel of the centre (coordinate classification), or for each pixel to be white
(rendering). `CoordConvRegressor`, `ConvRegressor` and `PooledConvRegressor` take
pictures to points.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stn_tutorial.coordconv import CoordConv2d

__all__ = [
    "ConvRegressor",
    "CoordConvDecoder",
    "CoordConvRegressor",
    "DeconvDecoder",
    "PooledConvRegressor",
]


class CoordConvDecoder(nn.Module):
    """A point, laid out over the canvas beside the coordinates (Liu et al., §4).

    All its convolutions are 1×1: each pixel decides by itself, from the point and from
    where it is. It has 7,553 parameters.

    >>> CoordConvDecoder()(torch.zeros(2, 2)).shape
    torch.Size([2, 1, 64, 64])

    Args:
        canvas: height and width of its output.
    """

    def __init__(self, canvas: int = 64) -> None:
        super().__init__()
        self.canvas = canvas
        self.layers = nn.Sequential(
            *(CoordConv2d(2, 32, 1), nn.ReLU()),
            *(nn.Conv2d(32, 32, 1), nn.ReLU()),
            *(nn.Conv2d(32, 64, 1), nn.ReLU()),
            *(nn.Conv2d(64, 64, 1), nn.ReLU()),
            nn.Conv2d(64, 1, 1),
        )

    def forward(self, points: Tensor) -> Tensor:
        """Return a score for every pixel.

        Args:
            points: ``(N, 2)`` normalized (x, y).

        Returns:
            ``(N, 1, canvas, canvas)`` scores.
        """
        laid_out = points[:, :, None, None].expand(-1, -1, self.canvas, self.canvas)
        return self.layers(laid_out)


class DeconvDecoder(nn.Sequential):
    """A point, unfolded by six transposed convolutions (Liu et al., §4).

    Each doubles the size, from 1×1 to 64×64. The paper's have 46,465 to 1,632,001
    parameters: sizes of 2 to 4, widths of 1 to 3.

    >>> DeconvDecoder()(torch.zeros(2, 2)).shape
    torch.Size([2, 1, 64, 64])

    Args:
        size: of the kernels, 2 to 4.
        width: a factor of the channels (64, 64, 64, 32, 32).

    Raises:
        ValueError: if `size` is not 2, 3 or 4.
    """

    def __init__(self, size: int = 3, width: int = 1) -> None:
        if size not in (2, 3, 4):
            raise ValueError(f"size must be 2, 3 or 4, got {size}")
        padding = (size - 1) // 2
        exact = {"padding": padding, "output_padding": 2 + 2 * padding - size}
        layers: list[nn.Module] = [nn.Unflatten(1, (2, 1, 1))]
        channels = [2, *(width * n for n in (64, 64, 64, 32, 32)), 1]
        for n_in, n_out in zip(channels, channels[1:]):
            layers.append(nn.ConvTranspose2d(n_in, n_out, size, stride=2, **exact))
            layers += [nn.BatchNorm2d(n_out), nn.ReLU()] if n_out > 1 else []
        super().__init__(*layers)


class CoordConvRegressor(nn.Sequential):
    """A picture's coordinates, read where the picture says (Liu et al., §4).

    Three 1×1 and two 3×3 convolutions, and the maximum over all locations. It has 906
    parameters. As in the authors' code nothing stands between the convolutions: what
    comes to the maximum is linear in the picture and in the coordinates.

    >>> CoordConvRegressor()(torch.zeros(2, 1, 64, 64)).shape
    torch.Size([2, 2])

    Args:
        rectified: put a ReLU behind each convolution but the last.
        started: start as a network in which the white pixel attains the maximum: every
            layer passes on its input, the white pixel lies above all that a black one
            can reach, and outputs are about zero. Otherwise weights are random. The
            maximum passes gradients to the location that attains it and to no other,
            which may be a black one in every picture.
    """

    def __init__(self, *, rectified: bool = False, started: bool = False) -> None:
        between = nn.ReLU if rectified else nn.Identity
        super().__init__(
            *(CoordConv2d(1, 8, 1), between()),
            *(nn.Conv2d(8, 8, 1), between()),
            *(nn.Conv2d(8, 8, 1), between()),
            *(nn.Conv2d(8, 8, 3, padding=1), between()),
            nn.Conv2d(8, 2, 3, padding=1),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        layers = [layer for layer in self if isinstance(layer, nn.Conv2d)]
        for layer in layers:
            nn.init.zeros_(layer.bias)
            if not started:
                # As the authors; PyTorch's own start halves the signal in every layer.
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if started:
            self._let_white_win(*layers)

    @staticmethod
    def _let_white_win(first: nn.Conv2d, *others: nn.Conv2d) -> None:
        *inner, last = others
        with torch.no_grad():
            # White comes to 1 at least, and black to 1 at most.
            nn.init.uniform_(first.weight, -0.5, 0.5)
            first.weight[:, 0] = 2
            for layer in inner:
                nn.init.dirac_(layer.weight)
            nn.init.zeros_(last.weight)
            last.weight[:, :, 1, 1].uniform_(0, 0.25)
            last.bias.copy_(-2 * last.weight.sum(dim=(1, 2, 3)))


class ConvRegressor(nn.Sequential):
    """Strided convolutions and two fully connected layers, as large as the paper's.

    The authors take such a network for the uniform split (with poolings for strides).

    >>> ConvRegressor(width=8)(torch.zeros(2, 1, 64, 64)).shape
    torch.Size([2, 2])

    Args:
        width: of the first two convolutions; 8 makes 21 thousand parameters, 32 makes
            131 thousand.
    """

    def __init__(self, width: int = 16) -> None:
        layers: list[nn.Module] = []
        channels = [1, width, width, 2 * width, 2 * width]
        for n_in, n_out in zip(channels, channels[1:]):
            layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.ReLU()]
        # Four halvings leave 4×4 of 64×64 pixels.
        head = [nn.Linear(2 * width * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 2)]
        super().__init__(*layers, nn.Flatten(), *head)


class PooledConvRegressor(nn.Sequential):
    """Convolutions, five of them strided, and the mean over what is left of the canvas.

    The authors take such a network for the quadrant: it has no weights that belong to a
    location. Theirs ends in a ReLU, which would forbid negative coordinates.

    >>> PooledConvRegressor()(torch.zeros(2, 1, 64, 64)).shape
    torch.Size([2, 2])
    """

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        n_in, width = 1, 16
        # Kernel, stride, and whether a batch normalization follows.
        for size, stride, normalized in (
            *((5, 2, False), (1, 1, True), (3, 1, False)),
            *((3, 2, False), (3, 2, True), (3, 2, False)),
            *((1, 1, False), (3, 2, False)),
        ):
            layers.append(nn.Conv2d(n_in, width, size, stride, padding=size // 2))
            layers += [nn.BatchNorm2d(width)] if normalized else []
            layers.append(nn.ReLU())
            n_in = width
        last = nn.Conv2d(width, 2, 3, padding=1)
        super().__init__(*layers, last, nn.AdaptiveAvgPool2d(1), nn.Flatten())
