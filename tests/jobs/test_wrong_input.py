"""Every wrong configuration or input ends in one clear message and exit code 2."""

import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.jobs import _command
from hyperdiag.jobs.derive import main as derive

CHAIN = ["network=chain"]
ROWS = [*CHAIN, "dataset=parquet", "dataset.path=rows.parquet"]
# What is found once there is a plan, for which nothing need be timed.
UNTIMED = ["derivatives.method=hyperdual", "derivatives.tile=8"]
PYTHON = ["network=python", "network.n_inputs=2", "dataset.ranges={x1: [0, 1], x2: [0, 1]}"]

CASES = {
    "typo in a group": (["netwrok=chain"], ["unknown key 'netwrok' (closest: 'network')"]),
    "typo in a network": (["network=qlkn"], ["no such network (closest: 'qlknn')"]),
    "typo in a key": (["output.layuot=wide"], ["'output.layuot' (closest: 'output.layout')"]),
    "typo after +": (["+dataset.sed=1"], ["unknown key 'dataset.sed' (closest: 'dataset.seed')"]),
    "key of another option": (["dataset.path=x"], ["a key of dataset=parquet"]),
    "word that is no override": (["derivve"], ["`derivve` has no '=': write key=value"]),
    "key and value apart": (["output.path", "o1"], ["2 problems", "`o1` has no '='"]),
    "value without quotes": (
        ["dataset.filter=spot>"],
        ["cannot read the override `dataset.filter=spot>`; values", "\"dataset.filter='spot>'\""],
    ),
    "unquoted equals sign": (["output.path=a=b=[c"], ["need quotes"]),
    "two typos": (
        ["derivatives.metod=taylor", "cluster.wrokers=2"],
        ["2 problems", "'derivatives.method'", "'cluster.workers'"],
    ),
    "unknown method": (["derivatives.method=tayler"], ["one of auto,", "(closest: 'taylor')"]),
    "unknown dtype": (["derivatives.dtype=float16"], ["one of float32, float64"]),
    "unknown layout": (["output.layout=long"], ["one of auto, wide, tensor"]),
    "unknown sampler": (["dataset.sampler=soboll"], ["(closest: 'sobol')"]),
    "text for a number": (["cluster.workers=two"], ['must be an integer; got "two"']),
    "no rows": (["dataset.rows=0"], ["dataset.rows must be greater than 0"]),
    "tile of none": (["derivatives.tile=0"], ["derivatives.tile must be greater than 0"]),
    "fraction above one": (["limits.max_bad_fraction=2"], ["less than or equal to 1"]),
    "missing path": (["dataset=parquet"], ["dataset.path is required: dataset.path=..."]),
    "missing target and path": (
        ["network=python", "dataset=parquet", "dataset.path=nowhere"],
        ["2 problems", "needs network.target", "dataset.path: nothing at nowhere (/"],
    ),
    "wrt of no input": (["derivatives.wrt=[Qq]"], ["'Qq' is no input of network 'qlknn'"]),
    "wrt twice": (["derivatives.wrt=[q,q]"], ["derivatives.wrt names 'q' twice"]),
    "wrt of nothing": (["derivatives.wrt=[]"], ["derivatives.wrt is empty"]),
    "range of no input": (["dataset.ranges={zz: [0, 1]}"], ["'zz', which is no input"]),
    "range upside down": (["dataset.ranges={q: [3, 1]}"], ["low < high; got [3.0, 1.0]"]),
    "key inside a free one": (["dataset.ranges.zz=[0,1]"], ["'zz', which is no input"]),
    "no trained ranges": (CHAIN, ["no trained range for x1", "give dataset.ranges={x1:"]),
    "levels of some inputs": (
        ["dataset.sampler=grid", "dataset.levels={q: 3}"],
        ["dataset.levels must name every input once"],
    ),
    "layers that do not fit": (
        ["network=chain", "network.layers='Chain(Dense(5,3,elu),Dense(4,3))'"],
        ["layer 1 gives 3 numbers, layer 2 takes 4"],
    ),
    "unusual activation": (
        ["network=chain", "network.layers='Chain(Dense(5,3,eluu))'"],
        ["no usual activation: 'eluu' (closest: 'elu')"],
    ),
    "layers that are code": (
        ["network=chain", "network.layers='__import__(\"os\").getcwd()'"],
        ["layer 1 is none that is known: __import__('os').getcwd(); there are Dense"],
    ),
    "weights that are not there": ([*ROWS, "network.weights=no.npz"], ["no such file: no.npz"]),
    "weights laid out otherwise": (
        [*ROWS, "network.weights=transposed.npz"],
        ["'W1' in transposed.npz has shape (5, 3), expected (3, 5)", "network.layout=in_out"],
    ),
    "pickled weights": ([*ROWS, "network.weights=pickled.npz"], ["not an .npz of plain arrays"]),
    "weights of another file type": ([*ROWS, "network.weights=rows.parquet"], ["not an .npz"]),
    "module that is not there": ([*PYTHON, "network.target=nope:f"], ["no module 'nope'"]),
    "module that imports what is not there": (
        [*PYTHON, "network.target=lacking:f"],
        ["network.target: lacking imports nothing_there, which is not installed"],
    ),
    "module of a package that is not there": (
        [*PYTHON, "network.target=nope.inner:f"],
        ["no module 'nope' (looked in"],
    ),
    "module that fails": ([*PYTHON, "network.target=broken:f"], ["importing broken failed: ZeroD"]),
    "target without a colon": (
        [*PYTHON, "network.target=mine.f"],
        ["got 'mine.f', for mine:f perhaps"],
    ),
    "builder that is not there": (
        [*PYTHON, "network.target=mine:biuld"],
        ["module mine has no 'biuld' (closest: 'build')"],
    ),
    "builder with other arguments": (
        [*PYTHON, "network.target=mine:build", "network.kwargs={depth: 3}"],
        ["does not take network.kwargs={'depth': 3}"],
    ),
    "function of another size": (
        [*PYTHON, "network.target=mine:three"],
        ["fails on one point of shape (2,)", "if it has not 2 inputs, network.inputs or"],
    ),
    "names and number of inputs that differ": (
        [*PYTHON, "network.target=mine:build", "network.inputs=[a,b,c]"],
        ["network.n_inputs=2, but network.inputs has 3 names"],
    ),
    "method that cannot": (
        [*PYTHON, "network.target=mine:build", "derivatives.method=taylor"],
        ["method 'taylor' cannot differentiate 'relu' (custom_jvp)", "double_forward"],
    ),
    "method that JAX has no rule for": (
        [*PYTHON, "network.target=mine:backwards", "derivatives.method=double_forward"],
        [
            "network 'python': method 'double_forward' cannot differentiate this function (",
            "; method '",
        ],
    ),
    "options of other types": (
        ["network=chain", "network.seed=abc", "network.inputs=5", "network.ranges=7"],
        ["3 problems", 'network.seed must be an integer; got "abc"', "network.inputs", "7"],
    ),
    "negative seed": (["network=chain", "network.seed=-1"], ["network.seed must be greater than"]),
    "names in one word": (["network=chain", "network.inputs=abcde"], ["network.inputs must be"]),
    "builder without a seed": (
        [*PYTHON, "network.target=mine:random"],
        ["returns another function each time"],
    ),
    "names beside a whole network": (
        [*PYTHON, "network.target=mine:whole"],
        ["mine:whole returns a whole Network", "leave network.n_inputs"],
    ),
    "grid beyond all bounds": (
        ["dataset.sampler=grid", "dataset.levels=40"],
        ["makes more than 10,000,000 shards", "dataset.limit"],
    ),
    "dataset inside the output": (
        [*CHAIN, "dataset=parquet", "dataset.path=mixed/0.parquet", "output.path=."],
        ["lies inside output.path"],
    ),
    "path to nothing": (
        [*CHAIN, "dataset=parquet", "dataset.path=nowhere/*.parquet"],
        ["nowhere/*.parquet"],
    ),
    "folder without Parquet": (
        [*CHAIN, "dataset=parquet", "dataset.path=empty"],
        ["no Parquet file (*.parquet, *.parq, *.pq) in empty"],
    ),
    "unknown scheme": (
        [*CHAIN, "dataset=parquet", "dataset.path=s4://user:secret@bucket/x"],
        ["cannot open s4://***@bucket/x"],
    ),
    "file that is no Parquet": (
        [*CHAIN, "dataset=parquet", "dataset.path=mine.py"],
        ["no file can be read"],
    ),
    "corrupt and different files": (
        [*CHAIN, "dataset=parquet", "dataset.path=mixed"],
        ["3 problems", "corrupt.parquet", "has no column 'x1'", "dataset.on_bad_file=skip"],
    ),
    "input without a column": (
        [*CHAIN, "dataset=parquet", "dataset.path=upper.parquet"],
        ["expects input 'x1'; dataset upper.parquet has no such column (closest: 'X1')"],
    ),
    "rename of no input": ([*ROWS, "dataset.columns={xx1: x1}"], ["'xx1', which is no input"]),
    "rename to no column": ([*ROWS, "dataset.columns={x1: nope}"], ["input 'x1' as 'nope'"]),
    "column of dates": (
        [*CHAIN, "dataset=parquet", "dataset.path=dates.parquet"],
        ["column 'x1' of dataset dates.parquet is timestamp[ns], which is no number"],
    ),
    "vector of another width": (
        [*CHAIN, "dataset=parquet", "dataset.path=vector.parquet", "dataset.vector=v"],
        ["column 'v' of dataset vector.parquet holds 4 numbers; the network has 5 inputs"],
    ),
    "lists of another width": (
        [*CHAIN, "dataset=parquet", "dataset.path=lists.parquet", "dataset.vector=v"],
        [
            "dataset.vector=v: none of 2 rows looked at in dataset lists.parquet is a point",
            "column 'v' has 4 elements, not 5. If the network has not 5 inputs",
        ],
    ),
    "vector of no column": (
        [*CHAIN, "dataset=parquet", "dataset.path=vector.parquet", "dataset.vector=point"],
        ["dataset vector.parquet has no such column (there are: v)"],
    ),
    "input without a column like it": (
        [*CHAIN, "dataset=parquet", "dataset.path=other.parquet"],
        ["expects input 'x1'; dataset other.parquet has no such column (there are: strike, key)"],
    ),
    "vector and renames": (
        [*ROWS, "dataset.vector=x1", "dataset.columns={x1: x2}"],
        ["exclude each other"],
    ),
    "filter of no column": (
        [*ROWS, "dataset.filter='kei > 1'"],
        ["no column 'kei' (closest: 'key')"],
    ),
    "filter of no column like it": (
        [*ROWS, "dataset.filter='spot > 1'"],
        ["the dataset has no column 'spot' (there are: key, x1, x2, x3, x4, x5)"],
    ),
    "output column of none like it": (
        [*ROWS, "output.columns=[spot]"],
        ["output.columns: the dataset has no column 'spot' (there are: key, x1"],
    ),
    "file of keys that is no YAML": (
        ["--config", "odd.yaml"],
        ["--config odd.yaml cannot be read: line 3: expected"],
    ),
    "filter that is code": ([*ROWS, "dataset.filter='open(1)'"], ["cannot use `open(1)`"]),
    "filter that compares text": ([*ROWS, "dataset.filter=\"x1 > 'a'\""], ["dataset.filter"]),
    "output column of none": ([*ROWS, "output.columns=[keyy]"], ["'keyy' (closest: 'key')"]),
    "output columns of one name": (
        [*CHAIN, "dataset=parquet", "dataset.path=targets.parquet", *UNTIMED],
        ["two columns named y1", "output.layout=tensor"],
    ),
    "dataset without rows": (
        [*CHAIN, "dataset=parquet", "dataset.path=none.parquet"],
        ["the dataset has no rows: none.parquet"],
    ),
    "output inside the dataset": (
        [*CHAIN, "dataset=parquet", "dataset.path=.", "output.path=./out"],
        ["lies inside dataset.path"],
    ),
    "output that is a file": (
        ["output.path=rows.parquet", *UNTIMED],
        ["is a file; give a folder"],
    ),
    "output below a file": (
        ["output.path=rows.parquet/out", *UNTIMED],
        ["output.path", "rows.parquet"],
    ),
    "output of somebody else": (
        ["output.path=mixed", *UNTIMED],
        ["holds other files", "give a new folder"],
    ),
    "cluster that is not there": (
        ["cluster=existing", "cluster.address=127.0.0.1:1", "output.path=o"],
        ["no Ray cluster at 127.0.0.1:1"],
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Input of every wrong kind."""
    path = tmp_path_factory.mktemp("wrong")
    names = [f"x{i}" for i in range(1, 6)]
    ones = {name: [1.0, 2.0] for name in names}
    pq.write_table(pa.table({"key": [1, 2], **ones}), path / "rows.parquet")
    pq.write_table(pa.table({**ones, "y1": [0.0, 0.0]}), path / "targets.parquet")
    pq.write_table(pa.table({k.upper(): v for k, v in ones.items()}), path / "upper.parquet")
    pq.write_table(pa.table(ones).slice(0, 0), path / "none.parquet")
    dates = pa.array([0, 1], pa.timestamp("ns"))
    pq.write_table(pa.table({**ones, "x1": dates}), path / "dates.parquet")
    vector = pa.array([[1.0] * 4], pa.list_(pa.float64(), 4))
    pq.write_table(pa.table({"v": vector}), path / "vector.parquet")
    pq.write_table(pa.table({"v": [[1.0] * 4] * 2}), path / "lists.parquet")
    pq.write_table(pa.table({"strike": [1.0], "key": [1]}), path / "other.parquet")
    (path / "odd.yaml").write_text("network:\n  name: chain\n layers: x\n")
    (path / "mixed").mkdir()
    for number in range(3):
        pq.write_table(pa.table(ones), path / f"mixed/{number}.parquet")
    (path / "mixed/corrupt.parquet").write_bytes(b"PAR1 this is nothing PAR1")
    whole = (path / "rows.parquet").read_bytes()
    (path / "mixed/cut.parquet").write_bytes(whole[: len(whole) // 2])
    pq.write_table(pa.table({"other": [1]}), path / "mixed/different.parquet")
    (path / "empty").mkdir()
    rng = np.random.default_rng(0)
    w = {"W2": rng.normal(size=(3, 3)), "b1": np.zeros(3), "b2": np.zeros(3)}
    np.savez(path / "transposed.npz", W1=rng.normal(size=(5, 3)), **w)
    np.savez(path / "pickled.npz", W1=np.array([{}], dtype=object), **w)
    (path / "lacking.py").write_text("import nothing_there.inner\n")
    (path / "broken.py").write_text("1 / 0\n")
    (path / "mine.py").write_text(
        "import jax\n"
        "def build():\n    return lambda x: jax.nn.relu(x)\n"
        "def three():\n    return lambda x: x @ jax.numpy.ones((3, 2))\n"
        "def random():\n"
        "    import numpy\n"
        "    w = numpy.random.default_rng().normal(size=2)\n"
        "    return lambda x: w * x\n"
        "@jax.custom_vjp\n"
        "def _sine(x):\n    return jax.numpy.sin(x)\n"
        "_sine.defvjp(lambda x: (jax.numpy.sin(x), x), lambda x, ct: (ct * jax.numpy.cos(x),))\n"
        "def backwards():\n    return _sine\n"
        "def whole():\n"
        "    from hyperdiag.networks import Network\n"
        "    return Network('n', lambda x: x, ('a',), ('b',), 'd', {})\n"
    )
    return path


def _run(folder, monkeypatch, capsys, *arguments):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["hyperdiag derive", *arguments])
    monkeypatch.setattr("sys.path", [str(folder), *os.sys.path])
    with pytest.raises(SystemExit) as stopped:
        derive()
    said = capsys.readouterr()
    return stopped.value.code, said.err + said.out


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", CASES)
def test_wrong_input_ends_with_a_clear_message_and_exit_code_2(name, folder, monkeypatch, capsys):
    overrides, expected = CASES[name]
    code, said = _run(folder, monkeypatch, capsys, *overrides)
    assert code == _command.USAGE, said
    for part in expected:
        assert part in said
    assert "Traceback" not in said
    assert not (folder / "outputs").exists()
    told = re.compile(r"\d\d:\d\d:\d\d dataset\.path: .*\n")  # of files that are no data
    # Of a cluster Ray has its own say first.
    assert told.sub("", said).startswith("hyperdiag: ") or name == "cluster that is not there"
