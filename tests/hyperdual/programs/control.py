"""Loops, branches, maps, inner jits and checkpoints."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from ._program import collector, weights

PROGRAMS, program = collector()


@program(3)
def scan_of_a_layer(x):
    step = lambda h, _: (jnp.tanh(weights(x, (3, 3)) @ h + x), None)
    return lax.scan(step, jnp.zeros(3, x.dtype), None, length=4)[0]


@program(6)
def scan_over_active_inputs(x):
    step = lambda c, y: (jnp.sin(c + y), c * y)
    last, ys = lax.scan(step, jnp.ones(2, x.dtype), x.reshape(3, 2))
    return jnp.concatenate([last, ys.sum(1)])


@program(4)
def scan_in_reverse(x):
    last, ys = lax.scan(lambda c, y: (c * jnp.cos(y), c**2), x[0], x, reverse=True)
    return jnp.append(ys, last)


@program(3)
def scan_whose_carry_becomes_active_late(x):
    """The carries form a chain: each depends on x one step after the one before it."""

    def step(carry, _):
        a, b, c = carry
        return (jnp.sin(x), a * x, b**2 + c), c.sum()

    start = (jnp.ones(3, x.dtype),) * 3
    (_, _, last), ys = lax.scan(step, start, None, length=5)
    return jnp.concatenate([last, ys])


@program(3)
def scan_with_counter_and_fixed_carry(x):
    def step(carry, k):
        count, fixed, h = carry
        h = jnp.where(count % 2 == 0, jnp.sin(h) * fixed, h + k)
        return (count + 1, fixed * 0.9, h), None

    start = (0, jnp.ones(3, x.dtype), x)
    return lax.scan(step, start, jnp.arange(4))[0][2]


@program(3)
def scan_of_a_linear_body(x):
    step = lambda h, _: (weights(x, (3, 3)) @ h, None)
    return lax.scan(step, x**2, None, length=3)[0]


@program(3)
def scan_unrolled_with_a_tree(x):
    def step(carry, y):
        return {"a": carry["a"] * y, "b": carry["b"] + jnp.sin(carry["a"])}, carry["b"][:1]

    start = {"a": x, "b": jnp.zeros_like(x)}
    last, ys = lax.scan(step, start, jnp.linspace(0.5, 1.5, 5), unroll=2)
    return jnp.append(last["b"] * last["a"], ys[-1])


@program(2)
def scan_in_a_scan(x):
    def outer(h, w):
        inner = lambda g, _: (jnp.tanh(g * w + x), g.sum())
        last, sums = lax.scan(inner, h, None, length=2)
        return last, sums.sum()

    return jnp.append(*lax.scan(outer, x, jnp.asarray([0.3, 1.1, -0.7], x.dtype)))


@program(3)
def scan_of_a_function_with_a_rule(x):
    step = lambda h, _: (jax.nn.relu(weights(x, (3, 3)) @ h) + jnp.sin(x), jax.nn.softplus(h))
    last, ys = lax.scan(step, x, None, length=3)
    return last * ys.sum(0)


@program(3)
def scan_of_keys(x):
    def step(carry, _):
        key, h = carry
        key, sub = jax.random.split(key)
        return (key, jnp.sin(h) + 0.1 * jax.random.normal(sub, (3,), x.dtype) * x), None

    return lax.scan(step, (jax.random.key(0), x), None, length=2)[0][1]


@program(2, rule="forward")
def while_of_fixed_count(x):
    return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, jnp.sin(s[1]) * x), (0, x))[1]


@program(3, rule="forward")
def while_until_x_says_so(x):
    body = lambda h: 1.5 * h + 0.1 * x**2 + 0.3
    return lax.while_loop(lambda h: jnp.sum(h**2) < 20, body, x)


@program(3, rule="forward")
def while_whose_carry_becomes_active_late(x):
    body = lambda s: (s[0] + 1, jnp.sin(x), s[1] * x, s[2] ** 2 + s[3])
    start = (0, jnp.ones(3, x.dtype), jnp.ones(3, x.dtype), jnp.ones(3, x.dtype))
    return lax.while_loop(lambda s: s[0] < 4, body, start)[3]


@program(3, rule="forward")
def fori_loop_counted_by_x(x):
    count = 2 + jnp.sum(x > 0)
    return lax.fori_loop(0, count, lambda i, h: jnp.sin(h) + x / (i + 1), x)


@program(3)
def fori_loop_that_fills_an_array(x):
    start = jnp.zeros(5, x.dtype)
    return lax.fori_loop(1, 5, lambda i, a: a.at[i].set(jnp.sin(a[i - 1] + x[i % 3])), start)


@program(3)
def cond_on_x(x):
    return lax.cond(x[0] * x[1] > 0, lambda h: h**2, lambda h: jnp.sin(h) * h[0], x)


@program(3)
def cond_with_a_branch_without_x(x):
    h = lax.cond(x[0] > 0, lambda h: jnp.exp(h), lambda h: jnp.full(3, 2.0), x)
    return h * jnp.cos(x)


@program(3)
def cond_that_closes_over_x(x):
    pair = lax.cond(x.sum() > 0, lambda: (x**3, 1.0), lambda: (weights(x, (3, 3)) @ x, x[0]))
    return pair[0] * pair[1]


@program(4)
def switch_between_three(x):
    branches = [jnp.sin, lambda h: h * h[::-1], lambda h: jnp.ones(4, x.dtype) * h.sum() ** 3]
    return lax.switch(jnp.argmax(x[:3]), branches, weights(x, (4, 4)) @ x)


@program(3)
def cond_in_a_scan(x):
    step = lambda h, k: (lax.cond(k % 2 == 0, jnp.sin, lambda g: g * x, h), None)
    return lax.scan(step, x, jnp.arange(4))[0]


@program(2, rule="forward")
def scan_in_a_while(x):
    inner = lambda h: lax.scan(lambda g, y: (g * jnp.cos(y), g), h[0], h)[1]
    body = lambda s: (s[0] + 1, inner(s[1]) + x)
    return lax.while_loop(lambda s: s[0] < 3, body, (0, x))[1]


@program(5)
def associative_scan(x):
    combine = lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1])
    return lax.associative_scan(combine, (jnp.tanh(x), x**2))[1]


@program(6)
def map_over_tokens(x):
    return lax.map(lambda t: jnp.tanh(t @ weights(x, (2, 3))).prod() * t[0], x.reshape(3, 2))


@program(6)
def vmap_inside(x):
    inner = lambda t, w: jnp.tanh(w @ t) * t
    return jax.vmap(inner, in_axes=(0, None))(x.reshape(3, 2), weights(x, (2, 2))).sum(0)


@program(4)
def jit_nested_and_called_twice(x):
    square = jax.jit(lambda h: h * jnp.sin(h))
    outer = jax.jit(lambda a, b: (square(a) + b, square(b), 3.0))
    first, second, three = outer(x[:2], weights(x, (2,)))
    return outer(first * x[2:], second)[0] * three


@program(4)
def checkpoint(x):
    block = jax.checkpoint(lambda h: jnp.tanh(weights(x, (4, 4)) @ h) * x)
    return block(block(x))


@program(3)
def checkpoint_of_a_scan_body(x):
    step = jax.checkpoint(lambda h, w: (jnp.sin(w @ h) + x, h.sum() ** 2))
    last, ys = lax.scan(step, x, weights(x, (2, 3, 3)))
    return jnp.append(last, ys)


@program(3)
def checkpoint_with_a_policy_and_names(x):
    policy = jax.checkpoint_policies.save_only_these_names("kept")
    block = lambda h: jnp.cos(checkpoint_name(jnp.sin(h) * x, "kept"))
    return jax.checkpoint(block, policy=policy)(x)


@program(3)
def optimization_barrier(x):
    h = lax.optimization_barrier(jnp.sin(x))
    return lax.optimization_barrier((h * x, x))[0]


@program(3)
def platform_dependent_code(x):
    return lax.platform_dependent(x, cpu=lambda h: jnp.sin(h), default=lambda h: jnp.sin(h)) * x


@program(3)
def debug_callback(x):
    h = jnp.sin(x)
    jax.debug.callback(lambda _: None, h)
    return h * x[0]


@program(3, rule="forward")
def loops_of_different_length_mapped(x):
    """The condition has an entry for each loop; those that have ended keep their state."""
    turn = lambda s: (s[0] + 1, jnp.sin(s[1]) * x[:2])
    loop = lambda start, a: lax.while_loop(lambda s: s[0] < 3, turn, (start, a * x[2:]))
    turns, last = jax.vmap(loop)(jnp.arange(3), jnp.outer(x, jnp.ones(2, x.dtype)))
    return (last * turns[:, None]).reshape(-1)
