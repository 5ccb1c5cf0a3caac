"""Functions that only float32 can trace, derived in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import Float32Function, derivatives

from .programs._check import reference as dense
from .test_widened import CASES, KERNEL, POINT


@pytest.mark.one_in(8)
@pytest.mark.parametrize("method", ["hyperdual", "hyperdual_adjoint", "hyperdual_columns"])
@pytest.mark.parametrize("name", CASES)
def test_derivatives_in_float64_are_those_of_the_same_program_written_for_it(name, method):
    fn, part = CASES[name]
    single = part(np.dtype("float32"))
    function = Float32Function(lambda x: fn(single, x))
    bundle = derivatives(function, 6, method, [0, 2, 5], "float64", tile=1)
    first = jax.jacfwd if name == "while" else jax.jacrev
    with jax.enable_x64(True):
        wanted = jax.jit(lambda x: dense(lambda z: fn(part(x.dtype), z), x, first))(POINT)
    for a, b in zip(bundle(POINT[None]), wanted, strict=True):
        b = b if b.ndim == 1 else b[:, [0, 2, 5]]
        assert a.dtype == np.float64
        np.testing.assert_allclose(a[0], b, rtol=1e-12, atol=1e-12 * np.abs(b).max())


def _convolved(x):
    return jax.lax.conv_general_dilated(x.reshape(1, 1, 6), KERNEL, (1,), "SAME").reshape(-1)


@pytest.mark.parametrize("method", ["hyperdual", "double_forward", "reverse_over_forward"])
def test_rules_of_its_own_count(method):
    """relu has a slope of 0 at 0 by its rule, and of 1/2 by the maximum that it is."""
    function = Float32Function(lambda x: jax.nn.relu(_convolved(x)))
    jacobian = derivatives(function, 6, method, dtype="float64", tile=1)(np.zeros((1, 6))).jacobian
    assert not np.any(jacobian)


def test_timing_takes_a_method_that_goes_by_such_rules():
    function = Float32Function(lambda x: jax.nn.relu(_convolved(x)))
    choice = derivatives(function, 6, dtype="float64", tuning_seconds=0).choice
    assert choice.method.startswith("hyperdual")


def test_in_float32_it_is_the_function_itself():
    bundle, same = (
        derivatives(function, 6, "hyperdual", tile=1)
        for function in (Float32Function(_convolved), _convolved)
    )
    for a, b in zip(bundle(POINT[None]), same(POINT[None]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("part", ["bits", "callback"])
def test_what_has_no_float64_form_is_refused(part):
    def on_host(maps):
        return jax.pure_callback(lambda a: a, jax.ShapeDtypeStruct((6,), "float32"), maps)

    def bits(maps):
        whole = jax.lax.bitcast_convert_type(maps, jnp.int32) & -16
        return jax.lax.bitcast_convert_type(whole, jnp.float32)

    through = {"bits": bits, "callback": on_host}[part]
    with jax.enable_x64(True), pytest.raises(TypeError, match="cannot be evaluated in float64"):
        Float32Function(lambda x: through(_convolved(x)))(jnp.asarray(POINT))
