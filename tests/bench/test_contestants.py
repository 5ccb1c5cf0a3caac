import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.bench import contestants
from hyperdiag.bench.contestants import CONTESTANTS, choose_contestants
from hyperdiag.hyperdual import numerics
from hyperdiag.messages.errors import UsageError

X = np.array([[0.3, 2.0], [-1.2, 0.5], [0.7, -0.4]], np.float32)


def _function(x):
    return jnp.stack([jnp.sin(x[0]) * x[1], x[0] ** 2 + x[1] ** 3, jnp.exp(x[0] * x[1])])


def _closed_forms():
    a, b = X.astype(np.float64).T
    e = np.exp(a * b)
    rows = {
        "value": [np.sin(a) * b, a**2 + b**3, e],
        "jacobian": [[np.cos(a) * b, np.sin(a)], [2 * a, 3 * b**2], [b * e, a * e]],
        "hessian_diag": [[-np.sin(a) * b, 0 * a], [2 + 0 * a, 6 * b], [b**2 * e, a**2 * e]],
    }
    arrays = {name: np.moveaxis(np.array(value), -1, 0) for name, value in rows.items()}
    return arrays | {"laplacian": arrays["hessian_diag"].sum(axis=-1)}


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", CONTESTANTS)
def test_contestant_gives_the_closed_forms_in_the_order_that_it_says(name):
    contestant = CONTESTANTS[name]
    if contestant.requires:
        pytest.importorskip(contestant.requires)
    expected = _closed_forms()
    with numerics("float32"):
        arrays = contestant.build(_function, 2)(X)
    assert len(arrays) == len(contestant.gives)
    for what, array in zip(contestant.gives, arrays, strict=True):
        np.testing.assert_allclose(array, expected[what], rtol=2e-6, atol=2e-6, err_msg=what)


def test_choose_contestants_without_names_leaves_out_those_without_their_package(monkeypatch):
    monkeypatch.setattr(contestants, "find_spec", lambda name: None)
    chosen, notes = choose_contestants()
    assert [contestant.name for contestant in chosen] == [
        name for name in CONTESTANTS if name != "folx"
    ]
    assert len(notes) == 1
    assert "folx is left out: it needs the package folx" in notes[0]


def test_choose_contestants_by_name_without_its_package_refuses(monkeypatch):
    monkeypatch.setattr(contestants, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="folx is left out"):
        choose_contestants(["ours", "folx"])


def test_choose_contestants_with_an_unknown_name_names_the_nearest():
    with pytest.raises(UsageError, match=r"there is no 'tailor' \(closest: 'taylor'\)"):
        choose_contestants(["ours", "tailor"])
