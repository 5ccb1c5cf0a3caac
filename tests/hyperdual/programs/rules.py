"""Derivative rules of the user's own, stopped gradients, derivatives inside the function.

Most of the rules below are not those of their functions, so that ignoring a rule is seen. They
return the value by calling the function itself, as JAX asks for derivatives of higher order; where
a rule returns it in another way, nothing nonlinear comes after (`test_edges.py` has that case).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ._program import collector, weights

PROGRAMS, program = collector()


@jax.custom_jvp
def _scaled_sine(x):
    return jnp.sin(x)


@_scaled_sine.defjvp
def _(primals, tangents):
    return _scaled_sine(*primals), primals[0] ** 3 * tangents[0]


@jax.custom_jvp
def _coupled(a, b):
    return a * b, jnp.sum(b)


@_coupled.defjvp
def _(primals, tangents):
    (a, b), (da, db) = primals, tangents
    return _coupled(a, b), (jnp.cos(a) * da + a * b * db, jnp.sum(a**2 * db))


@partial(jax.custom_jvp, nondiff_argnums=(0, 2))
def _applied(f, x, power):
    return f(x) ** power


@_applied.defjvp
def _(f, power, primals, tangents):
    (x,), (dx,) = primals, tangents
    return _applied(f, x, power), power * x * f(x) * dx


@partial(jax.custom_jvp)
def _sparing(a, b):
    return jnp.sin(a) + b


def _sparing_jvp(primals, tangents):
    (a, b), (da, db) = primals, tangents
    out = jnp.zeros_like(a)
    if type(da) is not jax.custom_derivatives.SymbolicZero:
        out += jnp.exp(a) * da
    if type(db) is not jax.custom_derivatives.SymbolicZero:
        out += 2 * b * db
    return _sparing(a, b), out


_sparing.defjvp(_sparing_jvp, symbolic_zeros=True)


@jax.custom_jvp
def _straight_through(x):
    return jnp.round(x)


_straight_through.defjvps(lambda tangent, _, x: tangent)


@jax.custom_jvp
def _on_the_host(x):
    return jax.pure_callback(np.sin, x, x, vmap_method="expand_dims")


_on_the_host.defjvps(lambda tangent, _, x: jnp.cos(x) * tangent)


@jax.custom_vjp
def _scaled_cosine(x):
    return jnp.cos(x)


_scaled_cosine.defvjp(lambda x: (jnp.cos(x), x), lambda x, cotangent: (jnp.exp(x / 2) * cotangent,))


@jax.custom_vjp
def _stable_log1pexp(x):
    return jnp.log1p(jnp.exp(x))


_stable_log1pexp.defvjp(
    lambda x: (jnp.log1p(jnp.exp(x)), x), lambda x, cotangent: (cotangent / (1 + jnp.exp(-x)),)
)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _weighted(count, a, b):
    return a * b, count * jnp.sum(a)


_weighted.defvjp(
    lambda count, a, b: ((a * b, count * jnp.sum(a)), (a, b)),
    lambda count, kept, ct: (ct[0] * kept[1] ** 2 + ct[1], ct[0] * count * kept[0]),
)


@program(3)
def custom_jvp_elementwise(x):
    return jnp.tanh(weights(x, (2, 4)) @ _scaled_sine(weights(x, (4, 3)) @ x))


@program(3)
def custom_jvp_of_x_itself(x):
    return _scaled_sine(x)


@program(4)
def custom_jvp_of_two_arrays(x):
    product, total = _coupled(jnp.sin(x), weights(x, (4, 4)) @ x)
    return product * total


@program(4)
def custom_jvp_with_one_fixed_operand(x):
    product, total = _coupled(weights(x, (4,)), x**2)
    return jnp.append(product, total)


@program(3)
def custom_jvp_with_nondiff_argnums(x):
    return _applied(jnp.cosh, weights(x, (2, 3)) @ x, 2)


@program(3)
def custom_jvp_with_symbolic_zeros(x):
    return _sparing(x, weights(x, (3,))) * _sparing(weights(x, (3,)), x**2)


@program(3)
def custom_jvp_in_a_custom_jvp(x):
    return _applied(_scaled_sine, x, 3)


@program(3)
def custom_jvp_under_jit_vmap_and_checkpoint(x):
    inner = jax.checkpoint(jax.vmap(jax.jit(_scaled_sine)))
    return inner(weights(x, (2, 3)) @ x) ** 2


@program(3)
def custom_jvp_straight_through(x):
    return jnp.sin(_straight_through(2 * x)) + x**2


@program(3)
def custom_jvp_of_a_host_function(x):
    return _on_the_host(weights(x, (2, 3)) @ x) * x[0]


@program(3)
def custom_jvp_in_a_cond(x):
    return lax.cond(x[0] > 0, _scaled_sine, lambda h: jax.nn.silu(h) * h, x)


@program(3, rule="reverse")
def custom_vjp_with_a_rule_of_its_own(x):
    return weights(x, (2, 4)) @ _scaled_cosine(jnp.tanh(weights(x, (4, 3)) @ x))


@program(3, rule="reverse")
def custom_vjp_of_x_itself(x):
    return _scaled_cosine(x)


@program(3, rule="reverse")
def custom_vjp_deep_inside(x):
    h = _stable_log1pexp(weights(x, (4, 3)) @ x)
    return jnp.tanh(weights(x, (2, 4)) @ _stable_log1pexp(h * h))


@program(4, rule="reverse")
def custom_vjp_with_nondiff_argnums(x):
    product, total = _weighted(3, x[:2] ** 2, jnp.sin(x[2:]))
    return jnp.append(product, total)


@program(3, rule="reverse")
def custom_vjp_in_a_scan_under_jit(x):
    step = lambda h, _: (jax.jit(_stable_log1pexp)(h * x), None)
    return lax.scan(step, x, None, length=2)[0]


@program(3)
def stop_gradient(x):
    return jnp.concatenate([x * lax.stop_gradient(x), x**2 * lax.stop_gradient(jnp.sin(x[:1]))])


@program(2)
def residual_of_the_heat_equation(x):
    u = lambda t, s: weights(t, (5,)) @ jnp.tanh(weights(t, (5, 2)) @ jnp.stack([t, s]))
    u_t = jax.grad(u)(x[0], x[1])
    return u_t - 0.1 * jax.grad(jax.grad(u, 1), 1)(x[0], x[1])


@program(3)
def jvp_inside(x):
    layer = lambda h: jnp.sin(weights(x, (4, 3)) @ h)
    value, slope = jax.jvp(layer, (x,), (x**2,))
    return value * slope


@program(3)
def vjp_and_linearize_inside(x):
    layer = lambda h: jnp.tanh(weights(x, (4, 3)) @ h)
    value, pullback = jax.vjp(layer, x)
    return pullback(value**2)[0] + jax.linearize(layer, x)[1](x)[:3]


@program(2)
def hessian_inside(x):
    return jax.hessian(lambda h: jnp.exp(h[0] * h[1]) + jnp.sin(h).sum())(x).reshape(-1)


@program(3)
def gradient_inside_of_a_function_with_a_rule(x):
    energy = lambda h: jnp.sum(jax.nn.softplus(weights(x, (4, 3)) @ h) ** 2)
    return jax.grad(energy)(x)


@program(3)
def linear_transpose_inside(x):
    f = lambda h: weights(x, (4, 3)) @ h
    (back,) = jax.linear_transpose(f, x)(jnp.sin(f(x)))
    return back * x
