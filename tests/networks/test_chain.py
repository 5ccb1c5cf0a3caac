import numpy as np
import pytest

from hyperdiag.hyperdual import derivatives
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks.chain import build, parse_layers

LAYERS = "Chain(Dense(3, 4, tanh), Dense(4, 2))"
MAPPINGS = [{"in": 3, "out": 4, "activation": "tanh"}, {"in": 4, "out": 2}]
POINTS = np.random.default_rng(1).standard_normal((6, 3))


def _arrays(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"W1": (4, 3), "b1": (4,), "W2": (2, 4), "b2": (2,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def _saved(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def _value(network):
    return np.asarray(derivatives(network.function, 3, dtype="float64")(POINTS).value)


def _reference(arrays):
    hidden = np.tanh(POINTS @ arrays["W1"].T + arrays["b1"])
    return hidden @ arrays["W2"].T + arrays["b2"]


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    "layers",
    [
        LAYERS,
        "Chain(Dense(3 => 4, tanh), Dense(4 => 2))",
        "Dense(3, 4, tanh), Dense(4, 2, identity)",
        "[Dense(3, 4, activation=Tanh), Dense(4, 2, 'linear')]",
        MAPPINGS,
        ["Dense(3 => 4, tanh)", {"in": 4, "out": 2, "activation": None}],
    ],
)
def test_chain_any_notation_agrees_with_a_numpy_forward_pass(tmp_path, layers):
    arrays = _arrays()
    network = build(layers, _saved(tmp_path / "w.npz", **arrays))
    np.testing.assert_allclose(_value(network), _reference(arrays), rtol=1e-13, atol=1e-13)
    assert (network.inputs, network.outputs) == (("x1", "x2", "x3"), ("y1", "y2"))


def test_chain_single_layer_outside_a_chain_is_a_chain_of_one():
    assert [str(layer) for layer in parse_layers("Dense(3, 1, relu)")] == ["Dense(3, 1, relu)"]


def test_chain_weights_in_out_are_transposed(tmp_path):
    arrays = _arrays()
    turned = {name: array.T for name, array in arrays.items()}
    network = build(LAYERS, _saved(tmp_path / "w.npz", **turned), layout="in_out")
    np.testing.assert_allclose(_value(network), _reference(arrays), rtol=1e-13, atol=1e-13)


def test_chain_square_weights_follow_the_layout(tmp_path):
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]])
    path = _saved(tmp_path / "w.npz", W1=matrix, b1=np.zeros(2))
    rows = {
        layout: derivatives(build("Dense(2, 2)", path, layout=layout).function, 2, dtype="float64")(
            np.array([[1.0, 0.0]])
        ).value.tolist()
        for layout in ("out_in", "in_out")
    }
    assert rows == {"out_in": [[1.0, 3.0]], "in_out": [[1.0, 2.0]]}


@pytest.mark.slow
def test_chain_seeded_weights_follow_glorot_and_differ_by_seed():
    first, again, other = (build("Dense(3, 1000)", seed=seed) for seed in (0, 0, 1))
    assert first.digest == again.digest != other.digest
    run = derivatives(first.function, 3, dtype="float64")(np.zeros((1, 3)))
    limit = np.sqrt(6 / 1003)
    assert 0.09 < np.abs(np.asarray(run.value)).max() <= 0.1
    assert 0.99 * limit < np.abs(np.asarray(run.jacobian)).max() <= limit


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("Chain(Dense(3, 4)", "reads like Chain"),
        ("Chain(Dense(3, 4), Conv(4, 2))", r"layer 2 is none that is known: Conv\(4, 2\)"),
        ("Chain(3)", "layer 1 is none that is known: 3; there are Dense, LayerNorm"),
        ("Dense(3)", r"layer 1 needs two positive sizes.*: Dense\(3\)"),
        ("Dense(3, 0)", "layer 1 needs two positive sizes"),
        ("Dense(3, 2.0)", "layer 1 needs two positive sizes"),
        ("Dense(3, True)", "layer 1 needs two positive sizes"),
        ("Dense(3, 2, reluu)", r"no usual activation: 'reluu' \(closest: 'relu'\)"),
        ("Dense(3, 2, 7)", "no usual activation: '7'"),
        ("Chain(Dense(3, 4), Dense(5, 2))", "layer 1 gives 4 numbers, layer 2 takes 5"),
        ("Chain()", "is empty"),
        ([], "is empty"),
        ([{"in": 3}], "layer 1 must have in, out"),
        ([{"in": 3, "out": 2, "bias": False}], "layer 1 must have in, out"),
        ([7], "layer 1 must have in, out"),
    ],
)
def test_chain_malformed_layers_are_refused(layers, message):
    with pytest.raises(UsageError, match=message):
        build(layers)


@pytest.mark.parametrize("layers", ["Dense(3, 2, relu, 7)", "Dense(3, 2, relu, bias=False)"])
def test_chain_argument_beyond_the_activation_is_refused(layers):
    with pytest.raises(UsageError, match="layer 1"):
        build(layers)


def test_chain_several_bad_layers_are_all_named():
    with pytest.raises(UsageError) as caught:
        build("Chain(Dense(3), Dense(3, 2, nope))")
    assert [problem[:23] for problem in caught.value.problems] == [
        "network.layers: layer 1",
        "network.layers: layer 2",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W1": None}, r"has no array 'W1' for Dense\(3, 4, tanh\)"),
        ({"b2": None}, r"has no array 'b2' for Dense\(4, 2, identity\)"),
        ({"W1": np.zeros((3, 4))}, "set network.layout=in_out if"),
        ({"W1": np.zeros((4, 5))}, r"has shape \(4, 5\), expected \(4, 3\)"),
        ({"b1": np.zeros((4, 1))}, r"has shape \(4, 1\), expected \(4,\)"),
        ({"b1": np.array([0, np.nan, 0, 0])}, "'b1' in .* must hold finite floats"),
        ({"b1": np.zeros(4, int)}, "'b1' in .* must hold finite floats"),
        ({"W3": np.zeros((2, 2))}, "'W3' in .* belongs to no layer"),
        ({"b1": np.array([0, 0, 0, None])}, "not an .npz of plain arrays"),
    ],
)
def test_chain_malformed_weights_are_refused(tmp_path, change, message):
    arrays = {name: a for name, a in (_arrays() | change).items() if a is not None}
    with pytest.raises(UsageError, match=message):
        build(LAYERS, _saved(tmp_path / "w.npz", **arrays))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 torn"])
def test_chain_weights_that_are_no_npz_are_refused(tmp_path, content):
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(UsageError, match=r"is not an \.npz of plain arrays"):
        build(LAYERS, str(tmp_path / "w.npz"))


def test_chain_weights_of_one_npy_array_are_refused(tmp_path):
    np.save(tmp_path / "w.npy", np.zeros(3))
    with pytest.raises(UsageError, match=r"is not an \.npz of plain arrays"):
        build(LAYERS, str(tmp_path / "w.npy"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "/nowhere/w.npz"}, "no such file: /nowhere/w.npz"),
        ({"weight_order": ["a", "b"]}, "weight_order needs the file that it is of"),
        ({"weights": "w.npz", "layout": "rows"}, "must be out_in or in_out; got 'rows'"),
        ({"inputs": ["a"]}, "network.inputs has 1 names; the network has 3 inputs"),
        ({"outputs": ["a", "b", "c"]}, "network.outputs has 3 names; the network has 2 outputs"),
        ({"inputs": ["a", "b", "a"]}, "names input a twice"),
        ({"outputs": ["a", ""]}, "needs output names that are non-empty"),
        ({"ranges": {"x1": 3}}, r"range of 'x1' must be two numbers, \[low, high\]; got 3"),
        ({"ranges": {"x1": ["a", 1]}}, "range of 'x1' must be two numbers"),
        ({"ranges": {"x1": [0, 1, 2]}}, "range of 'x1' must be two numbers"),
        ({"ranges": {"x1": [2, 1]}}, "must be finite with low < high"),
        ({"ranges": {"x1": [0, np.inf]}}, "must be finite with low < high"),
        ({"ranges": {"x11": [0, 1]}}, r"'x11', which is not an input \(closest: 'x1'"),
    ],
)
def test_chain_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        build(LAYERS, **options)


def test_chain_layout_unknown_without_weights_is_refused():
    with pytest.raises(UsageError, match="must be out_in or in_out; got 'rows'"):
        build(LAYERS, layout="rows")


def test_chain_digest_changes_with_any_number_or_activation_but_not_with_ranges(tmp_path):
    arrays = _arrays()

    def digest(layers=LAYERS, ranges=None, **change):
        return build(layers, _saved(tmp_path / "w.npz", **arrays, **change), ranges=ranges).digest

    base = digest()
    assert digest(MAPPINGS, {"x1": [0, 1]}) == base
    digests = {base, digest(LAYERS.replace("tanh", "relu"))}
    for array in arrays.values():
        for position in np.ndindex(array.shape):
            kept = array[position]
            array[position] = np.nextafter(kept, np.inf)
            digests.add(digest())
            array[position] = kept
    assert len(digests) == 2 + sum(array.size for array in arrays.values())
    assert digest() == base


def test_chain_says_what_it_is_made_of_and_where_its_kinks_are():
    layers = "Chain(Dense(2, 3, elu), LayerNorm(3), SkipConnection(Chain(tanh, relu), +))"
    parameters, kinks = build(layers).facts
    assert parameters == "15 parameters"
    assert kinks.startswith("kinks at layer 1 (elu), layer 3.2 (relu): on either side D")
    assert build("Dense(2, 1, tanh)").facts == ("3 parameters",)
