"""What builders return: modules of Equinox and Flax, functions of a batch, dictionaries."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint
import pytest
from flax import nnx
from safetensors.numpy import save_file

from hyperdiag.hyperdual import derivatives
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network
from hyperdiag.networks.library_values import library_difference

POINTS = np.random.default_rng(2).standard_normal((6, 4)).astype(np.float32)

BUILDERS = """
import equinox as eqx
import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint
from flax import nnx
from safetensors.numpy import load_file

class Normed(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(4, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(8, 2, rngs=rngs)

    def __call__(self, x):
        return self.last(self.dropout(nnx.silu(self.norm(self.first(x)))))

class Linen(flax.linen.Module):
    @flax.linen.compact
    def __call__(self, x):
        return flax.linen.Dense(2)(flax.linen.gelu(flax.linen.Dense(8)(x)))

def equinox():
    return eqx.nn.MLP(4, 2, 8, 2, activation=jax.nn.softplus, key=jax.random.key(0),
                      dtype=jnp.float32)

class Dropping(eqx.Module):
    mlp: eqx.nn.MLP
    dropout: eqx.nn.Dropout

    def __call__(self, x):
        return self.dropout(self.mlp(x))

def dropping():
    return Dropping(equinox(), eqx.nn.Dropout(0.5))

class Counted(eqx.Module):
    # A batch norm, which keeps its statistics apart, and what counts its calls.
    mlp: eqx.nn.MLP
    norm: eqx.nn.BatchNorm
    calls: eqx.nn.StateIndex

    def __init__(self):
        self.mlp = equinox()
        self.norm = eqx.nn.BatchNorm(4, "row", mode="ema")
        self.calls = eqx.nn.StateIndex(jnp.array(0))

    def __call__(self, x, state):
        state = state.set(self.calls, state.get(self.calls) + 1)
        x, state = self.norm(x, state)
        return self.mlp(x), state

class WithoutState(Counted):
    def __call__(self, x, state):
        return self.mlp(x)

def without_state():
    return eqx.nn.make_with_state(WithoutState)()

def stateful():
    model, state = eqx.nn.make_with_state(Counted)()
    rows = jnp.asarray(np.random.default_rng(7).normal(3, 2, (64, 4)), jnp.float32)
    _, state = jax.vmap(model, axis_name="row", in_axes=(0, None), out_axes=(0, None))(rows, state)
    return model, state

def from_safetensors(path):
    arrays = load_file(path)
    mlp = equinox()
    where = lambda m: [p for layer in m.layers for p in (layer.weight, layer.bias)]
    names = [f"layers.{i}.{kind}" for i in range(3) for kind in ("weight", "bias")]
    return eqx.tree_at(where, mlp, [jnp.asarray(arrays[name]) for name in names])

def normed():
    return Normed(nnx.Rngs(0))

def from_orbax(path):
    module = nnx.eval_shape(normed)
    graph, state = nnx.split(module)
    state = orbax.checkpoint.StandardCheckpointer().restore(path, state)
    return nnx.merge(graph, state)

def linen():
    module = Linen()
    return module.apply, module.init(jax.random.key(1), jnp.zeros(4, jnp.float32))

def linen_module():
    apply, parameters = linen()
    return Linen(), parameters

def linen_alone():
    return Linen()

def batch():
    apply, parameters = linen()
    return lambda x: apply(parameters, x)

def rows_that_meet():
    return lambda x: x[:, :2] - x.mean(axis=0)[:2]

def named():
    return lambda x: {"price": x[0] * x[1], "greeks": {"vega": jnp.sin(x[2:])}, "pair": (x[0], x)}

def pair():
    return lambda x: (x[0], x[1:3])

def squeezed():
    return lambda x: jnp.squeeze(x)

def turned():
    return lambda x: jnp.tanh(x).T

def of_one_row():
    return lambda x: jnp.tanh(x.reshape(1, 4))

def shared():
    return lambda x: {"y": x, "t": jnp.arange(3.0)}

def named_batch():
    return lambda x: {"price": x[:, 0] * x[:, 1], "vega": jnp.sin(x[:, 2:])}

def labelled():
    return lambda x: {"price": x[0], "label": (x[1] > 0).astype(int)}

def twice():
    return lambda x: {"a": {"b": x[0]}, "a_b": x[1]}
"""


@pytest.fixture
def build(tmp_path, monkeypatch):
    (tmp_path / "zqbuilders.py").write_text(BUILDERS)
    monkeypatch.chdir(tmp_path)

    def built(name, dtype="float32", **options):
        settings = {"name": "python", "target": f"zqbuilders:{name}", "n_inputs": 4, **options}
        return build_network(settings, dtype)

    return built


def _builder(name, *arguments):
    import zqbuilders

    return getattr(zqbuilders, name)(*arguments)


def _check(network, function):
    """Check value, J and D against JAX's own of the library's function."""
    bundle = derivatives(network.function, 4, "hyperdual")
    value, jacobian, hessian_diag = (np.asarray(array) for array in bundle(POINTS)[:3])
    close = {"rtol": 2e-4, "atol": 2e-5}
    np.testing.assert_allclose(value, jax.vmap(function)(POINTS), **close)
    np.testing.assert_allclose(jacobian, jax.vmap(jax.jacrev(function))(POINTS), **close)
    hessian = jax.vmap(jax.hessian(function))(POINTS)
    diagonal = np.diagonal(hessian, axis1=2, axis2=3)
    np.testing.assert_allclose(hessian_diag, diagonal, **close)


@pytest.mark.slow
def test_equinox_module_is_its_network_without_dropout(build):
    for name in ("equinox", "dropping"):
        network = build(name)
        _check(network, _builder("equinox"))
        assert network.outputs == ("y1", "y2")


@pytest.mark.slow
def test_equinox_module_with_a_state_is_its_network_at_that_state(build):
    network = build("stateful")
    rows = np.random.default_rng(7).normal(3, 2, (64, 4)).astype(np.float32)
    mean, variance = rows.mean(axis=0), rows.var(axis=0)
    mlp = _builder("equinox")
    normed = lambda x: mlp((x - mean) / np.sqrt(variance + 1e-5))
    _check(network, normed)
    _check(network, normed)  # a state can be used once


def test_equinox_module_that_returns_no_state_is_refused(build):
    with pytest.raises(UsageError, match=r"must return \(y, state\)"):
        build("without_state")


def test_nnx_module_is_its_network_as_it_is_used_not_trained(build):
    network = build("normed")
    module = _builder("normed")
    module.eval()
    _check(network, module)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", ["linen", "linen_module"])
def test_pair_of_a_function_and_parameters_is_its_network(build, name):
    network = build(name)
    apply, parameters = _builder("linen")
    _check(network, lambda x: apply(parameters, x))


def test_function_of_a_batch_is_the_network_of_a_row(build):
    network = build("batch", batched=True)
    apply, parameters = _builder("linen")
    _check(network, lambda x: apply(parameters, x))
    assert library_difference(network, "float32") < 1e-6


def test_function_whose_rows_meet_is_refused(build, invoke, tmp_path):
    with pytest.raises(UsageError, match="Do its rows act on one another"):
        library_difference(build("rows_that_meet", batched=True), "float32")
    done = invoke(
        "plan", "network=python", "network.target=zqbuilders:rows_that_meet",
        "network.n_inputs=4", "network.batched=true", "dataset.rows=10", "cluster=inline",
        "dataset.ranges={x1: [0, 1], x2: [0, 1], x3: [0, 1], x4: [0, 1]}",
    )  # fmt: skip
    assert done.returncode == 2
    assert "Do its rows act on one another" in done.stderr


@pytest.mark.parametrize("name", ["turned", "of_one_row", "shared", "squeezed"])
def test_function_that_is_none_of_a_batch_is_refused(build, name):
    with pytest.raises(UsageError, match="first axis must be that of the rows"):
        library_difference(build(name, batched=True), "float32")


def test_arrays_of_a_dictionary_are_outputs_by_their_keys(build):
    network = build("named")
    assert network.outputs == (
        *("greeks_vega1", "greeks_vega2", "pair_y1"),
        *("pair_y2_1", "pair_y2_2", "pair_y2_3", "pair_y2_4", "price"),
    )
    x = POINTS[0]
    expected = [*np.sin(x[2:]), x[0], *x, x[0] * x[1]]
    np.testing.assert_allclose(network.function(x), expected, rtol=1e-6)
    some = build("named", outputs=["price", "greeks_vega"])
    assert some.outputs == ("price", "greeks_vega1", "greeks_vega2")
    np.testing.assert_allclose(some.function(x), [x[0] * x[1], *np.sin(x[2:])], rtol=1e-6)
    for wanted in ([*"abcdefgh"], ["price", "greeks_vega", "rho"]):
        with pytest.raises(UsageError, match="the function returns no"):
            build("named", outputs=wanted)
    assert build("pair", outputs=["u", "v", "w"]).outputs == ("u", "v", "w")
    batch = build("named_batch", batched=True)
    assert batch.outputs == ("price", "vega1", "vega2")
    assert library_difference(batch, "float32") < 1e-6


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("named", {"outputs": ["prize"]}, r"returns no 'prize' \(closest: 'price'\)"),
        ("labelled", {}, "floating-point numbers in price, and int.* in 'label'"),
        ("twice", {}, "two arrays of one name"),
        ("linen_alone", {}, r"without parameters: return \(it, params\)"),
        ("equinox", {"outputs": ["a"]}, "network.outputs has 1 names; the network has 2 outputs"),
    ],
)
def test_what_is_no_network_is_refused(build, name, options, message):
    with pytest.raises(UsageError, match=message):
        build(name, **options)


def test_labels_that_are_not_asked_for_are_left_out(build):
    assert build("labelled", outputs=["price"]).outputs == ("price",)


def test_checkpoint_of_orbax_is_read_by_a_builder(build, tmp_path):
    import_first = build("normed")  # so that the module of builders is there
    module = _builder("normed")
    state = nnx.state(module)
    changed = jax.tree.map(
        lambda leaf: leaf + 0.1 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, state
    )
    path = tmp_path / "checkpoint"
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, changed)
    network = build("from_orbax", kwargs={"path": str(path)})
    nnx.update(module, changed)
    module.eval()
    _check(network, module)
    assert network.digest != import_first.digest


@pytest.mark.slow
def test_equinox_from_safetensors_is_derived_by_the_command_on_two_workers(
    build, tmp_path, derive_on_two_workers
):
    build("equinox")
    mlp = _builder("equinox")
    arrays = {}
    for number, layer in enumerate(mlp.layers):
        arrays[f"layers.{number}.weight"] = np.asarray(layer.weight) * 1.5
        arrays[f"layers.{number}.bias"] = np.asarray(layer.bias) + 0.1
    save_file(arrays, tmp_path / "model.safetensors")
    x = np.random.default_rng(5).standard_normal((90, 4)).astype(np.float32)
    derived = derive_on_two_workers(
        x, [f"x{i + 1}" for i in range(4)],
        "network=python", "network.target=zqbuilders:from_safetensors", "network.n_inputs=4",
        f"network.kwargs={{path: {tmp_path}/model.safetensors}}", "network.outputs=[u, v]",
    )  # fmt: skip
    library = _builder("from_safetensors", str(tmp_path / "model.safetensors"))
    hessian = jax.vmap(jax.hessian(library))(x)
    reference = (
        jax.vmap(library)(x),
        jax.vmap(jax.jacrev(library))(x),
        np.diagonal(hessian, axis1=2, axis2=3),
    )
    for array, wanted in zip(derived, reference, strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-4, atol=1e-5)
