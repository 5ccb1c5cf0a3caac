import pytest

from hyperdiag.messages.errors import UsageError


def test_default_configuration_is_the_main_job(configure):
    config, _ = configure()
    assert config.network.name == "qlknn"
    assert (config.dataset.name, config.dataset.rows) == ("design", 100_000)
    assert (config.derivatives.method, config.derivatives.dtype) == ("auto", "float32")
    assert config.cluster.name == "local"


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("network=chain", "network", "name", "chain"),
        ("dataset.limit=7", "dataset", "limit", 7),
        ("derivatives.method=taylor", "derivatives", "method", "taylor"),
        ("derivatives.wrt=[q,1]", "derivatives", "wrt", ["q", 1]),
        ("derivatives.dtype=float64", "derivatives", "dtype", "float64"),
        ("output.path=s3://bucket/folder", "output", "path", "s3://bucket/folder"),
        ("output.layout=tensor", "output", "layout", "tensor"),
        ("output.mode=overwrite", "output", "mode", "overwrite"),
        ("cluster=inline", "cluster", "name", "inline"),
        ("cluster=existing", "cluster", "name", "existing"),
        ("cluster.workers=3", "cluster", "workers", 3),
        ("cluster.gpus_per_worker=0.5", "cluster", "gpus_per_worker", 0.5),
        ("cluster.address=127.0.0.1:6379", "cluster", "address", "127.0.0.1:6379"),
    ],
)
def test_override_from_the_design_reaches_its_key(configure, override, section, key, value):
    config, _ = configure(override)
    assert getattr(getattr(config, section), key) == value


def test_dataset_path_override_reaches_its_key(configure):
    config, _ = configure("dataset=parquet", "dataset.path=rows")
    assert config.dataset.path == "rows"


def test_load_with_several_problems_names_them_all(configure):
    with pytest.raises(UsageError) as caught:
        configure(
            "dataset.rows=-3",
            "derivatives.method=tayler",
            "output.columns=7",
            "cluster.workers=two",
            "cluster.gpus_per_worker=1.5",
            "limits.max_bad_fraction=1.5",
        )
    assert caught.value.problems == (
        "dataset.rows must be greater than 0; got -3",
        "derivatives.method must be one of auto, hyperdual, hyperdual_adjoint, hyperdual_columns, "
        "double_forward, taylor, forward_over_reverse, reverse_over_forward, reverse_over_reverse, "
        "dense_hessian; "
        "got \"tayler\" (closest: 'taylor')",
        "output.columns must be one of all, none, or a list; got 7",
        'cluster.workers must be an integer; got "two"',
        "cluster.gpus_per_worker must be at most 1, or a whole number; got 1.5",
        "limits.max_bad_fraction must be less than or equal to 1; got 1.5",
    )


def test_load_with_a_missing_value_says_how_to_give_it(configure):
    with pytest.raises(UsageError, match=r"dataset\.path is required: dataset\.path=\.\.\."):
        configure("dataset=parquet")


def test_load_with_an_unknown_key_suggests_the_closest(configure):
    with pytest.raises(UsageError, match=r"output\.layuot is no key here \(closest: 'layout'\)"):
        configure("+output.layuot=wide")


def test_configuration_cannot_be_changed(configure):
    config, _ = configure()
    with pytest.raises(ValueError, match="frozen"):
        config.derivatives.method = "taylor"
