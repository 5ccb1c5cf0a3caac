import sys

import pytest

from hyperdiag.bench.plot import draw_plot

CONTESTANTS = {"ours": {"rows_per_s": 9_400_000.0}, "jvp_of_jvp": {"rows_per_s": 171.0}}


def _report(**network):
    compared = {"speedup": 3.0, "time_over_jacfwd": 0.7, "best_other": "jvp_of_jvp"} | network
    return {"networks": [{"name": "tiny", "contestants": CONTESTANTS, **compared}]}


def test_plot_writes_a_png(tmp_path):
    pytest.importorskip("matplotlib")
    # The second is longer than the plot, and cut.
    for time_over_jacfwd in (0.7, 0.01):
        path = tmp_path / f"{time_over_jacfwd}.png"
        assert draw_plot(_report(time_over_jacfwd=time_over_jacfwd), path) is None
        assert path.read_bytes().startswith(b"\x89PNG")


def test_plot_without_matplotlib_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    sentence = draw_plot(_report(), tmp_path / "x.png")
    assert sentence == "no plot: it needs matplotlib (pip install 'hyperdiag[bench]')"
    assert not (tmp_path / "x.png").exists()


def test_plot_with_nothing_to_compare_says_so(tmp_path):
    pytest.importorskip("matplotlib")
    assert "no network has ours, jacfwd and another" in draw_plot(
        _report(speedup=None), tmp_path / "x.png"
    )
