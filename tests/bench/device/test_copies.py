import jax
import pytest

from hyperdiag.bench.device import copies as module
from hyperdiag.bench.device.copies import copies


def test_copies_have_rates_for_each_size():
    report = copies(0.001)
    assert report["shared"]  # on a CPU
    assert [rate["bytes"] for rate in report["rates"]] == [16776, 134216]
    for rate in report["rates"]:
        assert 1e5 < rate["to_host"] < 1e12
        assert 1e5 < rate["to_device"] < 1e12


def test_copies_say_why_there_is_no_pinned_memory(monkeypatch):
    def refuse(array):
        raise ValueError("no such memory\nof this backend")

    monkeypatch.setattr(module, "_to_pinned_host", refuse)
    report = copies(0.001)
    assert report["no_pinned_host"] == "no such memory"
    assert {rate["to_pinned_host"] for rate in report["rates"]} == {None}


def test_copies_are_of_fresh_arrays(monkeypatch):
    seen = []

    def copy(array):
        assert isinstance(array, jax.Array)
        seen.append(float(array[0]))

    assert module._rate(8, copy) > 0
    assert seen == [0.0, 1.0, 2.0, 3.0, 4.0] == sorted(set(seen))
    with pytest.raises(ZeroDivisionError):
        module._rate(8, lambda array: 1 / 0)
