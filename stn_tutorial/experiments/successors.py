"""What came after the spatial transformer, each idea in a few lines on our sampler.

Every one of them decides where to sample, and differs in who decides, and for what: a
network that looks again (`InverseCompositional`), other parameters of the same warps
(`Exponential`), a detector's boxes (`roi_align`), a convolution for each of its taps
(`DeformableConv2d`), a change of coordinates (`LogPolar`), a group for all filters
(`RotatedConv2d`), another frame (`estimate_flow`), attention (`attention_rows`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_tutorial.coordinates import base_grid, to_normalized, to_pixels
from stn_tutorial.displacement import displaced_grid, roughness
from stn_tutorial.families import Affine, Described, output_points
from stn_tutorial.sampling import sample, warp
from stn_tutorial.transformer import DEFAULTS, SpatialTransformer

__all__ = [
    "CentroidLocalization",
    "DeformableConv2d",
    "Exponential",
    "InverseCompositional",
    "LogPolar",
    "RotatedConv2d",
    "attention_rows",
    "deformable_convolution",
    "estimate_flow",
    "roi_align",
]


class InverseCompositional(SpatialTransformer):
    """A transformer that looks several times, each time at what it has made so far.

    Every look adds a small warp to the warp before, and the picture is sampled anew
    from the original by the warp of all looks, so that nothing is blurred twice or cut
    off for good (Lin & Lucey 2017). All looks share the localization network.

    >>> from stn_tutorial.localization import ModernLocalization
    >>> network = ModernLocalization((1, 28, 28), Affine())
    >>> InverseCompositional(network, looks=2)(torch.rand(3, 1, 28, 28)).shape
    torch.Size([3, 1, 28, 28])

    Args:
        localization: from images to parameters of a family that composes.
        looks: how often it is asked; one is a `SpatialTransformer`.
        **options: of `SpatialTransformer`.
    """

    def __init__(
        self, localization: nn.Module, *, looks: int = 2, **options: Any
    ) -> None:
        super().__init__(localization, **options)
        self.looks = looks

    def params(self, x: Tensor) -> Tensor:
        """Return the parameters of all looks together.

        Args:
            x: ``(N, C, H, W)`` images.

        Returns:
            ``(N, n_params)``, normalized output to normalized input.
        """
        options = {name: getattr(self, name) for name in DEFAULTS}
        params = super().params(x)
        for _ in range(self.looks - 1):
            seen = warp(x, params, family=self.family, **options)
            params = self.family.compose(params, super().params(seen))
        return params


class Exponential(Described):
    r"""Affine warps by the logarithms of their matrices.

    The matrix is :math:`\exp\begin{pmatrix} a & b & c \\ d & e & f \\ 0 & 0 & 0
    \end{pmatrix}`. It always has an inverse, the exponential of the negative, and its
    determinant is :math:`e^{a + e} > 0`, so that no parameters mirror or flatten a
    picture. It is what a constant flow, followed for one unit of time, does: the
    smallest example of diffeomorphic parameters (Detlefsen et al. 2018).

    >>> family = Exponential()
    >>> family.identity().tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    >>> half = torch.tensor([[-math.log(2), 0.0, 0.0, 0.0, -math.log(2), 0.0]])
    >>> [round(p, 3) for p in family.affine(half)[0].tolist()]
    [0.5, 0.0, 0.0, 0.0, 0.5, 0.0]
    """

    n_params = 6

    def identity(self) -> Tensor:
        """Return the ``(6,)`` parameters of the identity: zeros."""
        return torch.zeros(6)

    def affine(self, params: Tensor) -> Tensor:
        """Return the parameters of the same warps in `stn_tutorial.Affine`.

        Args:
            params: ``(N, 6)``.

        Returns:
            ``(N, 6)``, normalized output to normalized input.
        """
        square = F.pad(params.unflatten(-1, (2, 3)), (0, 0, 0, 1))
        return torch.linalg.matrix_exp(square)[..., :2, :].flatten(-2)

    def grid(
        self, params: Tensor, size: Sequence[int], *, align_corners: bool = False
    ) -> Tensor:
        """Return the input coordinates to sample for every output pixel.

        Args:
            params: ``(N, 6)``.
            size: ``(H, W)`` of the output.
            align_corners: the convention of the normalized coordinates.

        Returns:
            ``(N, H, W, 2)`` normalized input points.
        """
        return Affine().grid(self.affine(params), size, align_corners=align_corners)

    def inverse(self, params: Tensor) -> Tensor:
        """Return the parameters of the warps that undo these: the negative.

        Args:
            params: ``(N, 6)``.

        Returns:
            ``(N, 6)``.
        """
        return -params


def roi_align(
    features: Tensor, boxes: Tensor, out_size: Sequence[int], *, samples: int = 2
) -> Tensor:
    """Return what boxes show, each at the same size: crops with averaged samples.

    A spatial transformer whose `stn_tutorial.Attention` parameters a detector has
    already found, and that takes the mean of several samples in each output bin, as it
    shrinks (He et al. 2017).

    >>> features = torch.arange(16.0).view(1, 1, 4, 4)
    >>> roi_align(features, torch.tensor([[0, 1.0, 1.0, 3.0, 3.0]]), (1, 1)).item()
    7.5

    Args:
        features: ``(N, C, H, W)``.
        boxes: ``(K, 5)``: the index of the image, then left, top, right and bottom in
            pixels, measured from the image's upper left edge.
        out_size: ``(H, W)`` of what comes out.
        samples: along each axis of a bin.

    Returns:
        ``(K, C, *out_size)``. Of boxes within the image it is what
        ``torchvision.ops.roi_align`` gives with ``aligned=True``.
    """
    fine = [samples * n for n in out_size]
    low, high = boxes[:, None, None, 1:3], boxes[:, None, None, 3:5]
    inside = (base_grid(fine, dtype=boxes.dtype, device=boxes.device) + 1) / 2
    # From the edge's pixels to those of centres, where the first pixel is 0.
    grid = to_normalized(low + (high - low) * inside - 0.5, features.shape[2:])
    seen = sample(features[boxes[:, 0].long()], grid, padding="border")
    return F.avg_pool2d(seen, samples)


def deformable_convolution(
    x: Tensor, offsets: Tensor, weight: Tensor, *, stride: int = 1, padding: int = 0
) -> Tensor:
    """Return a convolution each of whose taps is moved at each place.

    This is that of Dai et al. (2017). The samples of one place make a tile as large as
    the kernel, and the convolution steps from tile to tile.

    >>> x, weight = torch.rand(1, 2, 8, 8), torch.rand(3, 2, 3, 3)
    >>> still = torch.zeros(1, 18, 6, 6)
    >>> torch.allclose(deformable_convolution(x, still, weight), F.conv2d(x, weight))
    True

    Args:
        x: ``(N, C, H, W)``.
        offsets: ``(N, 2 k², *out)`` in pixels: for each of the kernel's taps, row by
            row, how far to move it along y and along x.
        weight: ``(C_out, C, k, k)``.
        stride: of the convolution.
        padding: of the convolution, with zeros.

    Returns:
        ``(N, C_out, *out)``, as ``torchvision.ops.deform_conv2d`` gives it.
    """
    k, (h, w) = weight.shape[-1], offsets.shape[2:]
    rows, columns, taps = (
        torch.arange(n, dtype=x.dtype, device=x.device) for n in (h, w, k)
    )
    y = (stride * rows - padding)[:, None, None, None] + taps[:, None, None]
    x0 = (stride * columns - padding)[:, None] + taps
    moved = offsets.unflatten(1, (k, k, 2)).permute(0, 4, 1, 5, 2, 3)  # N h k w k 2
    points = torch.stack([x0 + moved[..., 1], y + moved[..., 0]], dim=-1)
    points = points.reshape(len(x), h * k, w * k, 2)
    tiles = sample(x, to_normalized(points, x.shape[2:]))
    return F.conv2d(tiles, weight, stride=k)


class DeformableConv2d(nn.Module):
    """A convolution that looks where another convolution tells each of its taps to.

    The other one starts at zero: the layer starts as a common convolution, without
    bias.

    >>> DeformableConv2d(2, 5, 3, stride=2)(torch.rand(1, 2, 8, 8)).shape
    torch.Size([1, 5, 4, 4])

    Args:
        n_in: channels that come in.
        n_out: channels that go out.
        size: of the kernel, odd; the padding is half of it.
        stride: of the convolution.
    """

    def __init__(self, n_in: int, n_out: int, size: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.padding = stride, size // 2
        like = nn.Conv2d(n_in, n_out, size, bias=False)
        self.weight = nn.Parameter(like.weight.detach())
        self.localization = nn.Conv2d(n_in, 2 * size**2, size, stride, self.padding)
        nn.init.zeros_(self.localization.weight)
        nn.init.zeros_(self.localization.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Predict where to sample, and convolve what is found there.

        Args:
            x: ``(N, n_in, H, W)``.

        Returns:
            ``(N, n_out, H', W')``.
        """
        options = {"stride": self.stride, "padding": self.padding}
        return deformable_convolution(x, self.localization(x), self.weight, **options)


class LogPolar(Described):
    """Log-polar grids: rows are rings, columns are directions, from an origin.

    Where the origin is found, a rotation about it is a shift along the columns, which
    come round, and a scale is a shift along the rows: convolutions are made for shifts
    (Esteves et al. 2018).

    >>> family = LogPolar(inner=0.25, outer=1.0)
    >>> grid = family.grid(torch.zeros(1, 2), (2, 4))
    >>> grid[0].norm(dim=-1)[:, 0].tolist()
    [0.25, 1.0]

    The parameters ``(x, y)`` are the origin, in normalized input coordinates.

    Args:
        inner: radius of the first ring, in normalized units.
        outer: radius of the last one.
    """

    n_params = 2

    def __init__(self, inner: float = 0.05, outer: float = 1.0) -> None:
        self.inner, self.outer = inner, outer

    def identity(self) -> Tensor:
        """Return the ``(2,)`` parameters of the origin in the middle: zeros."""
        return torch.zeros(2)

    def grid(
        self, params: Tensor, size: Sequence[int], *, align_corners: bool = False
    ) -> Tensor:
        """Return the input coordinates to sample for every ring and direction.

        Args:
            params: ``(N, 2)`` origins.
            size: ``(rings, directions)``.
            align_corners: the convention of the normalized coordinates.

        Returns:
            ``(N, rings, directions, 2)`` normalized input points; the directions begin
            at the x axis and go clockwise on the screen.
        """
        points = output_points(size, params, align_corners=True)  # -1 to 1
        along = (points[..., 1] + 1) / 2
        radius = self.inner * (self.outer / self.inner) ** along
        step = 2 * math.pi / size[1]
        angle = step * torch.arange(size[1], dtype=params.dtype, device=params.device)
        circle = torch.stack([angle.cos(), angle.sin()], dim=-1)
        return params[:, None, None] + radius[..., None] * circle


class CentroidLocalization(nn.Module):
    """Finds an origin: the centre of mass of a map that convolutions draw.

    It moves as the picture does, which a fully connected layer has to learn.

    >>> CentroidLocalization((1, 28, 28))(torch.rand(5, 1, 28, 28)).shape
    torch.Size([5, 2])

    Args:
        in_shape: ``(C, H, W)`` of the images.
        channels: of the convolutions, each of which halves the size but the last.
    """

    def __init__(
        self, in_shape: Sequence[int], *, channels: Sequence[int] = (8, 12)
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        widths = [in_shape[0], *channels]
        for n_in, n_out in zip(widths, widths[1:]):
            layers += [
                nn.Conv2d(n_in, n_out, 5, 2, 2, bias=False),
                nn.BatchNorm2d(n_out),
                nn.ReLU(),
            ]
        self.map = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 5, padding=2))
        nn.init.zeros_(self.map[-1].weight)  # starts in the middle

    def forward(self, x: Tensor) -> Tensor:
        """Return the origins.

        Args:
            x: ``(N, C, H, W)``.

        Returns:
            ``(N, 2)`` normalized points (x, y).
        """
        drawn = self.map(x)
        share = drawn.flatten(1).softmax(dim=1)
        places = base_grid(drawn.shape[2:], dtype=x.dtype, device=x.device)
        return share @ places.reshape(-1, 2)


class RotatedConv2d(nn.Module):
    r"""A convolution with every filter in all orientations of the cyclic group.

    The filters are rotated by our sampler, and so they share their weights: rotate the
    picture by one step, and the feature maps rotate and move on to the next orientation
    (Cohen & Welling 2016; of angles between those of the pixels' grid, Weiler & Cesa
    2019).

    >>> lift = RotatedConv2d(1, 3, 5, rotations=8, lifts=True)
    >>> layer = RotatedConv2d(3, 4, 5, rotations=8)
    >>> layer(lift(torch.rand(2, 1, 28, 28))).shape
    torch.Size([2, 4, 8, 28, 28])

    Args:
        n_in: channels that come in.
        n_out: channels that go out.
        size: of the kernel, odd; the padding is half of it.
        rotations: in the group, 4 or 8: how many make a whole one.
        lifts: the first layer: what comes in has no orientations yet.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        size: int,
        *,
        rotations: int = 8,
        lifts: bool = False,
    ) -> None:
        super().__init__()
        self.rotations, self.lifts = rotations, lifts
        orientations = 1 if lifts else rotations
        scale = math.sqrt(2 / (n_in * orientations * size**2))
        shape = (n_out, n_in, orientations, size, size)
        self.weight = nn.Parameter(scale * torch.randn(shape))
        angles = 2 * math.pi * torch.arange(rotations) / rotations
        cos, sin, zero = angles.cos(), angles.sin(), torch.zeros(rotations)
        theta = torch.stack([cos, sin, zero, -sin, cos, zero], dim=1)
        grid = Affine().grid(theta, (size, size))
        disk = (base_grid((size, size)).norm(dim=-1) <= 1).float()
        self.register_buffer("grid", grid, persistent=False)
        self.register_buffer("disk", disk, persistent=False)

    def filters(self) -> Tensor:
        """Return every filter in every orientation.

        Returns:
            ``(n_out, rotations, n_in, 1 or rotations, size, size)``.
        """
        flat = (self.weight * self.disk).flatten(0, 2)[None]
        rotated = sample(flat.expand(self.rotations, -1, -1, -1), self.grid)
        rotated = rotated.unflatten(1, self.weight.shape[:3])
        if not self.lifts:  # the orientations that a filter looks at rotate with it
            rotated = torch.stack([f.roll(r, dims=2) for r, f in enumerate(rotated)])
        return rotated.transpose(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with every filter in every orientation.

        Args:
            x: ``(N, n_in, H, W)`` where it lifts, or else
                ``(N, n_in, rotations, H, W)``.

        Returns:
            ``(N, n_out, rotations, H, W)``.
        """
        filters = self.filters().flatten(2, 3).flatten(0, 1)
        flat = x if self.lifts else x.flatten(1, 2)
        maps = F.conv2d(flat, filters, padding=self.disk.shape[0] // 2)
        return maps.unflatten(1, (-1, self.rotations))


def estimate_flow(
    first: Tensor,
    second: Tensor,
    *,
    steps: int = 100,
    rate: float = 0.3,
    smoothness: float = 0.03,
) -> Tensor:
    """Return the displacement that makes the second frame look like the first.

    Gradient descent through the sampler on the brightness error, with a penalty on
    differences of neighbouring displacements (the energy of Horn & Schunck 1981). What
    spatial transformers brought to optical flow is this loss: it needs no true flow
    (Yu et al. 2016).

    >>> y = torch.linspace(-1, 1, 16)
    >>> blob = torch.exp(-8 * (y[:, None] ** 2 + y**2))[None, None]
    >>> flow = estimate_flow(blob, blob.roll(2, dims=3))
    >>> flow.shape, round(flow[0, 0, 8, 8].item())
    (torch.Size([1, 2, 16, 16]), 2)

    Args:
        first: ``(N, C, H, W)``.
        second: of the same shape.
        steps: of Adam.
        rate: of Adam, in pixels.
        smoothness: weight of the penalty.

    Returns:
        ``(N, 2, H, W)``: how far from each pixel of the first frame its like is in the
        second, along x and y, in pixels.
    """
    flow = torch.zeros_like(first[:, :1]).repeat(1, 2, 1, 1).requires_grad_()
    optimizer = torch.optim.Adam([flow], lr=rate)
    for _ in range(steps):
        warped = sample(second, displaced_grid(flow))
        loss = F.mse_loss(warped, first) + smoothness * roughness(flow)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return flow.detach()


def attention_rows(grid: Tensor, in_size: Sequence[int]) -> Tensor:
    r"""Return the weights of all pixels in every bilinear sample, as of attention.

    With pixels as values, ``rows @ values`` is `stn_tutorial.sample`: a row is not
    negative, sums to 1 inside the picture, and has four entries that are not zero at
    most. Where attention compares a query with every key, here the query is a location,
    a key is a pixel's centre, and the comparison is :math:`\max(0, 1 - |x - m|)
    \max(0, 1 - |y - n|)`.

    >>> grid = base_grid((2, 2))[None]
    >>> attention_rows(grid, (2, 2))[0].tolist() == torch.eye(4).tolist()
    True

    Args:
        grid: ``(N, *out, 2)`` normalized input points.
        in_size: ``(H, W)`` of the picture.

    Returns:
        ``(N, prod(out), H W)``.
    """
    height, width = in_size
    x, y = to_pixels(grid, in_size).flatten(1, -2).unbind(-1)
    columns = torch.arange(width, dtype=grid.dtype, device=grid.device)
    rows = torch.arange(height, dtype=grid.dtype, device=grid.device)
    along_x = (1 - (x[..., None] - columns).abs()).clamp(min=0)
    along_y = (1 - (y[..., None] - rows).abs()).clamp(min=0)
    return (along_y[..., :, None] * along_x[..., None, :]).flatten(-2)
