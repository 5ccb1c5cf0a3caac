"""The command `hyperdiag verify`, as a user types it."""

import json

import pytest

from hyperdiag.jobs.verify import main

BOX = "dataset.ranges={x1: [-1, 1], x2: [-1, 1], x3: [-1, 1], x4: [-1, 1], x5: [-1, 1]}"


@pytest.fixture
def output(invoke, tmp_path):
    """An output of five shards."""
    done = invoke(
        *("derive", "network=chain", BOX, "dataset.rows=500", "dataset.shard_rows=100"),
        *("cluster=inline", "output.path=out"),
    )
    assert done.returncode == 0, done.stderr
    return tmp_path / "out"


@pytest.fixture
def verify(monkeypatch, capfd):
    """Run the command in this process; return its exit code and what it said where."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["hyperdiag verify", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capfd.readouterr()
        return stopped.value.code, said.out, said.err

    return run


def test_command_says_what_was_checked_and_what_is_wrong(output, verify):
    path = f"output.path={output}"
    code, said, _ = verify(path)
    assert code == 0
    assert "5 data files with 500 rows read back, every page" in said
    assert "5 shards compared with their input, row by row" in said
    assert "80 rows derived again in float64 by another method: largest error" in said
    assert said.endswith("all is as the manifest says\n")

    code, said, _ = verify(path, "format=json", "shards=1", "rows=2")
    found = json.loads(said)
    assert code == 0
    assert (found["files"], found["compared"], found["derived_again"]) == (5, 1, 2)
    assert (found["findings"], found["notes"]) == ([], [])

    (output / "data/part-0000003.parquet").unlink()
    (output / "_SUCCESS").unlink()
    code, said, errors = verify(path)
    assert code == 1
    assert "wrong: data/part-0000003.parquet is missing\n" in said
    assert "wrong: there is no _SUCCESS: the run was not published\n" in said
    assert "all is as" not in said
    assert f"hyperdiag: {output}: 2 findings" in errors
    code, said, _ = verify(path, "format=json")
    assert (code, len(json.loads(said)["findings"])) == (1, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "output.path is required"),
        (["output.path=nowhere"], "output.path nowhere holds no run"),
        (["output.path=x", "shard=1"], "unknown key 'shard' (closest: 'shards')"),
        (["output.path=x", "rows=-1"], "rows must be greater than or equal to 0"),
        (["output.path=x", "format=yaml"], "format must be one of text, json"),
        (["output.path=s4://user:secret@x"], "cannot open s4://***@x"),
    ],
)
def test_command_that_cannot_be_ends_with_a_message_and_exit_code_2(arguments, message, verify):
    code, said, errors = verify(*arguments)
    assert (code, said) == (2, "")
    assert message in errors
    assert "Traceback" not in errors
