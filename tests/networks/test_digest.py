import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.networks.digest import digest_of, digest_of_function


def _digest(function, dtype="float32"):
    return digest_of_function(function, 3, dtype)


def _closed_over(number):
    weights = np.array([1.0, 2.0, number], np.float32)
    return lambda x: jnp.tanh(weights * x)


def _closed_over_jax(number):
    weights = jnp.array([1.0, 2.0, number])
    return lambda x: jnp.tanh(weights * x)


def _in_jit(number):
    inner = jax.jit(lambda x: x * number)
    return lambda x: inner(x) + 1


def _array_in_jit(number):
    weights = jnp.array([1.0, number, 3.0])
    inner = jax.jit(lambda x: x * weights)
    return lambda x: inner(x) + 1


def _in_scan(number):
    weights = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, number]], np.float32)
    return lambda x: jax.lax.scan(lambda c, w: (jnp.sin(c * w), None), x, weights)[0]


def _body_of_scan(number):
    return lambda x: jax.lax.scan(lambda c, _: (jnp.sin(c * number), None), x, length=3)[0]


def _length_of_scan(number):
    length = 2 if number == 6.0 else 3
    return lambda x: jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, length=length)[0]


def _in_cond(number):
    return lambda x: jax.lax.cond(x[0] > 0, lambda v: v * number, lambda v: -v, x)


def _array_in_cond(number):
    weights = jnp.array([1.0, number, 3.0])
    return lambda x: jax.lax.cond(x[0] > 0, lambda v: v * weights, lambda v: -v, x)


def _in_while(number):
    return lambda x: jax.lax.fori_loop(0, 5, lambda _, v: v * number, x)


def _in_custom_jvp(number):
    @jax.custom_jvp
    def inner(x):
        return x * number

    inner.defjvp(lambda primals, tangents: (inner(*primals), tangents[0] * number))
    return inner


def _in_rule_of_custom_jvp(number):
    @jax.custom_jvp
    def inner(x):
        return x * 2

    inner.defjvp(lambda primals, tangents: (inner(*primals), tangents[0] * number))
    return inner


def _in_checkpoint(number):
    return jax.checkpoint(lambda x: jnp.sin(x) * number)


def _in_checkpoint_with_a_policy(number):
    policy = jax.checkpoint_policies.save_only_these_names(*"abcd")  # it holds a set
    return jax.checkpoint(lambda x: jnp.sin(x) * number, policy=policy)


MAKERS = [
    _closed_over,
    _closed_over_jax,
    _in_jit,
    _array_in_jit,
    _in_scan,
    _body_of_scan,
    _length_of_scan,
    _in_cond,
    _array_in_cond,
    _in_while,
    _in_custom_jvp,
    _in_rule_of_custom_jvp,
    _in_checkpoint,
    _in_checkpoint_with_a_policy,
]


@pytest.mark.parametrize("make", MAKERS)
def test_digest_of_function_changes_with_a_number_and_with_nothing_else(make):
    # The next number has the same first eight digits.
    numbers = [6.0, 6.0, float(np.nextafter(np.float32(6), np.float32(7)))]
    first, again, other = (_digest(make(number)) for number in numbers)
    assert first == again != other
    assert len(first) == 16
    assert int(first, 16) >= 0


def test_digest_of_function_large_array_changes_with_its_middle():
    weights = np.zeros((3, 5000), np.float32)
    before = _digest(lambda x: x @ weights)
    changed = weights.copy()
    changed[1, 2500] = 1
    assert _digest(lambda x: x @ changed) != before == _digest(lambda v: v @ weights.copy())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (jnp.sin, jnp.cos),
        (lambda x: x + 1, lambda x: x + 1.5),
        (lambda x: x[:2], lambda x: x[1:]),
        (lambda x: x[0] - x[1], lambda x: x[1] - x[0]),
        (lambda x: x.at[0].set(0), lambda x: x.at[0].add(0)),
        (lambda x: (x, -x)[0] * 1, lambda x: (x, -x)[1] * 1),
        (lambda x: jnp.sum(x), lambda x: jnp.max(x)),
    ],
)
def test_digest_of_function_differs_between_functions(one, other):
    assert _digest(one) != _digest(other)


def test_digest_of_function_differs_between_dtypes_and_sizes():
    assert _digest(jnp.sin) != _digest(jnp.sin, "float64")
    assert digest_of_function(jnp.sin, 3, "float32") != digest_of_function(jnp.sin, 4, "float32")


def test_digest_of_function_names_of_variables_do_not_count():
    def one(x):
        first = jnp.sin(x)
        return first * x

    def other(point):
        renamed = jnp.sin(point)
        return renamed * point

    assert _digest(one) == _digest(other)


def test_digest_of_function_is_the_same_in_other_processes():
    code = (
        "import jax; jax.config.update('jax_platforms', 'cpu')\n"
        "from tests.networks import test_digest as t\n"
        "print(*(t._digest(make(6.0)) for make in t.MAKERS))"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        assert done.stdout.split() == [_digest(make(6.0)) for make in MAKERS]


def test_digest_of_arrays_counts_name_shape_dtype_and_bytes_but_not_order():
    array = np.arange(6.0)
    base = digest_of("f", {"a": array, "b": np.ones(2)})
    assert digest_of("f", {"b": np.ones(2), "a": array[::-1][::-1]}) == base
    others = [
        digest_of("g", {"a": array, "b": np.ones(2)}),
        digest_of("f", {"c": array, "b": np.ones(2)}),
        digest_of("f", {"a": array.reshape(2, 3), "b": np.ones(2)}),
        digest_of("f", {"a": array.view(np.int64), "b": np.ones(2)}),
        digest_of("f", {"a": array + 1, "b": np.ones(2)}),
        digest_of("f", {"a": array}),
    ]
    assert len({base, *others}) == 7
