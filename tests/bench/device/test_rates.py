import time
from dataclasses import replace

import jax
import pytest

from hyperdiag.bench.benchmark_network import BenchmarkNetwork
from hyperdiag.bench.dense import mlp
from hyperdiag.bench.device import rates as module
from hyperdiag.bench.device.parts import Part
from hyperdiag.bench.device.rates import rates, suitable_rows
from hyperdiag.hyperdual import Choice

WIDTHS = (3, 4, 2)
TINY = BenchmarkNetwork("tiny", "3-4-2, tanh", lambda dtype: mlp(WIDTHS), 3, 2, 96, WIDTHS)


def test_rates_are_shares_of_the_peaks(monkeypatch):
    monkeypatch.setattr(module, "_TUNING_SECONDS", 0.1)
    monkeypatch.setattr(module, "_OTHERS", ("jvp_of_jvp",))
    # So fast that shares are small numbers, and easily told from 1.
    part = Part("kernels", time.monotonic() + 600)
    (result,) = rates([TINY], 0.75, 60e9, 1e9, part)
    ours = result["contestants"]["ours"]
    tile = ours["choice"]["tile"]
    assert ours["rows"] == -(-72 // tile) * tile
    assert result["tuning_seconds"] > 0
    assert result["best_other"] == "jvp_of_jvp"
    # Of a row: 3 numbers read, 2 + 6 + 6 written. With passes of their own, 7 for each of 4 units
    # twice, and for each of 2 outputs once.
    assert result["share_of_memory"] == pytest.approx(ours["rows_per_s"] * 4 * 17 / 1e9)
    unfused = 4 * (3 + 7 * (2 * 4 + 2))
    assert result["unfused_over_memory"] == pytest.approx(ours["rows_per_s"] * unfused / 1e9)
    # 20 multiply-adds of the value, 3 * 8 of the Jacobian; of D 2 * 0 + 3 * 2 * 4, the adjoint's.
    assert result["share_of_peak"] == pytest.approx(ours["rows_per_s"] * (20 + 24 + 24) / 60e9)
    assert result["memory"]["process_peak"] > 0
    assert part.left_out == []


def test_rates_without_time_have_ours_and_name_the_rest(monkeypatch):
    monkeypatch.setattr(module, "_TUNING_SECONDS", 0.1)
    late = Part("kernels", time.monotonic() - 1)
    (result,) = rates([TINY, TINY], 0.5, 60e9, 1e9, late)
    assert list(result["contestants"]) == ["ours"]
    assert result["contestants"]["ours"]["rows"] >= 64
    assert result["speedup"] is None
    assert late.left_out == [
        *(f"{name} on tiny" for name in module._OTHERS),
        "kernels on tiny",
    ]


@pytest.mark.parametrize(
    ("peak", "limit", "rows"),
    [
        (60e9, None, 96),  # a core
        (6e9, None, 96),
        (600e9, None, 960),
        (600e9, 16 * 4 * 7 * 4 * 100, 100),  # 7 numbers for each of 4 units, a sixteenth of it
        (600e9, 1, 1),
    ],
)
def test_suitable_rows_follow_the_device_within_its_memory(monkeypatch, peak, limit, rows):
    monkeypatch.setattr(module, "memory", lambda: {"bytes_limit": limit})
    assert suitable_rows(TINY, peak) == rows


def test_rates_are_of_whole_tiles(monkeypatch):
    monkeypatch.setattr(module, "choose", lambda *arguments, **options: Choice("hyperdual", 50))
    monkeypatch.setattr(module, "_OTHERS", ())
    (result,) = rates([TINY], 0.5, 60e9, 1e9, Part("kernels", time.monotonic() + 600))
    assert result["contestants"]["ours"]["rows"] == 100
    assert result["contestants"]["ours"]["choice"] == {"method": "hyperdual", "tile": 50}


def test_rates_of_what_cannot_be_derived_say_why(monkeypatch):
    def build(dtype):
        return lambda x: jax.lax.while_loop(lambda y: (y > 1).any(), lambda y: f(y), x)

    def f(y):
        raise RuntimeError("not today")

    monkeypatch.setattr(module, "suitable_rows", lambda *arguments: 96)
    monkeypatch.setattr(module, "_OTHERS", ())
    broken = replace(TINY, build=build, widths=None)
    monkeypatch.setattr("hyperdiag.bench.timing.reference_arrays", lambda *arguments: {})
    (result,) = rates([broken], 1.0, 60e9, 1e9, Part("kernels", time.monotonic() + 600))
    assert result["contestants"]["ours"]["cannot"] == "RuntimeError: not today"
    assert result["share_of_memory"] is None
