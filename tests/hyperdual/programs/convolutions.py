"""Convolutions: strides, padding, groups, dilation, active kernels."""

import jax
import jax.numpy as jnp
from jax import lax

from ._program import collector, weights

PROGRAMS, program = collector()


def _conv(image, kernel, strides, padding, **options):
    return lax.conv_general_dilated(image, kernel, strides, padding, **options)


@program(7)
def conv_1d_with_stride(x):
    maps = jnp.tanh(_conv(x.reshape(1, 1, 7), weights(x, (2, 1, 3)), (2,), "SAME"))
    return _conv(maps, weights(x, (1, 2, 2)), (1,), "VALID").reshape(-1)


@program(5)
def conv_1d_of_a_long_image(x):
    image = jnp.sin(weights(x, (40, 5)) @ x).reshape(1, 40, 1)
    numbers = ("NWC", "WIO", "NWC")
    maps = _conv(image, weights(x, (2, 1, 3)), (1,), "VALID", dimension_numbers=numbers)
    return jnp.tanh(maps).sum((0, 1))


@program(5)
def conv_of_each_feature_of_a_long_image(x):
    image = jnp.sin(weights(x, (80, 5)) @ x).reshape(1, 2, 40)
    maps = _conv(image, weights(x, (4, 1, 2)), (1,), "SAME", feature_group_count=2)
    return jnp.tanh(maps).sum((0, 2))


@program(6)
def conv_of_several_images(x):
    images = jnp.sin(weights(x, (12, 6)) @ x).reshape(3, 1, 4)
    maps = _conv(images, weights(x, (2, 1, 3)), (1,), "SAME")
    return jnp.tanh(maps).sum(0).reshape(-1)


@program(6)
def conv_with_a_kernel_that_is_computed(x):
    kernel = weights(x, (2, 1, 3))
    maps = _conv(x.reshape(1, 1, 6), kernel / jnp.linalg.norm(kernel), (1,), "SAME")
    return jnp.tanh(maps).sum((0, 1))


@program(12)
def conv_2d_channels_last(x):
    numbers = ("NHWC", "HWIO", "NHWC")
    image, kernel = x.reshape(1, 2, 3, 2), weights(x, (2, 2, 2, 3))
    maps = _conv(image, kernel, (1, 1), "VALID", dimension_numbers=numbers)
    return jax.nn.gelu(maps).sum((0, 1, 2))


@program(8)
def conv_of_feature_groups(x):
    options = {"feature_group_count": 2}
    maps = _conv(x.reshape(1, 2, 4), weights(x, (4, 1, 2)), (1,), ((1, 1),), **options)
    return jnp.tanh(maps).sum(-1)[0]


@program(24)
def conv_with_all_parameters(x):
    options = {
        "lhs_dilation": (1, 2),
        "rhs_dilation": (2, 1),
        "feature_group_count": 2,
        "dimension_numbers": lax.ConvDimensionNumbers((2, 0, 3, 1), (3, 1, 0, 2), (1, 2, 3, 0)),
    }
    image = jnp.sin(x).reshape(4, 3, 1, 2)  # (features, width, batch, height)
    kernel = weights(x, (2, 2, 2, 6))  # (height, features in, width, features out)
    maps = _conv(image, kernel, (1, 2), ((1, 2), (0, -1)), **options)
    return (maps**2).sum((1, 3)).reshape(-1)


@program(9)
def conv_through_a_wide_window(x):
    maps = _conv(jnp.exp(x).reshape(1, 1, 9), weights(x, (2, 1, 70)), (3,), ((35, 35),))
    return jnp.tanh(maps).sum(1)[0]


@program(5)
def conv_without_results(x):
    options = {"feature_group_count": 2}
    empty = _conv(x[:4].reshape(1, 2, 2), weights(x, (2, 1, 5)), (1,), "VALID", **options)
    summed = lax.reduce_window(jnp.sin(x), 0.0, lax.add, (7,), (1,), "VALID")
    without_features = _conv(x.reshape(1, 1, 5), weights(x, (0, 1, 2)), (1,), "VALID")
    return jnp.exp(x) + empty.sum() + summed.sum() + without_features.sum()


@program(8)
def conv_of_batch_groups(x):
    options = {"batch_group_count": 2}
    maps = _conv(x.reshape(2, 1, 4), weights(x, (4, 1, 3)), (1,), "VALID", **options)
    return jnp.sin(maps).reshape(-1)[:5]


@program(9)
def conv_with_dilated_kernel(x):
    maps = _conv(x.reshape(1, 1, 9), weights(x, (2, 1, 3)), (1,), "VALID", rhs_dilation=(3,))
    return jnp.exp(-(maps**2)).reshape(-1)


@program(5)
def conv_with_dilated_input(x):
    maps = _conv(x.reshape(1, 1, 5), weights(x, (2, 1, 3)), (1,), ((1, 2),), lhs_dilation=(2,))
    return jnp.tanh(maps.sum(1)).reshape(-1)[2:7]


@program(5)
def conv_with_cropping_padding(x):
    kernel = weights(x, (1, 1, 2))
    return jnp.cos(_conv(x.reshape(1, 1, 5), kernel, (1,), ((-1, 2),))).reshape(-1)


@program(6)
def conv_transposed(x):
    maps = lax.conv_transpose(x.reshape(1, 3, 2), weights(x, (3, 2, 2)), (2,), "SAME")
    return jnp.tanh(maps).reshape(-1)[3:9]


@program(6)
def conv_kernel_from_x(x):
    image = weights(x, (1, 2, 5))
    return jnp.tanh(_conv(image, x.reshape(1, 2, 3), (1,), "SAME")).reshape(-1)[:3]


@program(7)
def conv_of_two_active_operands(x):
    return _conv(jnp.sin(x).reshape(1, 1, 7), (x[:3] * x[4:]).reshape(1, 1, 3), (1,), "SAME")[0, 0]


@program(6)
def conv_of_two_active_operands_in_groups(x):
    image, kernel = x.reshape(1, 2, 3), jnp.tanh(x[:4]).reshape(2, 1, 2)
    return _conv(image, kernel, (2,), ((1, 0),), feature_group_count=2).reshape(-1)
