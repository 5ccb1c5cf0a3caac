"""Operators against the ONNX project's own tests of nodes; what is not computed, and why."""

import pytest

from .node_cases import kinds_of, node_cases, operators_of, run

# Of element types that are not computed, and of those that only constants may have.
KINDS = {
    "STRING": "text",
    "COMPLEX64": "complex numbers",
    "COMPLEX128": "complex numbers",
}
SHORT = dict.fromkeys(
    ["INT2", "INT4", "UINT2", "UINT4", "FLOAT4E2M1", "FLOAT8E8M0"]
    + [f"FLOAT8{kind}" for kind in ("E4M3FN", "E4M3FNUZ", "E5M2", "E5M2FNUZ")],
    "results of fewer than 8 bits, and of 8 with an exponent",
)
# Of operators that are not computed.
OPERATORS = {
    **dict.fromkeys(["Bernoulli", "RandomUniformLike"], "numbers at random"),
    **dict.fromkeys(
        [f"ai.onnx.preview.training.{name}" for name in ("Adagrad", "Adam", "Momentum")],
        "steps of a training",
    ),
    "BitCast": "bits taken for another type, which has no derivative",
    "ImageDecoder": "images as files",
    "NonMaxSuppression": "a choice among boxes, whose number depends on the values",
    "TfIdfVectorizer": "words",
    "ai.onnx.ml.TreeEnsemble": "trees, whose derivatives are zero wherever they exist",
}
TRAINING = "what only a training does: rows that act on one another, numbers at random"
# Of single cases.
CASES = {
    "test_batchnorm_example_training_mode": TRAINING,
    "test_batchnorm_epsilon_training_mode": TRAINING,
    **dict.fromkeys(
        [
            f"test_training_dropout{name}"
            for name in (
                "",
                "_default",
                "_default_mask",
                "_mask",
                "_zero_ratio",
                "_zero_ratio_mask",
            )
        ],
        TRAINING,
    ),
    "test_quantizelinear_blocked_symmetric": "numbers of fewer than 8 bits",
    "test_dynamicquantizelinear": "a tie of float32, which float64 rounds to the other side",
    "test_dynamicquantizelinear_expanded": "as before",
}


def reason(name):
    """Return why a case is not computed; None if it is."""
    case = node_cases()[name]
    graph = case.model.graph
    made = sorted(kinds_of(graph.output))
    reasons = [CASES.get(name), *map(SHORT.get, made)]
    reasons += map(KINDS.get, [*sorted(kinds_of(graph.input)), *made])
    reasons += map(OPERATORS.get, sorted(operators_of(case)))
    return next(filter(None, reasons), None)


COMPUTED = [name for name in node_cases() if not reason(name)]
REFUSED = [name for name in node_cases() if reason(name)]


@pytest.mark.one_in(8)
@pytest.mark.parametrize("name", COMPUTED)
def test_operator_gives_what_the_onnx_project_says(name):
    run(node_cases()[name])


def test_most_cases_are_computed():
    assert len(COMPUTED) > 5 * len(REFUSED)
