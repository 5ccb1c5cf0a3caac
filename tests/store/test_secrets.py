"""Credentials planted wherever a run may be given some are found nowhere that it leaves."""

import base64
import io
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.ray_head import FINDS_TESTS, free_port, ray_head

# Distinct, and like nothing else.
USER, PASSWORD = "AKZQUSERINFOZQ", "zqPASSWORDzq/of+it"
PLANTED = {
    **{"AWS_ACCESS_KEY_ID": "AKZQENVIRONMENTZQ", "AWS_SECRET_ACCESS_KEY": "zqENVSECRETzq"},
    **{"AWS_SESSION_TOKEN": "zqENVSESSIONzq", "MY_DB_PASSWORD": "zqENVPASSWORDzq"},
}
WEIGHTS = "s3://AKZQWEIGHTSZQ:zqWEIGHTSzq@models/w.npz?secret_key=zqOPTIONzq"
TOKEN, WEBHOOK, ARGUMENT = "zqTOKENzq", "zqWEBHOOKzq", "zqARGUMENTzq"
SECRETS = [
    *(USER, "zqPASSWORDzq", *PLANTED.values(), "AKZQWEIGHTSZQ", "zqWEIGHTSzq", "zqOPTIONzq"),
    *(TOKEN, WEBHOOK, ARGUMENT),
]

LISTING = """
import sys
from ray.util import state
for what in (state.list_tasks, state.list_actors, state.list_jobs, state.list_workers):
    print(what(address=sys.argv[1], detail=True, limit=1000, raise_on_missing_output=False))
"""


def found_in(name, content):
    """Return the secrets in some bytes: plain, or in what a Parquet file says of itself."""
    texts = [content]
    if name.endswith(".parquet") and content:
        file = pq.ParquetFile(io.BytesIO(content))
        schema = file.schema_arrow
        texts += [str(schema.metadata).encode(), str(schema.to_string()).encode()]
        texts += [str(dict(file.metadata.metadata)).encode()]
        texts += [str(field.metadata).encode() for field in schema]
        texts += [base64.b64decode((file.metadata.metadata or {}).get(b"ARROW:schema", b""))]
        texts += [str(file.read().to_pylist()).encode()]
    if name.endswith("plan.json"):
        texts.append(base64.b64decode(json.loads(content)["settings"]["dataset"]["schema"]))
    return [(name, secret) for secret in SECRETS for text in texts if secret.encode() in text]


def files_below(folder):
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield str(path), path.read_bytes()


@pytest.fixture
def planted(store, monkeypatch):
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    return f"{USER}:{PASSWORD.replace('/', '%2F').replace('+', '%2B')}@"


@pytest.fixture
def rows(store):
    x1 = [number / 100 for number in range(200)]
    store.put("in/rows.parquet", pa.table({"x1": x1, "x2": x1}))
    store.put("bad/rows.parquet", pa.table({"x1": [*x1[1:], 666.0], "x2": x1}))


@pytest.fixture
def commands(planted, rows, store, hyperdiag):
    """Give commands that get credentials in all ways; return what each ended with, and said."""

    def place(key, path):
        return f"{key}='{store.uri(path, user=planted)}'"

    def given(*cluster):
        common = (
            *("network=python", "network.target=tests.run.networks:trusted", "network.n_inputs=2"),
            f"network.kwargs={{weights: '{WEIGHTS}', api_token: {TOKEN}}}",
            *("dataset=parquet", "dataset.shard_rows=100", "derivatives.method=hyperdual"),
            *("derivatives.tile=1", "derivatives.verify_rows=0", "limits.max_attempts=1"),
            *(f"notify.url=http://127.0.0.1:{free_port()}/{WEBHOOK}", "notify.seconds=2"),
            *(f"notify.command=[printf,{ARGUMENT}]", *cluster),
        )
        out = place("output.path", "out")
        derive = ("derive", *common, place("dataset.path", "in"))
        marked = f"network.kwargs={{weights: '{WEIGHTS}', api_token: {TOKEN}, marker: x}}"
        done = [
            hyperdiag(*derive, out, "log.format=json"),
            hyperdiag("verify", out),
            # A worker fails with a message that has them, and Hydra does; a sweep is written down.
            hyperdiag("derive", *common, place("dataset.path", "bad"), place("output.path", "o2")),
            hyperdiag(*derive, place("output.path", "o3"), marked),
            hyperdiag("derive", "-m", *derive[1:], out, "run.date=a,b"),
        ]
        assert [one.returncode for one in done] == [0, 0, 1, 2, 2], [one.stderr for one in done]
        return [(f"command {n}", (one.stdout + one.stderr).encode()) for n, one in enumerate(done)]

    return given


def _leaks(store, tmp_path, *more):
    """Return what is found in the outputs, in the folder of the commands, and in more."""
    objects = store.objects()
    left = [(name, objects[name]) for name in objects if not name.startswith(("in/", "bad/"))]
    assert any(name.endswith("plan.json") for name, _ in left)
    assert (tmp_path / "outputs/multirun/multirun.yaml").exists()
    kept = [*left, *files_below(tmp_path), *more]
    return [found for name, content in kept for found in found_in(name, content)]


@pytest.mark.slow
def test_credentials_are_found_nowhere(commands, store, tmp_path):
    assert _leaks(store, tmp_path, *commands("cluster=inline")) == []
    # They would be.
    assert found_in("x", f"see {WEIGHTS}".encode())


@pytest.mark.chaos
def test_credentials_are_found_nowhere_on_a_cluster(commands, store, tmp_path):
    port = free_port()
    dashboard = ("--include-dashboard=true", "--dashboard-host=127.0.0.1")
    with ray_head(*dashboard, f"--dashboard-port={port}", **FINDS_TESTS) as head:
        said = commands("cluster=existing", f"cluster.address={head.address}", "cluster.workers=1")
        listing = subprocess.run(
            [sys.executable, "-c", LISTING, f"http://127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            env=dict(os.environ),
            timeout=120,
            check=False,
        )
        assert listing.returncode == 0, listing.stderr
        logs = list(files_below(head.folder))
    assert "WorkerActor" in listing.stdout
    assert len(logs) > 10
    assert _leaks(store, tmp_path, *said, *logs, ("listing", listing.stdout.encode())) == []
