import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
F = torch.nn.functional

from .test_torch import _derived, _network, _saved, pytestmark  # noqa: E402, F401

# Operators with numbers that are no power of two: in float32 each would be off by 1e-8.
_WITH_NUMBERS = {
    "threshold": lambda x: F.threshold(x, 0.1, 0.2),
    "hardtanh": lambda x: F.hardtanh(x, -0.3, 0.7),
    "clamp": lambda x: torch.clamp(x, -0.3, 0.7),
    "clamp_min": lambda x: torch.clamp_min(x, -0.3),
    "clamp_max": lambda x: torch.clamp_max(x, 0.3),
    "clamp to whole numbers": lambda x: torch.clamp(x, 0, 1),
    "softshrink": lambda x: F.softshrink(x, 0.3),
    "masked_fill": lambda x: x.masked_fill(x > 0.3, 0.1),
    "index_fill": lambda x: x.index_fill(1, torch.tensor([-1]), 0.1),
    "where with a number": lambda x: torch.where(x > 0.3, x, 0.1),
    "where of numbers": lambda x: torch.where(x > 0.3, 0.7, 0.1) + x,
    "full": lambda x: x * torch.full((3,), 0.1),
    "full_like": lambda x: x * torch.full_like(x, 0.1),
    "new_full": lambda x: x * x.new_full((3,), 0.1),
    "full, written to": lambda x: torch.full((x.shape[0], 3), 0.1).add_(x),
    "full_like, written to": lambda x: torch.full_like(x, 0.1).masked_fill_(x > 0, 0.3),
    "fill": lambda x: x * torch.fill(x, 0.1),
    "scalar_tensor": lambda x: torch.maximum(x, torch.scalar_tensor(0.1)),
    "linspace": lambda x: x * torch.linspace(0.1, 0.7, 3),
    "arange": lambda x: x * torch.arange(0.1, 0.35, 0.1),
    "whole numbers clamped": lambda x: torch.clamp(torch.arange(3), min=0.5) * x,
    "whole numbers of a line": lambda x: x[:, torch.linspace(0, 2, 2, dtype=torch.int64)],
    "whole numbers of a range": lambda x: x * torch.arange(0.5, 3, dtype=torch.int64),
    "whole numbers above a threshold": lambda x: x[:, F.threshold(torch.arange(3), 1, 2)],
    "index_fill of nothing": lambda x: x.index_fill(1, torch.zeros(0, dtype=torch.int64), 0.1),
    "lerp": lambda x: torch.lerp(x, x * x, 0.1),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=0.1),
    "addcdiv": lambda x: torch.addcdiv(x, x, x + 3, value=0.1),
    "pow": lambda x: (x * x + 1) ** 0.1,
    "power of a number": lambda x: 0.1**x,
    "fmod": lambda x: torch.fmod(x, 0.3),
    "remainder": lambda x: torch.remainder(x, 0.3),
    "xlogy": lambda x: torch.xlogy(0.1, x * x + 1),
    "deg2rad": torch.deg2rad,
    "rad2deg": torch.rad2deg,
    "logit": lambda x: torch.logit(torch.sigmoid(x), 0.1),
    "nan_to_num": lambda x: torch.nan_to_num(torch.where(x > 0, x, math.nan), 0.1),
    "addmv": lambda x: torch.addmv(x[:, 0], x, torch.ones(3), beta=0.1, alpha=0.3)[:, None],
    "pad": lambda x: F.pad(x, (1, 1), value=0.1),
    "rms_norm": lambda x: F.rms_norm(x, (3,), eps=0.1),
    "normalize": lambda x: F.normalize(x, eps=0.1),
    "pairwise_distance": lambda x: F.pairwise_distance(x, x * x, eps=0.1)[:, None],
    "cosine_similarity": lambda x: F.cosine_similarity(x, x * x + 1, eps=0.1)[:, None],
    "baddbmm": lambda x: torch.baddbmm(
        x[:, :, None], x[:, :1, None] * torch.ones(3, 3), x[:, :, None], beta=0.1, alpha=0.3
    )[:, :, 0],
}


class _WithNumbers(torch.nn.Module):
    def forward(self, x):
        return torch.cat([function(x) for function in _WITH_NUMBERS.values()], -1)


def test_numbers_in_a_program_are_not_rounded_to_float32(tmp_path):
    network = _network(_saved(_WithNumbers(), tmp_path, torch.randn(3, 3)))
    points = np.random.default_rng(3).standard_normal((4, 3))
    y, first, rounded = _derived(network, points)[0], 0, []
    torch.set_default_dtype(torch.float64)
    try:
        for name, function in _WITH_NUMBERS.items():
            wanted = function(torch.tensor(points)).numpy()
            value = y[:, first : first + wanted.shape[1]]
            first += wanted.shape[1]
            if np.abs(value - wanted).max() > 1e-13 * max(np.abs(wanted).max(), 1):
                rounded.append(name)
    finally:
        torch.set_default_dtype(torch.float32)
    assert first == y.shape[1]
    assert rounded == []
