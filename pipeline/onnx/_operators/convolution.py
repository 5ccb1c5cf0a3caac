"""Convolutions."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from .._values import cast, check_size, is_constant
from ._by_jax import by_jax
from ._windows import Axis, halved, padding, spatial_axes, steps


@operator("Conv")
def _(node: Node) -> Any:
    image, kernel = node[0], node[1]
    axes = spatial_axes(node, image.shape[2:], kernel.shape[2:])
    convolve = partial(_convolution, axes=axes, groups=node.get("group", 1))
    return _with_bias(by_jax(convolve, image, kernel), node.get_input(2))


@operator("ConvInteger")
def _(node: Node) -> Any:
    """Of whole numbers, less what stands for zero; the kernel's may differ by output channel."""
    image, kernel = cast(node[0], np.dtype("int32")), cast(node[1], np.dtype("int32"))
    if node.get_input(2) is not None:
        image = image - cast(node[2], np.dtype("int32"))
    if node.get_input(3) is not None:
        kernel = kernel - _by_channel(cast(node[3], np.dtype("int32")), 0, kernel.ndim)
    axes = spatial_axes(node, image.shape[2:], kernel.shape[2:])
    return by_jax(partial(_convolution, axes=axes, groups=node.get("group", 1)), image, kernel)


@operator("ConvTranspose")
def _(node: Node) -> Any:
    """The transpose of a convolution, that is, its derivative with respect to its input."""
    image, kernel = node[0], node[1]
    lengths, sizes = image.shape[2:], kernel.shape[2:]
    strides, dilations = steps(node, "strides", lengths), steps(node, "dilations", lengths)
    further = node.get("output_padding") or [0] * len(lengths)
    automatic = node.get("auto_pad", "NOTSET")
    wanted = node.get("output_shape")
    if wanted is None and automatic in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [length * stride for length, stride in zip(lengths, strides, strict=True)]
    full = [
        stride * (length - 1) + more + (size - 1) * dilation + 1
        for length, size, stride, dilation, more in zip(
            lengths, sizes, strides, dilations, further, strict=True
        )
    ]
    if wanted is None:
        pads = padding(node, lengths)
        starts = [before for before, _ in pads]
        wanted = [size - sum(ends) for size, ends in zip(full, pads, strict=True)]
    else:
        wanted = wanted[-len(lengths) :]
        cut = [max(size - kept, 0) for size, kept in zip(full, wanted, strict=True)]
        starts = [halved(total, upper=automatic == "SAME_UPPER") for total in cut]
    axes = [
        Axis(size, of_kernel, stride, dilation, start, 0)
        for size, of_kernel, stride, dilation, start in zip(
            check_size(wanted), sizes, strides, dilations, starts, strict=True
        )
    ]
    return _with_bias(_transposed(image, kernel, axes, node.get("group", 1)), node.get_input(2))


@operator("Col2Im")
def _(node: Node) -> Any:
    """Images from their patches: where patches overlap, their sum.

    This is the transpose of a convolution whose kernels each pick one entry of a patch; the
    channels do not mix, and are taken for so many images.
    """
    columns = node[0]
    lengths, sizes = check_size(node.static(1)), check_size(node.static(2))
    axes = spatial_axes(node, lengths, sizes)
    entries = math.prod(sizes)
    n_images, channels = columns.shape[0], columns.shape[1] // entries
    check_size((entries, entries))
    picks = np.eye(entries, dtype=columns.dtype).reshape(entries, 1, *sizes)
    places = [axis.places for axis in axes]
    patches = columns.reshape(n_images * channels, entries, *places)
    return _transposed(patches, picks, axes, 1).reshape(n_images, channels, *lengths)


@operator("DeformConv")
def _(node: Node) -> Any:
    """A convolution whose window has each entry moved, by offsets that are an input.

    Between pixels the image is linear in each direction; outside it is zero.
    https://arxiv.org/abs/1811.11168
    """
    image, kernel, offset = node[0], node[1], node[2]
    axes = spatial_axes(node, image.shape[2:], kernel.shape[2:])
    deform = partial(
        _deformed, axes=axes, groups=node.get("group", 1), blocks=node.get("offset_group", 1)
    )
    return _with_bias(by_jax(deform, image, kernel, offset, node.get_input(4)), node.get_input(3))


def _convolution(image: Any, kernel: Any, axes: Sequence[Axis], groups: int) -> jax.Array:
    return lax.conv_general_dilated(
        image,
        kernel,
        [axis.stride for axis in axes],
        [axis.padding for axis in axes],
        rhs_dilation=[axis.dilation for axis in axes],
        feature_group_count=groups,
    )


def _transposed(image: Any, kernel: Any, axes: Sequence[Axis], groups: int) -> Any:
    """Return the transpose of a convolution.

    Args:
        image: (images, channels, ...), the result of the convolution that is transposed.
        kernel: (channels, channels of the result / groups, ...).
        axes: of that convolution; their ends are padded, or cut, as the lengths need it.
        groups: of channels.
    """
    xp = np if is_constant(kernel) else jnp
    n_in, n_out, *sizes = kernel.shape
    if n_in % groups:
        raise OnnxError(f"{n_in} channels cannot be divided into {groups} groups")
    grouped = xp.reshape(kernel, (groups, n_in // groups, n_out, *sizes))
    swapped = xp.swapaxes(grouped, 1, 2).reshape(groups * n_out, n_in // groups, *sizes)
    flipped = xp.flip(swapped, tuple(range(2, swapped.ndim)))
    pads = []
    for axis, places in zip(axes, image.shape[2:], strict=True):
        before = axis.reach - 1 - axis.before
        pads.append(
            (before, axis.length - 1 + axis.reach - 1 - axis.stride * (places - 1) - before)
        )

    def convolve(image: Any, kernel: Any) -> jax.Array:
        return lax.conv_general_dilated(
            image,
            kernel,
            [1] * len(axes),
            pads,
            lhs_dilation=[axis.stride for axis in axes],
            rhs_dilation=[axis.dilation for axis in axes],
            feature_group_count=groups,
        )

    return by_jax(convolve, image, flipped)


def _deformed(
    image: Any, kernel: Any, offset: Any, mask: Any, axes: Sequence[Axis], groups: int, blocks: int
) -> jax.Array:
    """Return the convolution, as a product with the patches that the moved window meets.

    Args:
        image: (images, channels, ...).
        kernel: (channels of the result, channels / groups, ...).
        offset: (images, blocks x entries of the window x spatial axes, ... places).
        mask: factors, (images, blocks x entries of the window, ... places); None if there are none.
        axes: of the convolution.
        groups: of channels.
        blocks: of channels that have offsets in common.
    """
    n_images, channels = image.shape[:2]
    n_out, places = kernel.shape[0], [axis.places for axis in axes]
    sizes, entries = [axis.size for axis in axes], math.prod(axis.size for axis in axes)
    check_size((n_images, channels, entries, *places))
    offset = jnp.asarray(offset).reshape((n_images, blocks, entries, len(axes), *places))
    pixels = jnp.asarray(image).reshape((n_images, blocks, channels // blocks, -1))
    lower, fraction = [], []
    for number, axis in enumerate(axes):
        others = [1] * len(axes)
        starts = np.arange(axis.places) * axis.stride - axis.before
        within = np.indices(sizes)[number].reshape(entries, *others) * axis.dilation
        others[number] = axis.places
        whole = within + starts.reshape(others)
        at = offset[:, :, :, number] + whole.astype(offset.dtype)
        floor = jnp.floor(at)
        fraction.append(at - floor)
        lower.append(jnp.clip(floor, -2, axis.length).astype(jnp.int32))
    patches: Any = 0.0
    for corner in np.ndindex(*[2] * len(axes)):
        weight: Any = 1.0
        index: Any = 0
        for axis, start, part, step in zip(axes, lower, fraction, corner, strict=True):
            at = start + step
            share = part if step else 1 - part
            weight = weight * jnp.where((at >= 0) & (at < axis.length), share, 0)
            index = index * axis.length + jnp.clip(at, 0, axis.length - 1)
        flat = index.reshape(n_images, blocks, 1, -1)
        met = jnp.take_along_axis(pixels, flat, axis=3)
        patches = patches + met * weight.reshape(n_images, blocks, 1, -1)
    if mask is not None:
        patches = patches * jnp.reshape(mask, (n_images, blocks, 1, -1))
    patches = patches.reshape(n_images, groups, channels // groups * entries, math.prod(places))
    matrix = jnp.reshape(kernel, (groups, n_out // groups, channels // groups * entries))
    return jnp.einsum("gok,ngkp->ngop", matrix, patches).reshape(n_images, n_out, *places)


def _with_bias(value: Any, bias: Any) -> Any:
    return value if bias is None else value + _by_channel(bias, 1, value.ndim)


def _by_channel(value: Any, axis: int, rank: int) -> Any:
    """Return one number, or one for each channel, to be broadcast along all other axes."""
    return (
        value if value.ndim == 0 else value.reshape([-1 if a == axis else 1 for a in range(rank)])
    )
