"""QLKNN 7_11: a neural surrogate of turbulent transport in tokamak plasmas.

Trained on QuaLiKiz, a quasilinear gyrokinetic code (van de Plassche et al., Physics of Plasmas 27,
022310, 2020); its weights ship in the package `fusion-surrogates`. It maps 10 dimensionless
plasma parameters to 8 fluxes, flux ratios and a growth rate (gyro-Bohm units) through five hidden
layers of 133 tanh units.
"""

from importlib import metadata
from pathlib import Path

import numpy as np

from hyperdiag.hyperdual import numerics

from .digest import digest_of
from .extra import needs
from .network import Network


def build(dtype: str) -> Network:
    """QLKNN 7_11 plasma-transport surrogate: 10 inputs, 8 outputs (extra `examples`)."""
    with needs("examples", "fusion_surrogates"):
        from fusion_surrogates.qlknn import qlknn_model
    with numerics(dtype):
        model = qlknn_model.QLKNNModel.load_default_model()
    return Network(
        name="qlknn",
        # In raw units: the model scales its inputs and unscales its targets itself.
        function=model.predict_targets,
        inputs=tuple(model.config.input_names),
        outputs=tuple(model.config.target_names),
        digest=digest_of(
            # The weights, and the packages whose code runs them.
            f"fusion-surrogates {metadata.version('fusion-surrogates')} "
            f"flax {metadata.version('flax')} {model.name} predict_targets",
            {"file": np.frombuffer(Path(model.path).read_bytes(), np.uint8)},
        ),
        ranges={
            name: (ends["min"], ends["max"])
            for name, ends in model.inputs_and_ranges.items()
            if ends
        },
        description="QLKNN 7_11 plasma-transport surrogate (fusion-surrogates)",
    )


def golden_rows() -> tuple[np.ndarray, np.ndarray]:
    """Return the 25 inputs (25, 10) and outputs (25, 8), float64, that ship with the model."""
    from fusion_surrogates.qlknn.models import registry

    folder = Path(registry.MODELS[registry.DEFAULT_MODEL_NAME]).parent
    with np.load(folder / "qlknn_7_11_test_data.npz", allow_pickle=False) as rows:
        return rows["inputs"].reshape(-1, 10), rows["outputs"].reshape(-1, 8)
