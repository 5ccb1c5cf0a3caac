"""Programs that PyTorch exports, against PyTorch's own values and derivatives."""

import copy
import logging
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from hyperdiag.hyperdual import derivatives
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network
from hyperdiag.networks.library_values import library_difference

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from .torch_reference import reference  # noqa: E402
from .torch_zoo import ACTIVATIONS, LAYERS, NOT_IN_ONNX, model_at_random, model_named  # noqa: E402

# What PyTorch says of its own parts.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit:DeprecationWarning",
    "ignore:.*LeafSpec:FutureWarning",
    "ignore:The tensor attribute:UserWarning",
    "ignore:There is a performance drop:UserWarning",
)


def _free(count=1):
    """The first axis of each input free."""
    return tuple({0: torch.export.Dim("rows")} for _ in range(count))


def _saved(model, folder, *examples, shapes="free", name="model.pt2"):
    path = folder / name
    shapes = _free(len(examples)) if shapes == "free" else shapes
    torch.export.save(torch.export.export(model, examples, dynamic_shapes=shapes), path)
    return str(path)


def _as_onnx(model, folder, example):
    path = folder / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (example,), path, dynamo=True, dynamic_shapes=_free(), verbose=False
        )
    return str(path)


def _network(path, dtype="float64", **options):
    return build_network({"name": "torch", "path": path, **options}, dtype)


def _derived(network, points, dtype="float64"):
    bundle = derivatives(
        network.function, network.n_inputs, "hyperdual", dtype=dtype, tile=len(points)
    )
    return [np.asarray(array) for array in bundle(points)[:3]]


def _assert_close(arrays, wanted, rtol):
    for array, those in zip(arrays, wanted, strict=True):
        largest = max(np.abs(those).max(), 0.01)
        np.testing.assert_allclose(array, those, atol=rtol * largest, rtol=0)


# In an ONNX file a slope or an epsilon is float32, and layers are joined in that of their weights.
@pytest.mark.slow
@pytest.mark.parametrize("name", [*LAYERS, *ACTIVATIONS])
@pytest.mark.parametrize(("kind", "rtol"), [("torch", 1e-11), ("onnx", 2e-6)])
def test_module_is_derived_as_by_pytorch(name, kind, rtol, tmp_path):
    if kind == "onnx" and name in NOT_IN_ONNX:
        pytest.skip("PyTorch's exporter does not take it")
    model, shape = model_named(name)
    example = torch.randn(3, *shape)
    path = (_saved if kind == "torch" else _as_onnx)(model, tmp_path, example)
    network = build_network({"name": kind, "path": path}, "float64")
    assert library_difference(network, "float64") < 1e-5
    points = np.random.default_rng(3).standard_normal((3, int(np.prod(shape))))
    _assert_close(_derived(network, points), reference(model, shape, points), rtol)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_module_of_parts_drawn_at_random_is_derived_as_by_pytorch(seed, tmp_path):
    model, shape = model_at_random(seed)
    network = _network(_saved(model, tmp_path, torch.randn(3, *shape)))
    assert library_difference(network, "float64") < 1e-5
    points = np.random.default_rng(seed).standard_normal((3, *shape))
    _assert_close(_derived(network, points), reference(model, shape, points), 1e-11)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network that Adam trained, its file, and its data."""
    x, y = (torch.tensor(a, dtype=torch.float32) for a in load_diabetes(return_X_y=True))
    torch.manual_seed(1)
    model = torch.nn.Sequential(
        torch.nn.BatchNorm1d(10), torch.nn.Linear(10, 16), torch.nn.SiLU(),
        torch.nn.LayerNorm(16), torch.nn.Linear(16, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    target = ((y - y.mean()) / y.std())[:, None]
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3
    folder = tmp_path_factory.mktemp("trained")
    return model.eval(), _saved(model, folder, x[:4]), x.double().numpy()


@pytest.mark.slow
def test_trained_network_is_derived_by_the_command_on_two_workers(trained, derive_on_two_workers):
    model, path, x = trained
    x = x[:120]
    derived = derive_on_two_workers(
        x, [f"input{i + 1}" for i in range(10)],
        "network=torch", f"network.path={path}", "derivatives.dtype=float64",
    )  # fmt: skip
    for array, wanted in zip(derived, reference(model, (10,), x), strict=True):
        np.testing.assert_allclose(array, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.slow
def test_file_is_shown_by_the_command(trained, invoke):
    model, path, _ = trained
    ended = invoke("networks", "network=torch", f"network.path={path}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    parameters = sum(weight.numel() for weight in model.parameters())
    assert f"7 operators, {parameters} parameters: linear 3, batch_norm 1, silu 1" in ended.stdout
    assert "of its own library's, of the largest of them" in ended.stdout
    assert "10 inputs, 1 outputs" in ended.stdout


class _Parts(torch.nn.Module):
    """Several inputs, one of them a category; a dictionary of outputs; text and numbers."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(4, 3)
        self.layer = torch.nn.Linear(5, 2)
        self.register_buffer("shift", torch.tensor([0.5, -0.5]), persistent=False)

    def forward(self, x, kind, scale, mode="tanh", power=2):
        h = torch.cat([x, self.table(kind)], 1)
        h = getattr(torch, mode)(self.layer(h)) * scale + self.shift
        return {"mean": h, "rest": (h.sum(1) ** power, kind), "all": h.sum(0)[:1] * 0 + scale[0]}


@pytest.mark.slow
def test_several_inputs_and_outputs_keep_their_names(tmp_path):
    model = _Parts().eval()
    examples = torch.randn(3, 2), torch.tensor([0, 1, 2]), torch.ones(2), "sin", 3
    rows = {0: torch.export.Dim("rows")}
    path = _saved(model, tmp_path, *examples, shapes=(rows, rows, None, None, None))
    network = _network(path)
    assert network.inputs == ("x1", "x2", "kind", "scale1", "scale2")
    assert network.outputs == ("mean1", "mean2", "rest_1", "all")
    assert network.not_differentiated == ("kind",)
    point = np.array([0.3, -0.2, 2.0, 1.5, 0.7])
    wanted = model.double()(
        torch.tensor(point[None, :2]), torch.tensor([2]), torch.tensor(point[3:]), "sin", 3
    )
    value, jacobian, _ = (array[0] for array in _derived(network, point[None]))
    np.testing.assert_allclose(value[:2], wanted["mean"][0].detach(), rtol=1e-13)
    np.testing.assert_allclose(value[2], wanted["rest"][0].item(), rtol=1e-13)
    assert np.all(jacobian[:, 2] == 0)
    assert np.all(jacobian[0, [0, 1, 3]] != 0)
    chosen = _network(path, outputs=["rest_1"])
    assert chosen.outputs == ("rest_1",)
    assert chosen.digest != network.digest
    assert library_difference(chosen, "float64") < 1e-6


class _Pair(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)

    def forward(self, x):
        return torch.tanh(self.layer(x)) * x[..., :1]


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("example", "shapes"),
    [((5, 3), "free"), ((1, 3), None), ((4, 3), None), ((3,), None)],
    ids=["any number of rows", "one row", "four rows", "no rows"],
)
def test_a_row_is_a_point_whatever_number_of_rows_a_file_fixes(example, shapes, tmp_path):
    torch.manual_seed(2)
    model = _Pair().eval()
    network = _network(_saved(model, tmp_path, torch.randn(example), shapes=shapes))
    assert network.n_inputs == 3
    assert library_difference(network, "float64") < 1e-6
    points = np.random.default_rng(0).standard_normal((2, 3))
    _assert_close(_derived(network, points), reference(model, (3,), points), 1e-13)


class _Mixed(torch.nn.Module):
    def forward(self, x):
        return x - x.mean(0)


def test_rows_that_act_on_one_another_are_refused(tmp_path):
    network = _network(_saved(_Mixed(), tmp_path, torch.randn(3, 2)), "float32")
    with pytest.raises(UsageError, match="Do its rows act on one another"):
        library_difference(network, "float32")


class _Squeezed(torch.nn.Module):
    """With one row, it drops the axis of rows, and fails."""

    def forward(self, x):
        return torch.nn.functional.linear(x.squeeze() ** 2, torch.ones(2, 3)).mean(dim=1)


@pytest.mark.slow
def test_program_that_cannot_take_one_row_is_run_with_two(tmp_path):
    path = _saved(_Squeezed(), tmp_path, torch.randn(4, 3))
    network = _network(path, "float32")
    assert network.n_inputs == 3
    assert library_difference(network, "float32") < 1e-5


class _Numbers(torch.nn.Module):
    def forward(self, x):
        return torch.sin(x) * x


@pytest.mark.slow
def test_rows_of_one_number(tmp_path):
    network = _network(_saved(_Numbers(), tmp_path, torch.randn(4)), "float32")
    assert (network.inputs, network.n_outputs) == (("x",), 1)
    assert library_difference(network, "float32") < 1e-5


class _Sequence(torch.nn.Module):
    def forward(self, x):
        return (x**2).mean(1) + 0.1


def test_other_open_dimensions_are_asked_for(tmp_path):
    shapes = ({0: torch.export.Dim("rows"), 1: torch.export.Dim("length")},)
    path = _saved(_Sequence(), tmp_path, torch.randn(3, 4), shapes=shapes)
    with pytest.raises(UsageError, match=r"leaves its dimension 1 open \('(\w+)'\)") as refused:
        _network(path)
    name = str(refused.value).partition("open ('")[2].partition("'")[0]
    with pytest.raises(UsageError, match="no input has a dimension 'length'"):
        _network(path, dimensions={"length": 3})
    network = _network(path, dimensions={name: 3})
    assert network.inputs == ("x1", "x2", "x3")
    value, jacobian, hessian_diag = _derived(network, np.array([[1.0, 2.0, 4.0]]))
    np.testing.assert_allclose(value, [[7.1]], rtol=1e-15)
    np.testing.assert_allclose(jacobian, [[[2 / 3, 4 / 3, 8 / 3]]], rtol=1e-15)
    np.testing.assert_allclose(hessian_diag, [[[2 / 3] * 3]], rtol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_model_of_another_precision_is_computed_from_its_weights_as_stored(dtype, tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ELU(0.3), torch.nn.LayerNorm(4))
    model = model.to(dtype).eval()
    network = _network(_saved(model, tmp_path, torch.randn(3, 3, dtype=dtype)))
    points = np.random.default_rng(0).standard_normal((2, 3))
    _assert_close(_derived(network, points), reference(model, (3,), points), 1e-13)
    epsilon = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    assert network.library_epsilon == epsilon
    assert library_difference(network, "float64") < 40 * epsilon


@pytest.mark.slow
def test_epsilon_of_the_files_own_precision_is_kept(tmp_path):
    """Left out, it is that of the type of the numbers: with that of float64 this is another one."""
    model = torch.nn.RMSNorm(2)
    network = _network(_saved(model, tmp_path, torch.randn(3, 2)))
    small = np.array([[1e-4, 2e-4]])
    wanted = model(torch.tensor(small, dtype=torch.float32)).detach()
    np.testing.assert_allclose(_derived(network, small)[0], wanted, rtol=1e-6)


def _weights_that_share_memory():
    model = torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(3)))
    model[1].weight = model[0].weight
    whole = torch.randn(3, 6)
    model[2].weight = torch.nn.Parameter(whole.t()[1:4])  # a view with strides
    return model


class _Writes(torch.nn.Module):
    """Writes into arrays, into one that it holds, too, so that a second call is another one."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.ones(2))
        self.counts = True

    def forward(self, x):
        calls = self.calls.add_(1) if self.counts else self.calls + 1
        y = torch.zeros_like(x)
        y[:, 0] = x[:, 1] * 0.3
        y += calls
        return torch.nn.functional.leaky_relu_(y * x, 0.1)


# As it is saved: of a view of columns.
@pytest.mark.filterwarnings("ignore:No complete tensor found")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "shape"),
    [(_weights_that_share_memory, (3,)), (_Writes, (2,))],
    ids=["weights that share memory", "writes into arrays"],
)
def test_arrays_that_are_shared_or_written_into(make, shape, tmp_path):
    torch.manual_seed(0)
    model = make().eval()
    network = _network(_saved(copy.deepcopy(model), tmp_path, torch.randn(3, *shape)))
    for _ in range(2):  # the first call leaves no traces
        assert library_difference(network, "float64") < 1e-6
    model.counts = False
    points = np.random.default_rng(0).standard_normal((2, *shape))
    _assert_close(_derived(network, points), reference(model, shape, points), 1e-13)


@pytest.mark.slow
def test_program_that_is_taken_apart_is_the_same(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.GELU())
    program = torch.export.export(model, (torch.randn(3, 3),), dynamic_shapes=_free())
    torch.export.save(program.run_decompositions(), tmp_path / "model.pt2")
    network = _network(str(tmp_path / "model.pt2"))
    points = np.random.default_rng(0).standard_normal((2, 3))
    _assert_close(_derived(network, points), reference(model, (3,), points), 1e-10)


def test_model_that_is_in_training_is_refused(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).train()
    path = _saved(model, tmp_path, torch.randn(3, 3))
    with pytest.raises(UsageError, match=r"training mode, as batch_norm \(layer '1'\) shows"):
        _network(path)


@pytest.mark.slow
def test_gradients_that_the_model_stops_are_named(tmp_path):
    class Stopped(torch.nn.Module):
        def forward(self, x):
            return torch.tanh(x.detach()) * x

    facts = _network(_saved(Stopped(), tmp_path, torch.randn(3, 2))).facts
    assert any("which stops gradients in PyTorch" in fact for fact in facts), facts
    plain = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh())
    facts = _network(_saved(plain, tmp_path, torch.randn(3, 2))).facts
    assert not any("stops gradients" in fact for fact in facts), facts


@pytest.mark.slow
def test_digest_is_of_what_is_computed(tmp_path):
    def saved(name, slope=0.1, weight=0.5):
        model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LeakyReLU(slope))
        torch.nn.init.constant_(model[0].weight, weight)
        torch.nn.init.zeros_(model[0].bias)
        return _network(_saved(model, tmp_path, torch.randn(3, 2), name=name), "float32").digest

    digest = saved("a.pt2")
    assert saved("b.pt2") == digest
    assert saved("c.pt2", slope=0.2) != digest
    assert saved("d.pt2", weight=0.5 + 2**-20) != digest


def test_nothing_of_pytorchs_own_state_is_changed(tmp_path):
    path = _saved(_Pair(), tmp_path, torch.randn(3, 3))
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript")]

    def state():
        levels = [logger.level for logger in loggers]
        return torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), levels

    before = state()
    _network(path, "float32")
    assert state() == before
