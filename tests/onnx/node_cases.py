"""The ONNX project's own tests of single nodes, which its package makes, run by the walk."""

import warnings
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import onnx

from hyperdiag.onnx import OnnxError
from hyperdiag.onnx._graph import Walk
from hyperdiag.onnx._values import constant


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


def kinds_of(values):
    """Return the element types of a case's inputs or outputs, by their names."""
    codes = {code for value in values for code in _element_types(value.type)}
    return {onnx.TensorProto.DataType.Name(code) for code in codes}


def _element_types(kind):
    for name in ("tensor_type", "sparse_tensor_type"):
        if kind.HasField(name):
            return {getattr(kind, name).elem_type}
    for name in ("sequence_type", "optional_type"):
        if kind.HasField(name):
            return _element_types(getattr(kind, name).elem_type)
    return set()


def run(case):
    """Compare the walk with each data set of a case; raise where they differ.

    Inputs of floating-point numbers depend on x (they are traced by jit), others are constants; all
    of them, where an input of real numbers decides a shape.
    """
    model = case.model
    walk = Walk(
        {entry.domain: entry.version for entry in model.opset_import},
        {(function.domain, function.name): function for function in model.functions},
        np.dtype("float64"),
    )
    for inputs, outputs in case.data_sets:
        with jax.enable_x64(True):
            try:
                found = _traced(walk, model.graph, inputs)
            except OnnxError as error:
                if "depend" not in str(error):
                    raise
                found = walk.graph(model.graph, [_plain(value) for value in inputs])
        assert len(found) == len(outputs)
        for got, wanted in zip(found, outputs, strict=True):
            compare(got, wanted, case)


def _traced(walk, graph, inputs):
    """The graph's outputs, its floating-point inputs being arguments of a jitted function."""
    values = [_plain(value) for value in inputs]
    active = [isinstance(value, np.ndarray) and value.dtype == np.float64 for value in values]
    pairs = [*zip(values, active, strict=True)]

    def function(*floating):
        given = iter(floating)
        return walk.graph(graph, [next(given) if on else value for value, on in pairs])

    return jax.jit(function)(*(value for value, on in pairs if on))


def _plain(value):
    """Return an input as the walk takes it: real numbers in float64, sequences as lists."""
    if value is None or isinstance(value, list):
        return value and [_plain(each) for each in value]
    if isinstance(value, onnx.TensorProto):
        return constant(value, np.dtype(np.float64))
    array = np.asarray(value)
    short = _is_real(array.dtype) or array.dtype.name.startswith("float")
    return array.astype(np.float64) if short else array


def _array(value):
    """Return an array; some cases have theirs as in a file."""
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return np.asarray(value)


def _is_real(dtype):
    return np.issubdtype(dtype, np.floating) or dtype == jnp.bfloat16


def compare(got, wanted, case):
    """By the tolerances of the case, which are ONNX's own, or the rounding of half precision."""
    if wanted is None or isinstance(wanted, list):
        assert (got is None) == (wanted is None)
        for a, b in zip(got, wanted, strict=True) if got is not None else ():
            compare(a, b, case)
        return
    got, wanted = np.asarray(got), _array(wanted)
    assert got.shape == wanted.shape, (got.shape, wanted.shape)
    if not _is_real(wanted.dtype):
        np.testing.assert_array_equal(got, wanted)
        return
    epsilon = float(jnp.finfo(wanted.dtype).eps)
    wanted = wanted.astype(np.float64)
    rounding = 4 * epsilon * np.abs(wanted[np.isfinite(wanted)]).max(initial=0)
    rtol, atol = max(case.rtol, 1e-3), max(case.atol, 1e-7, rounding)
    np.testing.assert_allclose(got.astype(np.float64), wanted, rtol=rtol, atol=atol)
