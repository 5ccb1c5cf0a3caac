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

from tests.ray_head import free_port, ray_head

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


def test_credentials_are_found_in_nothing_that_runs_on_a_cluster_leave(
    planted, rows, store, hyperdiag, tmp_path
):
    port = free_port()
    dashboard = ("--include-dashboard=true", "--dashboard-host=127.0.0.1")
    with ray_head(*dashboard, f"--dashboard-port={port}") as head:
        common = (
            *("network=python", "network.target=tests.run.networks:trusted", "network.n_inputs=2"),
            f"network.kwargs={{weights: '{WEIGHTS}', api_token: {TOKEN}}}",
            *("dataset=parquet", "dataset.shard_rows=100", "derivatives.method=hyperdual"),
            *("derivatives.tile=1", "derivatives.verify_rows=0", "limits.max_attempts=1"),
            *("cluster=existing", f"cluster.address={head.address}", "cluster.workers=1"),
            *(f"notify.url=http://127.0.0.1:{free_port()}/{WEBHOOK}", "notify.seconds=2"),
            f"notify.command=[printf,{ARGUMENT}]",
        )

        def place(key, path):
            return f"{key}='{store.uri(path, user=planted)}'"

        out = place("output.path", "out")
        done = [
            hyperdiag("derive", *common, place("dataset.path", "in"), out, "log.format=json"),
            hyperdiag("status", out),
            hyperdiag("verify", out),
            # A worker fails with a message that has them, and Hydra does.
            hyperdiag("derive", *common, place("dataset.path", "bad"), place("output.path", "o2")),
            hyperdiag(
                *("derive", *common, place("dataset.path", "in"), place("output.path", "o3")),
                f"network.kwargs={{weights: '{WEIGHTS}', api_token: {TOKEN}, marker: x}}",
            ),
            hyperdiag("derive", "-m", *common, place("dataset.path", "in"), out, "run.date=a,b"),
        ]
        codes = [one.returncode for one in done]
        listing = subprocess.run(
            [sys.executable, "-c", LISTING, f"http://127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            env=dict(os.environ),
            timeout=60,
            check=False,
        )
        assert listing.returncode == 0, listing.stderr
        logs = list(files_below(head.folder))
    said = [(f"command {n}", (one.stdout + one.stderr).encode()) for n, one in enumerate(done)]
    objects = store.objects()
    left = [(name, objects[name]) for name in objects if not name.startswith(("in/", "bad/"))]
    assert codes == [0, 0, 0, 1, 2, 2], [one.stderr[-600:] for one in done]
    assert "WorkerActor" in listing.stdout
    assert len(logs) > 10
    assert any(name.endswith("plan.json") for name, _ in left)
    kept = [*said, *left, *logs, *files_below(tmp_path), ("listing", listing.stdout.encode())]
    leaks = [found for name, content in kept for found in found_in(name, content)]
    assert leaks == []
    # It is there to be found.
    assert found_in("x", f"see {WEIGHTS}".encode())
