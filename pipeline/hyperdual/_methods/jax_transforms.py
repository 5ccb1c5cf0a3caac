"""The methods that the field uses, made of JAX's own transforms.

They share no step with one another, or with this package's methods, beyond JAX itself, so that each
checks the rest. Costs are in passes through the network for one point with k inputs and m outputs.
"""

import jax
import jax.numpy as jnp
from jax.experimental import jet

from .._jaxpr import custom_rule_names, equations
from .._reason import reason
from .method import Function, MethodError, PointDerivatives


def double_forward(fn: Function, z: jax.Array) -> PointDerivatives:
    """Forward over forward: the jvp of a jvp, once for each direction (1 + 2k passes).

    Along e_i, d/dt f(z + t e_i) = J[:, i] and d2/dt2 f(z + t e_i) = D[:, i].
    """

    def along(direction: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        def first(point: jax.Array) -> tuple[jax.Array, jax.Array]:
            return jax.jvp(fn, (point,), (direction,))

        (value, slope), (_, curvature) = jax.jvp(first, (z,), (direction,))
        return value, slope, curvature

    return jax.vmap(along, out_axes=(None, -1, -1))(jnp.eye(z.size, dtype=z.dtype))


def taylor(fn: Function, z: jax.Array) -> PointDerivatives:
    """Second-order Taylor series along each direction, by `jax.experimental.jet`.

    Cannot: functions with custom derivative rules (`jax.custom_jvp`, `jax.custom_vjp`: jet would
    differentiate their bodies and ignore the rules, so relu, softplus, mish and the like are
    refused), and what jet has no or faulty rules for (`while`, scatter, the scalar `min` in celu;
    a `gather` that fills with a number, which jet has for the derivatives, too). Each is refused,
    with what stopped it.
    """
    traced = jax.make_jaxpr(fn)(z)
    refused = custom_rule_names(traced)
    if refused:
        raise MethodError(
            f"method 'taylor' cannot differentiate {', '.join(refused)}: jax.experimental.jet "
            "ignores custom derivative rules"
        )
    # Filled with NaN the value is none either, so that the row is not taken for right.
    gathers = [eqn for eqn in equations(traced) if eqn.primitive.name == "gather"]
    fills = [eqn.params["fill_value"] for eqn in gathers if eqn.params["fill_value"] is not None]
    if any(fill != 0 and fill == fill for fill in fills):
        raise MethodError(
            "method 'taylor' cannot differentiate indexing with mode='fill' and a fill_value other "
            "than 0: jax.experimental.jet fills the derivatives, too"
        )

    def along(direction: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        value, (slope, curvature) = jet.jet(fn, (z,), ((direction, jnp.zeros_like(z)),))
        return value, slope, curvature

    try:
        # jet batches the value along with its series, so there is one copy for each direction.
        value, jacobian, hessian_diag = jax.vmap(along, out_axes=(0, -1, -1))(
            jnp.eye(z.size, dtype=z.dtype)
        )
    except Exception as error:  # the function itself traces well: what fails here is jet
        raise MethodError(
            f"method 'taylor': jax.experimental.jet cannot differentiate this network "
            f"({reason(error)})"
        ) from error
    return value[0], jacobian, hessian_diag


def forward_over_reverse(fn: Function, z: jax.Array) -> PointDerivatives:
    """The jvp, along each direction, of the Jacobian by backpropagation (about 2mk passes)."""

    def value_and_jacobian(point: jax.Array) -> tuple[jax.Array, jax.Array]:
        value, pullback = jax.vjp(fn, point)
        (jacobian,) = jax.vmap(pullback)(jnp.eye(value.size, dtype=value.dtype))
        return value, jacobian

    def along(direction: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        (value, jacobian), (_, tangent) = jax.jvp(value_and_jacobian, (z,), (direction,))
        return value, jacobian, tangent @ direction

    return jax.vmap(along, out_axes=(None, None, -1))(jnp.eye(z.size, dtype=z.dtype))


def reverse_over_forward(fn: Function, z: jax.Array) -> PointDerivatives:
    """Backpropagation through dual numbers: the gradient of each J[j, i] (about 2mk passes).

    D[j, i] is the component along e_i of the gradient of J[j, i].
    """

    def along(direction: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        def dual(point: jax.Array) -> tuple[jax.Array, jax.Array]:
            return jax.jvp(fn, (point,), (direction,))

        (value, slope), pullback = jax.vjp(dual, z)
        seeds = jnp.eye(slope.size, dtype=slope.dtype)
        (gradients,) = jax.vmap(lambda seed: pullback((jnp.zeros_like(value), seed)))(seeds)
        return value, slope, gradients @ direction

    return jax.vmap(along, out_axes=(None, -1, -1))(jnp.eye(z.size, dtype=z.dtype))


def reverse_over_reverse(fn: Function, z: jax.Array) -> PointDerivatives:
    """Backpropagation through backpropagation: the gradient of each J[j, i] (about 2mk passes).

    It needs no forward mode, which a `custom_vjp` whose rule calls the function itself has not.
    """

    def jacobian_and_value(point: jax.Array) -> tuple[jax.Array, jax.Array]:
        value, pullback = jax.vjp(fn, point)
        (jacobian,) = jax.vmap(pullback)(jnp.eye(value.size, dtype=value.dtype))
        return jacobian, value

    jacobian, pullback, value = jax.vjp(jacobian_and_value, z, has_aux=True)
    outputs = jnp.eye(value.size, dtype=value.dtype)

    def along(direction: jax.Array) -> jax.Array:
        (gradients,) = jax.vmap(lambda output: pullback(jnp.outer(output, direction)))(outputs)
        return gradients @ direction

    diagonal = jax.vmap(along, out_axes=-1)(jnp.eye(z.size, dtype=z.dtype))
    return value, jacobian, diagonal


def dense_hessian(fn: Function, z: jax.Array) -> PointDerivatives:
    """The whole Hessian by `jax.hessian`, of which the diagonal is kept: the slow reference."""
    hessian = jax.hessian(fn)(z)
    return fn(z), jax.jacfwd(fn)(z), jnp.diagonal(hessian, axis1=-2, axis2=-1)
