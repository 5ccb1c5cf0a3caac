"""Reading an output back: what is right passes."""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection import comparison
from hyperdiag.run.inspection.audit_table import print_audit
from hyperdiag.run.plan import versions

from .audited import audit_of, derive_rows, rewrite, set_entry, table_of, write_rows


def _state(folder):
    return {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}


def test_right_output_passes_is_compared_and_left_as_it_was(published):
    before = _state(published)
    found = audit_of(published)
    assert (found.findings, found.notes) == ([], [])
    assert (found.files, found.rows, found.compared, found.derived_again) == (4, 391, 4, 64)
    assert 0 < found.largest_error < 1e-5
    assert _state(published) == before


VARIANTS = {
    "tensor": ["output.layout=tensor"],
    "float64": ["derivatives.dtype=float64", "output.layout=tensor"],
    "value alone": ["derivatives.outputs=[value]"],
    "all outputs": ["derivatives.outputs=[laplacian,hessian,value,jacobian,hessian_diag]"],
    "filter": ["dataset.filter='key > 150 and not tag is None'", "output.provenance=true"],
    "filter that keeps nothing of some shards": ["dataset.filter='key > 250'"],
    "limit": ["dataset.limit=230"],
    "no columns": ["output.columns=none"],
    "one column": ["output.columns=[price]", "derivatives.wrt=[c,a]"],
    "refused for its range": ["limits.out_of_range=quarantine"],
    "without verified rows": ["derivatives.verify_rows=0"],
}


@pytest.mark.one_in(16)
@pytest.mark.parametrize("name", VARIANTS)
def test_right_output_of_any_kind_passes(name, tmp_path, configure):
    write_rows(tmp_path)
    manifest = derive_rows(tmp_path, configure, *VARIANTS[name])
    found = audit_of(tmp_path, rows=5)
    assert (found.findings, found.notes) == ([], [])
    assert found.rows == manifest.rows.derived > 0
    assert found.compared == manifest.shards
    assert found.derived_again > 0


@pytest.mark.slow
def test_audit_says_another_method_only_where_it_is_another(published, tmp_path, configure, capsys):
    print_audit(audit_of(published))
    assert "64 rows derived again in float64 by another method: largest" in capsys.readouterr().out
    write_rows(tmp_path)
    derive_rows(tmp_path, configure, "derivatives.method=double_forward")
    print_audit(audit_of(tmp_path))
    assert "64 rows derived again in float64: largest" in capsys.readouterr().out


def test_hive_tree_of_vectors_passes(tmp_path, configure):
    table = table_of(60)
    points = pa.array([[b, c, b] for b, c in zip(table["c"].to_pylist(), range(60), strict=True)])
    table = pa.table({"key": table["key"], "v": points})
    for book in ("a b", "rates"):
        (tmp_path / f"in/book={book}").mkdir(parents=True)
        pq.write_table(table, tmp_path / f"in/book={book}/x.parquet")
    derive_rows(tmp_path, configure, "dataset.vector=v", "output.provenance=true")
    found = audit_of(tmp_path)
    assert (found.findings, found.notes, found.rows) == ([], [], 120)
    for shard in (0, 1):
        path = tmp_path / f"out/data/part-000000{shard}.parquet"
        rewrite(path, set_entry("book", 3, "another"))
        assert audit_of(tmp_path).findings == [
            f"data/{path.name}: column 'book' is not the input's (rows 0 to 59)"
        ]
        rewrite(path, set_entry("book", 3, ["a b", "rates"][shard]))


@pytest.mark.one_in(9)
@pytest.mark.parametrize("sampler", ["sobol", "latin_hypercube", "grid"])
def test_design_of_inputs_in_no_alphabetical_order_passes(sampler, tmp_path, configure):
    ranges = "dataset.ranges={z: [-1, 1], b: [0, 1], a: [2, 3]}"
    derive(
        *configure(
            *("cluster=inline", "network=python", "network.target=tests.run.networks:wavy"),
            *("network.inputs=[z,b,a]", ranges, "dataset.rows=300", "dataset.shard_rows=70"),
            *(f"dataset.sampler={sampler}", "derivatives.tile=8", f"output.path={tmp_path}/out"),
        )
    )
    found = audit_of(tmp_path)
    assert (found.findings, found.notes) == ([], [])
    assert found.derived_again > 0


def test_shards_of_bad_rows_only_and_of_fewer_rows_than_asked_pass(tmp_path, configure):
    table = table_of(12).slice(0, 5)
    bad = table.set_column(4, "a", pa.nulls(5, pa.float64()))
    write_rows(tmp_path, bad)
    pq.write_table(table, tmp_path / "in/y.parquet")
    derive_rows(tmp_path, configure)
    found = audit_of(tmp_path, rows=16)
    assert (found.findings, found.notes) == ([], [])
    assert (found.files, found.compared, found.derived_again) == (2, 2, 5)


def test_shards_asked_for_are_spread_over_all(published):
    assert audit_of(published, shards=0).compared == 0
    assert audit_of(published, shards=2, rows=1).derived_again == 2


@pytest.mark.parametrize("change", ["touched", "gone"])
def test_input_that_is_not_as_it_was_is_a_note(change, tmp_path, configure):
    write_rows(tmp_path)
    derive_rows(tmp_path, configure)
    if change == "gone":
        shutil.rmtree(tmp_path / "in")
    else:
        Path(tmp_path / "in/x.parquet").touch()
    found = audit_of(tmp_path)
    assert found.findings == []
    assert (found.compared, found.derived_again) == (0, 0)
    assert len(found.notes) == 4
    word = "is gone" if change == "gone" else "has changed"
    assert word in found.notes[0]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def build():\n    return lambda x: 3.0 * x**3\n", "network 'python' has changed"),
        ("def built():\n    return None\n", "has no 'build'"),
    ],
)
def test_network_that_is_another_now_is_a_note_and_rows_are_still_compared(
    source, reason, tmp_path, configure, monkeypatch
):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_network.py").write_text("def build():\n    return lambda x: x**3\n")
    write_rows(tmp_path)
    derive_rows(tmp_path, configure, "network.target=own_network:build")
    monkeypatch.delitem(__import__("sys").modules, "own_network")
    (tmp_path / "own_network.py").write_text(source)
    found = audit_of(tmp_path)
    assert found.findings == []
    assert (found.compared, found.derived_again) == (4, 0)
    (note,) = found.notes
    assert note.startswith("no rows were derived again: ")
    assert reason in note
    assert "may trace" not in note


def test_network_that_another_jax_may_trace_otherwise_is_a_note_that_says_so(
    tmp_path, configure, monkeypatch
):
    write_rows(tmp_path)
    derive_rows(tmp_path, configure)
    monkeypatch.setattr(comparison, "versions", lambda: {**versions.versions(), "jax": "0.99"})
    monkeypatch.setattr(comparison, "build_network", _with_another_digest(comparison.build_network))
    (note,) = audit_of(tmp_path).notes
    assert note.endswith(" (another JAX may trace the same function otherwise)")


def _with_another_digest(build):
    return lambda *arguments: replace(build(*arguments), digest="0" * 16)


@pytest.mark.slow
def test_network_that_nothing_can_check_is_a_note(tmp_path, configure):
    write_rows(tmp_path)
    unverifiable = "network.target=tests.run.networks:unverifiable"
    derive_rows(tmp_path, configure, unverifiable, "derivatives.verify_rows=0")
    found = audit_of(tmp_path)
    assert (found.findings, found.compared, found.derived_again) == ([], 4, 0)
    assert "nothing can check" in found.notes[0]


def test_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no run: there is no such folder"):
        audit_of(tmp_path)
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match=r"holds no run: there is no run/plan\.json"):
        audit_of(tmp_path)
