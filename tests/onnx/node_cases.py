"""The ONNX project's own tests of single nodes, which its package makes, run by the walk."""

import warnings
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from hyperdiag.onnx import _operators  # noqa: F401, which enters them
from hyperdiag.onnx._graph import Walk


@cache
def node_cases():
    """Return {name: case} of all of them; making their data warns of overflows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        return {case.name: case for case in load_model_tests(kind="node")}


def operators_of(case):
    """Return the operators of a case, those of other domains with their domain before a dot."""
    nodes = case.model.graph.node
    return {f"{node.domain}.{node.op_type}" if node.domain else node.op_type for node in nodes}


def run(case):
    """Compare the walk with each data set of a case; raise where they differ.

    Inputs of floating-point numbers depend on x (they are traced by jit), others are constants.
    """
    model = case.model
    walk = Walk(
        {entry.domain: entry.version for entry in model.opset_import},
        {(function.domain, function.name): function for function in model.functions},
        np.dtype("float64"),
    )
    for inputs, outputs in case.data_sets:
        with jax.enable_x64(True):
            found = _traced(walk, model.graph, inputs)
        assert len(found) == len(outputs)
        for got, wanted in zip(found, outputs, strict=True):
            compare(got, wanted, case)


def _traced(walk, graph, inputs):
    """The graph's outputs, its floating-point inputs being arguments of a jitted function."""
    arrays = [np.asarray(value) for value in inputs]
    active = [np.issubdtype(a.dtype, np.floating) or a.dtype == jnp.bfloat16 for a in arrays]

    def function(*floating):
        given = iter(floating)
        return walk.graph(graph, [next(given) if on else a for a, on in pairs])

    pairs = [*zip(arrays, active, strict=True)]
    return jax.jit(function)(*(a.astype(np.float64) for a, on in pairs if on))


def compare(got, wanted, case):
    """By the tolerances of the case, which are ONNX's own."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape, (got.shape, wanted.shape)
    if not np.issubdtype(wanted.dtype, np.number):
        np.testing.assert_array_equal(got, wanted)
        return
    floats = wanted.astype(np.float64)
    rtol, atol = max(case.rtol, 1e-3), max(case.atol, 1e-7)
    np.testing.assert_allclose(got.astype(np.float64), floats, rtol=rtol, atol=atol)
