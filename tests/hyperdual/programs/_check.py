"""What the tests compare with: derivatives by JAX's own transforms, in float64."""

import jax
import jax.numpy as jnp
import numpy as np


def _known_to_this_jax(options):
    """Return the compiler options that there are: versions differ."""

    def known(name):
        lowered = jax.jit(lambda x: x).lower(jax.ShapeDtypeStruct((), "float32"))
        try:
            lowered.compile({name: options[name]})
        except jax.errors.JaxRuntimeError:
            return False
        return True

    return {name: value for name, value in options.items() if known(name)}


# A program runs once: what counts is the time that XLA takes to compile it. Compiled like this, a
# number can be computed twice and a * b + c be rounded differently; derivatives of a maximum ask
# whether two numbers are equal, so here maxima are of inputs and of products, never of such sums.
QUICK = _known_to_this_jax(
    {
        "xla_backend_optimization_level": 0,
        "xla_cpu_use_fusion_emitters": False,
        "xla_cpu_parallel_codegen_split_count": 1,
    }
)

# The two ways through a program. `hyperdual_columns` goes the first of them, in another batch.
WALKS = ("hyperdual", "hyperdual_adjoint")


def reference(fn, z, first=jax.jacrev):
    """Value, Jacobian and the diagonal of the dense Hessian, as a user would write them."""
    vector = lambda point: jnp.atleast_1d(fn(point))
    twice = lambda point: (first(vector)(point),) * 2
    hessian, jacobian = jax.jacfwd(twice, has_aux=True)(z)
    return vector(z), jacobian, jnp.diagonal(hessian, axis1=-2, axis2=-1)


def each(function, points, options):
    """Compile the function of one point, run it at each, and stack what it returns."""
    with jax.enable_x64(True):
        compiled = jax.jit(function, compiler_options=options)
        found = [compiled(jnp.asarray(point)) for point in points]
    return [np.stack(arrays) for arrays in zip(*found, strict=True)]


def assert_close(found, wanted, note=""):
    """Each array to 1e-9 of its largest entry; to 1e-12 where it is all zeros."""
    for name, a, b in zip(("value", "Jacobian", "Hessian diagonal"), found, wanted, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, np.float64), (name, a.shape, a.dtype, b.shape)
        largest = np.abs(b).max(initial=0.0)
        within = 1e-9 * largest if largest > 1e-12 else 1e-12
        np.testing.assert_allclose(a, b, rtol=0, atol=within, err_msg=f"{name} {note}")
