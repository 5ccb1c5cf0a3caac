# %% [markdown]
# # A tour of hyperdual
#
# Run it cell by cell in an editor that knows `# %%` (VS Code, PyCharm, Spyder, Jupyter with
# jupytext), or as a whole: `python -m hyperdiag.hyperdual.tour`. The page of this room,
# `README.md`, explains what happens.
"""A walk through `derivatives`, cell by cell."""

# %%
import jax
import jax.numpy as jnp
import numpy as np

from hyperdiag import derivatives, verify
from hyperdiag.hyperdual import METHODS, MethodError, RuleError
from hyperdiag.hyperdual.rules import register_elementwise

# %% [markdown]
# ## A network, and its derivatives
#
# Any function of *one* point that JAX can trace: here two hidden layers, 4 inputs, 3 outputs.

# %%
rng = np.random.default_rng(0)
shapes = [(16, 4), (16, 16), (3, 16)]
weights = [(rng.standard_normal(s) / np.sqrt(s[1])).astype(np.float32) for s in shapes]


def network(x: jax.Array) -> jax.Array:
    """Return the 3 outputs at one point, shape (4,)."""
    first, second, last = weights
    return last @ jnp.tanh(second @ jnp.tanh(first @ x))


points = rng.standard_normal((1000, 4)).astype(np.float32)
bundle = derivatives(network, n_inputs=4)
y, jacobian, hessian_diag = bundle(points)
print("shapes:", y.shape, jacobian.shape, hessian_diag.shape)

# %% [markdown]
# ## Are they right?
#
# As one would write it with JAX alone: the whole Hessian, of which the diagonal is kept.

# %%
hessians = jax.vmap(jax.hessian(network))(points[:5])
np.testing.assert_allclose(hessian_diag[:5], jnp.diagonal(hessians, axis1=2, axis2=3), atol=1e-5)

# %% [markdown]
# `verify` compares with a reference in float64 and tells the largest relative errors.

# %%
errors = verify(network, points[:100])
assert max(errors) < 1e-4
print("largest relative errors:", *(f"{error:.0e}" for error in errors))

# %% [markdown]
# ## Less costs less
#
# Only some inputs, or the sum over all of them, or the Hessian times a direction for each row.

# %%
third = derivatives(network, 4, wrt=[2], tile=100)(points).hessian_diag
np.testing.assert_allclose(third[:, :, 0], hessian_diag[:, :, 2], atol=1e-5)

laplacian = derivatives(network, 4, outputs=["laplacian"])(points).laplacian
np.testing.assert_allclose(laplacian, hessian_diag.sum(axis=2), atol=1e-5)

along_first = np.tile(np.eye(4, dtype=np.float32)[0], (1000, 1))
hvp = derivatives(network, 4, outputs=["hvp"])(points, along_first).hvp
np.testing.assert_allclose(hvp[:, :, 0], hessian_diag[:, :, 0], atol=1e-5)
print("laplacian and hvp:", laplacian.shape, hvp.shape)

# %% [markdown]
# ## Which method, which tile?
#
# `method="auto"` timed a few on this machine, once; the outcome is kept for later processes. A
# method, a tile or a dtype can be named. All methods agree to rounding, and some refuse.

# %%
print("chosen here:", bundle.choice)
exact = derivatives(network, 4, "double_forward", dtype="float64")(points[:10])
for method in METHODS:
    derived = derivatives(network, 4, method, tile=10, dtype="float64")(points[:10])
    np.testing.assert_allclose(derived.hessian_diag, exact.hessian_diag, atol=1e-12)
print("the same by:", ", ".join(METHODS))

# %% [markdown]
# ## A rule of one's own
#
# A primitive that JAX can run, but not differentiate, is refused, by name and place:

# %%
cube_p = jax.extend.core.Primitive("cube")
cube_p.def_impl(lambda x: x * x * x)
cube_p.def_abstract_eval(lambda x: x)
jax.interpreters.mlir.register_lowering(
    cube_p, jax.interpreters.mlir.lower_fun(lambda x: x * x * x, multiple_results=False)
)
jax.interpreters.batching.defvectorized(cube_p)


def cubed(x: jax.Array) -> jax.Array:
    """Return x^3, entry by entry."""
    return cube_p.bind(x)


try:
    derivatives(cubed, 2, "hyperdual", tile=1)([[1.0, 2.0]])
except RuleError as error:
    print("refused:", error)

# %% [markdown]
# Its first two derivatives are all that the interpreter needs.

# %%
register_elementwise("cube", lambda x: (x**3, 3 * x**2, 6 * x))
derived = derivatives(cubed, 2, "hyperdual", tile=1)([[1.0, 2.0]])
print("d2(x^3)/dx2 at 1 and 2:", jnp.diagonal(derived.hessian_diag[0]).tolist())

# %% [markdown]
# ## What is refused
#
# Never a silent wrong answer: `jax.experimental.jet` would ignore the derivative rule of relu.

# %%
try:
    derivatives(jax.nn.relu, 2, "taylor")([[1.0, 2.0]])
except MethodError as error:
    print("refused:", error)

try:
    derivatives(network, 4, wrt=[4])
except ValueError as error:
    print("refused:", error)
