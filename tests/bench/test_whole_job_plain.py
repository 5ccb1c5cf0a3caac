import pytest

from hyperdiag.bench.whole_job_plain import why_no_plain


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("dataset=design",), None),
        (("dataset=parquet", "dataset.path=."), None),
        (("dataset=parquet", "dataset.path=.", "dataset.filter='q > 1'"), "it derives all rows"),
        (("dataset=parquet", "dataset.path=s3://bucket/folder"), "it derives all rows"),
        (("derivatives.wrt=[q]",), "it derives all rows"),
        (("derivatives.dtype=float64",), "it derives all rows"),
        (("output.provenance=true",), "it derives all rows"),
        (("cluster=existing",), "on cores of this machine"),
        (("cluster.gpus_per_worker=1",), "on cores of this machine"),
    ],
)
def test_plain_ray_data_is_left_out_where_its_work_would_differ(configure, overrides, reason):
    pytest.importorskip("pandas")
    config, _ = configure(*overrides)
    why_not = why_no_plain(config)
    assert why_not is None if reason is None else reason in why_not
