"""The oracle of the chaos tests sees what it is there to see."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from .subject import check_output, check_rows


def _truncate(output):
    path = output / "data/part-0000003.parquet"
    path.write_bytes(path.read_bytes()[:-1])


def _flip_a_bit(output):
    path = output / "data/part-0000003.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _double_a_shard(output):
    shutil.copy(output / "data/part-0000003.parquet", output / "data/part-0000099.parquet")


def _put_a_shard_under_anothers_name(output):
    shutil.copy(output / "data/part-0000003.parquet", output / "data/part-0000004.parquet")


def _lose_a_shard(output):
    (output / "data/part-0000003.parquet").unlink()


def _lose_a_quarantine_file(output):
    (output / "quarantine/part-0000003.parquet").unlink()


def _leave_a_temporary_file(output):
    (output / "data/.part-0000003.parquet.tmp").touch()


def _leave_it_unpublished(output):
    (output / "_SUCCESS").unlink()


def _miscount(output):
    path = output / "run/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["rows"]["derived"] += 1
    path.write_text(json.dumps(manifest))


@pytest.fixture
def output(small, tmp_path):
    return shutil.copytree(small.reference, tmp_path / "out")


def test_undisturbed_output_passes(small, output):
    check_output(small, output)


@pytest.mark.parametrize(
    "tamper",
    [
        *(_truncate, _flip_a_bit, _double_a_shard, _put_a_shard_under_anothers_name),
        *(_lose_a_shard, _lose_a_quarantine_file, _leave_a_temporary_file),
        *(_leave_it_unpublished, _miscount),
    ],
)
def test_output_that_was_tampered_with_is_seen(small, output, tamper):
    tamper(output)
    with pytest.raises(AssertionError):
        check_output(small, output)


@pytest.mark.parametrize("take", [lambda n: [*range(1, n)], lambda n: [0, *range(n)]])
def test_rows_lost_or_doubled_are_counted_whatever_the_files_are(small, output, take):
    path = output / "data/part-0000003.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take(take(table.num_rows)), path)
    with pytest.raises(AssertionError, match="rows lost or doubled"):
        check_rows(small, output)
