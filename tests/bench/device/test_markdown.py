import pytest

from hyperdiag.bench.device.markdown import page

VERSIONS = {"python": "3.12.3", "jax": "0.11.2"}
DEVICE = {
    **{"platform": "gpu", "kind": "a GPU", "devices": 1, "runtime": "PJRT C API cuda 13000"},
    **{"driver": "580.1", "cores": 16, "threads": "1", "system": "Linux x86_64"},
    "versions": VERSIONS,
}
EMPTY = {
    **{"date": "2026-11-30T05:00:00+00:00", "complete": True, "rows_scale": 1.0},
    **{"device": DEVICE, "notes": [], "wrong": [], "seconds": {"peaks": 2.4}},
}
ERRORS = {"value": 1e-7, "jacobian": 2e-7, "hessian_diag": 3e-7}
OURS = {
    **{"cannot": None, "rows_per_s": 12_345_678.0, "rows": 4000},
    **{"choice": {"method": "hyperdual", "tile": 512}, "errors": ERRORS},
}
KERNEL = {
    **{"name": "qlknn", "n": 10, "m": 8, "best_other": "jvp_of_jvp", "speedup": 3.0},
    **{"share_of_peak": 0.61, "share_of_memory": 0.003, "unfused_over_memory": 1.2},
    "tuning_seconds": 8.0,
    "contestants": {
        "ours": OURS,
        "jvp_of_jvp": {"cannot": None, "rows_per_s": 4e6},
        "taylor": {"cannot": "KeyError: a|b"},
    },
}


def test_page_names_device_driver_date_and_versions():
    text = page(EMPTY)
    assert text.startswith("# a GPU (gpu)\n")
    assert "2026-11-30, PJRT C API cuda 13000, driver 580.1, 1 such, 16 cores" in text
    assert "python 3.12.3, jax 0.11.2" in text
    assert "Not complete" not in text
    assert "##" not in text


def test_page_of_what_was_stopped_or_wrong_says_so():
    text = page(
        {**EMPTY, "complete": False, "wrong": ["D is off"], "notes": ["job, for want of time"]}
    )
    assert "**Not complete**" in text
    assert "**Wrong**: D is off" in text
    assert text.endswith("## Left out\n\n- job, for want of time\n")


def test_page_has_a_row_for_each_network():
    text = page({**EMPTY, "kernels": [KERNEL]})
    assert (
        "| qlknn | 10 | 8 | 4,000 | 12,345,678 | 4,000,000 (jvp of jvp) |  | 3.00 | 61% | 0% | "
        "120% | hyperdual, 512 | 8.0 s |"
    ) in text
    assert "taylor cannot do qlknn: KeyError: a|b" in text
    slowed = "Shares above 100%: the peaks were measured too low"
    assert slowed not in text
    assert slowed in page({**EMPTY, "kernels": [{**KERNEL, "share_of_peak": 1.3}]})


def test_page_of_a_network_that_cannot_be_derived_says_so():
    cannot = {"cannot": "wrong numbers"}
    kernel = {**KERNEL, "best_other": None, "speedup": None, "contestants": {"ours": cannot}}
    text = page({**EMPTY, "kernels": [kernel]})
    assert "| qlknn | 10 | 8 |  | cannot |" in text
    assert "ours cannot do qlknn: wrong numbers" in text


def test_tables_of_a_page_have_as_many_cells_in_each_row():
    highest = {"cannot": None, "rows_per_s": 50.0, "errors": ERRORS, "own": True}
    report = {
        **EMPTY,
        "peaks": {"multiply_adds_per_s": 30e12, "bytes_per_s": 4e12},
        "exactness": [
            {"network": "a", "method": "x", "dtype": "float32", "cannot": None, "errors": ERRORS},
            {"network": "a", "method": "y", "dtype": "float32", "cannot": "No: a|b", "errors": {}},
        ],
        "kernels": [KERNEL],
        "precision": [
            {
                "network": "qlknn",
                "precisions": {
                    "highest": highest,
                    "bf16_x6": {**highest, "rows_per_s": 75.0, "own": False},
                    "tf32": {"cannot": "not supported"},
                },
            }
        ],
        "copies": {
            "rates": [{"bytes": 16e6, "to_host": 9e9, "to_pinned_host": None, "to_device": 8e9}],
            "shared": False,
            "no_pinned_host": "none here",
        },
        "memory": {
            **{"bytes_in_use": 1e9, "peak_bytes_in_use": 2e9, "bytes_limit": 8e10},
            "process_peak": 3e9,
        },
    }
    text = page(report)
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 4
    for table in tables:
        rows = table.replace("\\|", "/").splitlines()
        assert len({row.count("|") for row in rows}) == 1
    assert "Matrix products 60 TFLOP/s, memory (a x + y) 4,000 GB/s." in text
    assert "| a | y | float32 | No: a\\|b |" in text
    row = "| qlknn | bf16_x6 | 75 | 1.50 | 1e-07 | 2e-07 | 3e-07 | made of float32 parts |"
    assert row in text
    assert "No pinned memory: none here" in text
    assert "Of the device: in use 1 GB, at most 2 GB, limit 80 GB." in text


@pytest.mark.parametrize(("name", "shown"), [("a\x1b[2Jb", r"a\x1b[2Jb"), ("a\nb", r"a\nb")])
def test_page_moves_no_cursor_and_adds_no_line(name, shown):
    report = {**EMPTY, "device": {**DEVICE, "kind": name}}
    assert page(report).splitlines()[0] == f"# {shown} (gpu)"
