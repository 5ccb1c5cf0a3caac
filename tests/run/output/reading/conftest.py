"""Outputs of runs of one input, made when a test asks for them."""

import functools

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir

from hyperdiag.config.schema import load_config
from hyperdiag.jobs._command import CONFIG_DIR
from hyperdiag.run.derive import derive

# As people call their columns; in SQL they stand in double quotes.
INPUTS, OUTPUTS = ["spot", "v.ol", "rate %"], ["p r", "a.b", "s__x"]
ROWS, BAD = 900, 5
RUN = (
    *("network=python", "network.target=tests.run.networks:wavy", "dataset=parquet"),
    *(f"network.inputs={INPUTS}", f"network.outputs={OUTPUTS}", "cluster=inline"),
    *("derivatives.method=hyperdual", "derivatives.tile=64", "derivatives.batch=256"),
    *("derivatives.verify_rows=0", "dataset.shard_rows=300"),
)


def sql(query):
    """Return the rows of a query."""
    return duckdb.sql(query).fetchall()


class Runs:
    """Runs of three files of a Hive-partitioned input, in row groups of a hundred.

    Attributes:
        folder: of the input, `in`, and of the outputs.
        rows: the input as DuckDB is to read it, with `filename` and `file_row_number`.
    """

    def __init__(self, folder):
        self.folder = folder
        self.rows = (
            f"read_parquet('{folder}/in/*/*.parquet', filename=true, file_row_number=true, "
            "hive_partitioning=true)"
        )
        rng = np.random.default_rng(11)
        for day in (7, 8, 9):
            table = {name: rng.normal(size=ROWS) for name in INPUTS}
            table["spot"][:BAD] = np.nan
            table["desk"] = rng.choice(["rates", "fx", "ö"], ROWS)
            table["number"] = pa.array(rng.choice([1, 2, None], ROWS).tolist(), pa.int64())
            table["value"] = np.arange(ROWS)  # named as a quantity is
            (folder / f"in/day={day}").mkdir(parents=True)
            path = folder / f"in/day={day}/rows.parquet"
            pq.write_table(pa.table(table), path, row_group_size=100, compression="none")

    @functools.cache  # noqa: B019  # as long as the tests of a file
    def __call__(self, *overrides):
        """Return the folder of the output of a run, by its overrides."""
        out = self.folder / f"out-{len(list(self.folder.iterdir()))}"
        overrides = (*RUN, f"dataset.path={self.folder}/in", f"output.path={out}", *overrides)
        with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
            config = load_config(compose("derive", list(overrides)))
        derive(config, "")
        return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp("runs"))
