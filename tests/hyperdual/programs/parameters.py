"""Each parameter of a primitive that has a rule, at a value other than the usual one."""

import jax.numpy as jnp
from jax import lax

from ._program import collector, weights

PROGRAMS, program = collector()


@program(6)
def reshape_of_x_in_another_order(x):
    return jnp.sin(lax.reshape(x.reshape(2, 3), (6,), (1, 0))) * jnp.arange(1, 7)


@program(6)
def reshape_of_columns_first(x):
    return jnp.reshape(x**2, (3, 2), order="F") @ jnp.asarray([1.0, -2.0], x.dtype)


@program(8)
def ravel_of_columns_first(x):
    tokens = jnp.tanh(weights(x, (3, 4)) @ x.reshape(4, 2))
    return jnp.ravel(tokens, order="F") * jnp.ravel(tokens) ** 2


@program(12)
def reshape_of_three_axes_in_another_order(x):
    turned = lax.reshape(jnp.exp(x / 3).reshape(2, 3, 2), (4, 3), (2, 0, 1))
    return jnp.prod(turned, axis=1)


@program(6)
def convolution_with_precision_and_type(x):
    kernel = weights(x, (2, 1, 3))
    convolved = lax.conv_general_dilated(
        jnp.sin(x).reshape(1, 1, 6),
        kernel,
        (2,),
        [(2, 1)],
        precision=lax.Precision.DEFAULT,
        preferred_element_type=x.dtype,
    )
    return convolved.ravel() ** 2


@program(6)
def cumulative_sum_along_the_last_axis_from_its_end(x):
    return (lax.cumsum(jnp.sin(x).reshape(2, 3), axis=1, reverse=True) ** 2).ravel()


@program(5)
def gather_of_sorted_places_that_occur_once(x):
    places = jnp.array([0, 2, 3])
    taken = (
        jnp.exp(x)
        .at[places]
        .get(indices_are_sorted=True, unique_indices=True, mode="promise_in_bounds")
    )
    return taken * x[:3]


@program(5)
def gather_that_fills_beyond_the_end(x):
    taken = (x**2).at[jnp.array([4, 9, 1])].get(mode="fill", fill_value=7.0)
    return taken * x[:3]


@program(4)
def scatter_into_columns_with_clipped_places(x):
    start = jnp.sin(x).reshape(2, 2) * jnp.ones((2, 2), x.dtype)
    return start.at[:, jnp.array([1, 5])].add(x.reshape(2, 2) ** 2, mode="clip").ravel()


@program(4)
def scatter_into_sorted_places_that_occur_once(x):
    into = jnp.zeros(6, x.dtype).at[jnp.array([1, 2, 4, 5])]
    return into.add(x**3, indices_are_sorted=True, unique_indices=True) ** 2


@program(3)
def fewer_bits(x):
    return lax.reduce_precision(jnp.sin(x), 8, 30) * x


@program(12)
def window_sums_with_strides_padding_and_dilation(x):
    image = jnp.sin(x).reshape(3, 4)
    summed = lax.reduce_window(
        image,
        0.0,
        lax.add,
        window_dimensions=(2, 2),
        window_strides=(2, 1),
        padding=((1, 0), (0, 2)),
        base_dilation=(1, 2),
        window_dilation=(2, 1),
    )
    return summed.ravel() ** 2


@program(6)
def rev_of_the_last_axis(x):
    return (lax.rev(x.reshape(2, 3) ** 2, (1,)) * x.reshape(2, 3)).ravel()


@program(3, rule="forward")
def while_with_constants(x):
    many, factor = jnp.round(x[0] ** 2) + 2, jnp.cos(x)

    def body(state):
        return state[0] + 1, state[1] * factor + x**2

    return lax.while_loop(lambda state: state[0] < many, body, (0.0 * many, x))[1]


@program(4)
def conj_of_real_and_complex_numbers(x):
    z = lax.complex(x[:2] ** 2, x[2:])
    return lax.real(z * lax.conj(jnp.sin(z))) + lax.real(lax.conj(x[:2] ** 3))


@program(6)
def scan_from_the_end_unrolled_over_several_arrays(x):
    """A carry and arrays with a structure of their own."""

    def body(state, item):
        a, (b, c) = item
        first = state["h"] * a + jnp.sin(b)
        return {"h": first, "g": state["g"] + c * first}, (first * b, state["g"])

    start = {"h": jnp.sin(x[0]), "g": x[1] ** 2}
    last, ys = lax.scan(body, start, (x[:3], (x[3:], x[:3] ** 2)), reverse=True, unroll=2)
    return jnp.stack([last["h"], last["g"], *ys[0], *ys[1]])


@program(6)
def running_extremes_along_each_axis_and_either_way(x):
    table = jnp.sin(x).reshape(2, 3)
    return jnp.concatenate(
        [
            (lax.cummax(table, axis=1, reverse=True) * x.reshape(2, 3)).ravel(),
            (lax.cummin(table, axis=1) * x.reshape(2, 3)).ravel(),
            lax.cummin(table * x.reshape(2, 3), axis=0, reverse=True).ravel(),
        ]
    )


@program(6)
def smallest_of_each_row_and_column(x):
    table = jnp.exp(x).reshape(2, 3)
    return jnp.concatenate([jnp.min(table, axis=1) ** 2, jnp.min(table, axis=0) * x[:3]])
