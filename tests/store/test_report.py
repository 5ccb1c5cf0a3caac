"""A report of a run on a store, there and on this machine."""

import json

from hyperdiag.run.derive import derive
from hyperdiag.run.report import write_report

BOX = "dataset.ranges={x1: [0, 1], x2: [0, 1], x3: [0, 1], x4: [0, 1], x5: [0, 1]}"


def test_report_is_read_from_a_store_and_written_to_it(store, configure, tmp_path):
    uri = store.uri("out")
    config, text = configure(
        *("network=chain", "cluster=inline", "derivatives.method=hyperdual", BOX),
        *("derivatives.tile=8", "dataset.rows=300", "dataset.shard_rows=100"),
        *("report.enabled=true", f"output.path='{uri}'"),
    )
    derive(config, text)
    page = store.get("out/run/report.html")
    assert b"300 read: 300 derived" in page
    assert json.loads(store.get("out/run/throughput.json"))["other_workers"] == 0
    write_report(uri, str(tmp_path / "here.html"))
    assert (tmp_path / "here.html").read_bytes() == page
    write_report(uri, store.uri("reports/elsewhere.html"))
    assert store.get("reports/elsewhere.html") == page
