"""Chains whose weights are state dicts, as PyTorch, Flax and Equinox have them."""

import equinox as eqx
import jax
import numpy as np
import pytest
from flax import linen, nnx
from safetensors.numpy import save_file

from hyperdiag.hyperdual import derivatives
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network

# PyTorch's own transformations call what it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

POINTS = np.random.default_rng(3).standard_normal((7, 5)).astype(np.float32)


def _values(network, points=POINTS):
    bundle = derivatives(network.function, network.n_inputs, "hyperdual", dtype="float64")
    return [np.asarray(array) for array in bundle(points.astype(np.float64))[:3]]


def _built(layers, path, **options):
    return build_network({"name": "chain", "layers": layers, "weights": str(path), **options})


def _saved(path, arrays):
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return path


def _paths(tree, separator):
    """Return {path: array} of a tree of dictionaries, as people write Flax's to safetensors."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator=separator): np.asarray(leaf)
        for path, leaf in leaves
    }


# What PyTorch calls a network, and its layers here.
TORCH = {
    "perceptron": (
        lambda nn: nn.Sequential(
            nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16),
            nn.Tanh(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 2),
        ),
        [
            *({"in": 5 if i == 0 else 16, "out": 16, "activation": "tanh"} for i in range(3)),
            *({"in": 16, "out": 16, "activation": "gelu"} for _ in range(2)),
            {"in": 16, "out": 2},
        ],
    ),
    "norms": (
        lambda nn: nn.Sequential(
            nn.Linear(5, 8, bias=False), nn.BatchNorm1d(8), nn.SiLU(),
            nn.Linear(8, 8), nn.LayerNorm(8), nn.Softplus(), nn.RMSNorm(8, eps=1e-5),
            nn.Linear(8, 1),
        ),
        "Chain(Dense(5, 8), BatchNorm(8, swish), Dense(8 => 8), LayerNorm(8), softplus,"
        " RMSNorm(8, eps=1e-5), Dense(8, 1))",
    ),
}  # fmt: skip


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", TORCH)
def test_state_dict_of_pytorch_is_its_network(name, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    make, layers = TORCH[name]
    torch.manual_seed(0)
    module = make(torch.nn)
    for part in module:  # statistics and scales that are not those that a layer begins with
        if not isinstance(part, torch.nn.Linear):
            for tensor in [*part.parameters(), *part.buffers()]:
                if tensor.ndim:
                    tensor.data.uniform_(0.5, 1.5)
    save_torch(module.state_dict(), tmp_path / "model.safetensors")
    module = module.double().eval()
    points = torch.tensor(POINTS, dtype=torch.float64)
    value, jacobian, hessian_diag = _values(_built(layers, tmp_path / "model.safetensors"))
    np.testing.assert_allclose(value, module(points).detach(), rtol=1e-12, atol=1e-14)
    at_point = lambda x: module(x[None])[0]
    theirs = torch.func.vmap(torch.func.jacrev(at_point))(points).detach()
    np.testing.assert_allclose(jacobian, theirs, rtol=1e-10, atol=1e-12)
    hessian = torch.func.vmap(torch.func.jacfwd(torch.func.jacrev(at_point)))(points).detach()
    diagonal = np.diagonal(hessian, axis1=2, axis2=3)
    np.testing.assert_allclose(hessian_diag, diagonal, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_trained_perceptron_of_pytorch_is_derived_by_the_command_on_two_workers(
    tmp_path, derive_on_two_workers
):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    torch.manual_seed(0)
    points = torch.tensor(np.random.default_rng(1).standard_normal((120, 3)), dtype=torch.float32)
    wanted = torch.sin(points[:, :1]) * points[:, 1:2] + points[:, 2:] ** 2
    module = torch.nn.Sequential(
        torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 16), torch.nn.Tanh(),
        torch.nn.Linear(16, 1),
    )  # fmt: skip
    adam = torch.optim.Adam(module.parameters(), 1e-2)
    losses = []
    for _ in range(100):
        adam.zero_grad()
        loss = torch.mean((module(points) - wanted) ** 2)
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    save_torch(module.state_dict(), tmp_path / "model.safetensors")
    derived = derive_on_two_workers(
        points.numpy(), ["x1", "x2", "x3"], "network=chain", "derivatives.dtype=float64",
        f"network.weights={tmp_path}/model.safetensors",
        "network.layers='Chain(Dense(3, 16, tanh), Dense(16, 16, tanh), Dense(16, 1))'",
    )  # fmt: skip
    module, points = module.double(), points.double()
    reference = (
        module(points),
        torch.func.vmap(torch.func.jacrev(module))(points),
        torch.func.vmap(torch.func.jacfwd(torch.func.jacrev(module)))(points).diagonal(
            dim1=2, dim2=3
        ),
    )
    for array, expected in zip(derived, reference, strict=True):
        np.testing.assert_allclose(array, expected.detach(), rtol=1e-10, atol=1e-12)


def test_state_dict_in_16_bits_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    for dtype in (torch.bfloat16, torch.float16):
        module = torch.nn.Linear(5, 2).to(dtype)
        save_torch(module.state_dict(), tmp_path / "model.safetensors")
        network = _built("Dense(5, 2)", tmp_path / "model.safetensors")
        theirs = module.double()(torch.tensor(POINTS, dtype=torch.float64)).detach()
        np.testing.assert_allclose(_values(network)[0], theirs, rtol=1e-12)


@pytest.mark.slow
def test_state_dict_of_pytorch_with_a_residual_block_is_its_network(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.LayerNorm(8)
            self.up, self.down = torch.nn.Linear(8, 12), torch.nn.Linear(12, 8)

        def forward(self, x):
            return x + self.down(torch.tanh(self.up(self.norm(x))))

    module = torch.nn.Sequential(torch.nn.Linear(5, 8), Block(), Block(), torch.nn.Linear(8, 3))
    save_torch(module.state_dict(), tmp_path / "model.safetensors")
    block = "SkipConnection(Chain(LayerNorm(8), Dense(8, 12, tanh), Dense(12, 8)), +)"
    network = _built(
        f"Chain(Dense(5, 8), {block}, {block}, Dense(8, 3))", tmp_path / "model.safetensors"
    )
    theirs = module.double()(torch.tensor(POINTS, dtype=torch.float64)).detach()
    np.testing.assert_allclose(_values(network)[0], theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.slow
def test_parameters_of_flax_linen_are_its_network(tmp_path):
    class Module(linen.Module):
        @linen.compact
        def __call__(self, x):
            for width in (8, 8, 8):
                x = linen.tanh(linen.Dense(width)(x))
            x = linen.BatchNorm(use_running_average=True)(x)
            return linen.Dense(2)(x)

    module = Module()
    variables = module.init(jax.random.key(0), POINTS)
    path = _saved(tmp_path / "model.safetensors", _paths(variables, "/"))
    network = _built(
        "Chain(Dense(5, 8, tanh), Dense(8, 8, tanh), Dense(8, 8, tanh), BatchNorm(8), Dense(8, 2))",
        path,
    )
    np.testing.assert_allclose(
        _values(network)[0], module.apply(variables, POINTS), rtol=2e-5, atol=2e-6
    )


@pytest.mark.slow
def test_state_of_flax_nnx_and_leaves_of_equinox_are_their_networks(tmp_path):
    layers = "Chain(Dense(5, 5, tanh), Dense(5, 5, tanh), Dense(5, 2))"
    rngs = nnx.Rngs(0)
    module = nnx.Sequential(
        nnx.Linear(5, 5, rngs=rngs), nnx.tanh, nnx.Linear(5, 5, rngs=rngs), nnx.tanh,
        nnx.Linear(5, 2, rngs=rngs),
    )  # fmt: skip
    path = _saved(tmp_path / "nnx.safetensors", _paths(nnx.to_pure_dict(nnx.state(module)), "."))
    np.testing.assert_allclose(
        _values(_built(layers, path))[0], module(POINTS), rtol=2e-5, atol=2e-6
    )
    mlp = eqx.nn.MLP(5, 2, 5, 2, activation=jax.nn.tanh, key=jax.random.key(1))
    path = _saved(tmp_path / "eqx.safetensors", _paths(eqx.filter(mlp, eqx.is_array), "."))
    np.testing.assert_allclose(
        _values(_built(layers, path))[0], jax.vmap(mlp)(POINTS), rtol=2e-5, atol=2e-6
    )


def _state(*shapes, names=("a", "b", "c")):
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in zip(names, shapes, strict=True):
        arrays[f"{name}.weight"] = rng.standard_normal(shape)
        arrays[f"{name}.bias"] = rng.standard_normal(shape[0])
    return arrays


SQUARE = "Chain(Dense(4, 4, tanh), Dense(4, 4, tanh), Dense(4, 1))"


@pytest.mark.slow
def test_modules_whose_names_tell_no_order_are_refused_until_it_is_said(tmp_path):
    arrays = _state((4, 4), (4, 4), (1, 4), names=("inner", "entry", "head"))
    path = _saved(tmp_path / "model.safetensors", arrays)
    with pytest.raises(UsageError, match=r"do not tell their order; set network\.weight_order"):
        _built(SQUARE, path)
    network = _built(SQUARE, path, weight_order=["entry", "inner", "head"])
    x = POINTS[:, :4].astype(np.float64)
    for name in ("entry", "inner", "head"):
        x = x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"]
        x = np.tanh(x) if name != "head" else x
    np.testing.assert_allclose(_values(network, POINTS[:, :4])[0], x, rtol=1e-12)


@pytest.mark.slow
def test_tenth_module_comes_after_the_second(tmp_path):
    names = [f"net.{number}" for number in (2, 10, 9)]
    arrays = _state((4, 4), (4, 4), (4, 4), names=names)
    path = _saved(tmp_path / "model.safetensors", arrays)
    network = _built("Chain(Dense(4, 4, tanh), Dense(4, 4, tanh), Dense(4, 4))", path)
    x = POINTS[:, :4].astype(np.float64)
    for name in ("net.2", "net.9", "net.10"):
        x = x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"]
        x = np.tanh(x) if name != "net.10" else x
    np.testing.assert_allclose(_values(network, POINTS[:, :4])[0], x, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"c.weight": None, "c.bias": None}, {}, r"1 of the size of Dense\(4, 1, .* file has 0"),
        ({"d.weight": np.zeros((1, 4))}, {}, r"1 of the size of Dense\(4, 1, .* file has 2"),
        ({"d.weight": np.zeros((7, 4))}, {}, "'d.weight' in .* belongs to no layer"),
        ({"step": np.zeros(1)}, {}, "'step' in .* belongs to no layer"),
        ({"net.0.bias": np.zeros(5)}, {}, r"'net.0.bias' in .* has shape \(5,\), expected \(4,\)"),
        ({"net.0.bias": np.zeros(4, int)}, {}, "'net.0.bias' in .* must hold finite floats"),
        ({"net.0.bias": np.full(4, np.inf)}, {}, "'net.0.bias' in .* must hold finite floats"),
        ({}, {"weight_order": ["net.0", "c"]}, "must name the modules of the 3 layers"),
        ({}, {"weight_order": ["net.0", "net.1", "d"]}, "must name the modules of the 3 layers"),
        ({}, {"layout": "in_out"}, r"1 of the size of Dense\(4, 1"),
        ({}, {"input_scaling": {"mean": "mu", "scale": 1}}, "no array 'mu', which a scaling names"),
    ],
)
def test_state_dicts_that_do_not_fit_are_refused(change, options, message, tmp_path):
    arrays = _state((4, 4), (4, 4), (1, 4), names=("net.0", "net.1", "c")) | change
    kept = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(UsageError, match=message):
        _built(SQUARE, _saved(tmp_path / "model.safetensors", kept), **options)


@pytest.mark.parametrize(
    ("layers", "stranger"),
    [("LayerNorm(4)", "running_mean"), ("RMSNorm(4, eps=1e-5)", "bias")],
)
def test_arrays_of_another_normalization_are_not_left_out(layers, stranger, tmp_path):
    arrays = {
        f"norm.{name}": np.ones(4) for name in ("weight", "bias", "running_mean", "running_var")
    }
    path = _saved(tmp_path / "model.safetensors", arrays | {"norm.num_batches_tracked": np.ones(1)})
    with pytest.raises(UsageError, match=f"'norm.{stranger}' in .* belongs to no layer"):
        _built(layers, path)


_HEADER = b'{"a.weight":{"dtype":"F32","shape":[1,%d],"data_offsets":[0,%d]}}'


def _file(header, rest=b""):
    return len(header).to_bytes(8, "little") + header + rest


@pytest.mark.parametrize(
    "content",
    [
        b"", b"PK\x03\x04", b"\x80\x04cos\nsystem\n", (1 << 60).to_bytes(8, "little") + b"{}",
        _file(b"[1]"), _file(b"{"), _file(b'{"a": 1}'), _file(_HEADER % (4, 16), bytes(15)),
        _file(_HEADER % (1 << 40, 1 << 42)), _file(_HEADER % (-1, 4), bytes(4)),
        _file(_HEADER % (4, 16), bytes(17)), _file(b"{" * 100_000),
        _file(_HEADER.replace(b"F32", b"O") % (4, 16), bytes(16)),
        _file(b'{"a.weight":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}', bytes(16)),
    ],
)  # fmt: skip
def test_files_that_are_no_safetensors_are_refused(content, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UsageError, match="is no safetensors file, or is damaged") as caught:
        _built("Dense(4, 1)", tmp_path / "model.safetensors")
    assert len(str(caught.value)) < 600


def test_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        _built("Dense(4, 1)", tmp_path / "model.safetensors")


MEAN, SCALE = np.array([1.0, -2.0, 30.0, 4.0]), np.array([0.5, 2.0, 100.0, 1.0])


def _scaled(x, arrays):
    return np.tanh((x - MEAN) / SCALE @ arrays["c.weight"].T + arrays["c.bias"])


@pytest.mark.one_in(2)
@pytest.mark.parametrize("place", ["file", "configuration"])
def test_scaling_is_what_its_formula_says(place, tmp_path):
    arrays = _state((2, 4), names=("c",))
    in_file = {"mu": MEAN, "sigma": SCALE, "lo": np.array([-5.0, 0.0]), "hi": np.array([5.0, 1.0])}
    path = _saved(tmp_path / "m.safetensors", arrays | (in_file if place == "file" else {}))
    options = {
        "file": {
            "input_scaling": {"mean": "mu", "scale": "sigma"},
            "output_scaling": {"min": "lo", "max": "hi"},
        },
        "configuration": {
            "input_scaling": {"mean": MEAN.tolist(), "scale": SCALE.tolist()},
            "output_scaling": {"min": [-5, 0], "max": [5, 1]},
        },
    }[place]
    network = _built("Dense(4, 2, tanh)", path, **options)
    x = POINTS[:, :4].astype(np.float64)
    wanted = np.array([-5, 0]) + np.array([10, 1]) * _scaled(x, arrays)
    value, jacobian, _ = _values(network, POINTS[:, :4])
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    slope = (1 - _scaled(x, arrays) ** 2)[:, :, None] * arrays["c.weight"] / SCALE
    np.testing.assert_allclose(jacobian, slope * np.array([[10], [1]]), rtol=1e-11, atol=1e-14)
    assert network.ranges == {}
    pairs = zip(MEAN.tolist(), SCALE.tolist(), strict=True)
    assert network.moments == dict(zip(network.inputs, pairs, strict=True))
    assert network.digest != _built("Dense(4, 2, tanh)", _saved(path, arrays)).digest


def test_ends_of_the_inputs_are_their_ranges(tmp_path):
    network = build_network(
        {
            "name": "chain",
            "layers": "Dense(2, 1)",
            "input_scaling": {"min": [0, -1], "max": [10, 1]},
            "ranges": {"x2": [-3, 3]},
        }
    )
    assert network.ranges == {"x1": (0, 10), "x2": (-3, 3)}
    assert network.moments == {}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"mean": 0}, "must have mean and scale, or min and max"),
        ({"mean": 0, "max": 1}, "must have mean and scale, or min and max"),
        ({"mean": [0, 0, 0], "scale": 1}, "mean must be a finite number, or 2 of them"),
        ({"mean": 0, "scale": [1, 0]}, "scale must be above zero"),
        ({"min": 0, "max": [1, 0]}, "max must be above min"),
        ({"mean": 0, "scale": float("inf")}, "scale must be a finite number"),
        ({"mean": [[0], [0, 1]], "scale": 1}, "mean must be a number or a list of 2"),
        ({"mean": "mu", "scale": 1}, "names an array 'mu', and there is no file of weights"),
    ],
)
def test_scalings_that_are_none_are_refused(option, message):
    with pytest.raises(UsageError, match=message):
        build_network({"name": "chain", "layers": "Dense(2, 1)", "input_scaling": option})


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("Chain(Dense(2, 3), SkipConnection(Dense(3, 2), +))", "layer 2 adds what it takes, 3 num"),
        ("Chain(Dense(2, 3), SkipConnection(Dense(4, 4), +))", "1 gives 3 numbers, layer 2 takes"),
        ("SkipConnection(Chain(Dense(2, 3), Dense(2, 2)), +)", "layer 1.1 gives 3 numbers, layer"),
        ("SkipConnection(Chain(), +)", "layer 1 needs layers"),
        ("SkipConnection(Dense(2, 2), vcat)", r"reads like SkipConnection\(Chain\(...\), \+\)"),
        ("Chain(Dense(2, 3), LayerNorm(4))", "layer 1 gives 3 numbers, layer 2 takes 4"),
        ("LayerNorm(4, tanh, 2, 3)", "has an option that is no activation and no eps"),
        ("LayerNorm(4, eps=-1)", "needs an eps that is not negative"),
        ("LayerNorm(0)", "layer 1 needs a positive size"),
        ("RMSNorm(4)", "layer 1 needs its eps, of which libraries have different ones"),
        ("Chain(tanh, sigmoid)", "has activations alone"),
        ("Chain(Dense(2, 3), tanhh)", "layer 2 has no usual activation: 'tanhh'"),
        ([{"layer_norm": 3, "batch_norm": 3}], "layer 1 must have in, out"),
        ([{"skip": 3}], "layer 1 must have in, out"),
    ],
)
def test_layers_that_are_none_are_refused(layers, message):
    with pytest.raises(UsageError, match=message):
        build_network({"name": "chain", "layers": layers})


def test_mappings_are_the_same_network_as_text():
    text = (
        "Chain(Dense(2, 3), LayerNorm(3, tanh, eps=0.001),"
        " SkipConnection(Chain(Dense(3, 3, relu)), +), swish, Dense(3, 1))"
    )
    mappings = [
        {"in": 2, "out": 3},
        {"layer_norm": 3, "activation": "tanh", "eps": 1e-3},
        {"skip": [{"in": 3, "out": 3, "activation": "relu"}]},
        {"activation": "silu"},
        {"in": 3, "out": 1},
    ]
    digests = {
        build_network({"name": "chain", "layers": layers}).digest for layers in (text, mappings)
    }
    assert len(digests) == 1
