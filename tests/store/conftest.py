import io
import itertools
import subprocess
import sys
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .proxy import Proxy

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def _server():
    """The port of a store, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    port = process.stdout.readline()
    assert port, "the store does not start"
    yield int(port)
    process.stdin.close()
    process.wait(20)


@pytest.fixture(scope="session")
def _session_proxy(_server):
    proxy = Proxy(_server)
    yield proxy
    proxy.down()


@pytest.fixture
def proxy(_session_proxy):
    """What the tested code talks to the store through."""
    yield _session_proxy
    _session_proxy.reset()


@pytest.fixture
def store(_server, proxy, monkeypatch):
    """A bucket of this test's own."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return Store(_server, proxy.port)


class Store:
    """One bucket: URIs through the proxy, a client of another make past it."""

    def __init__(self, server, proxy):
        self.bucket = f"bucket{next(_numbers)}"
        self._proxy = proxy
        self.client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{server}",
            region_name="us-east-1",
            aws_access_key_id="direct",
            aws_secret_access_key="direct",
        )
        self.client.create_bucket(Bucket=self.bucket)

    def uri(self, path, user="", **options):
        """Return the URI of a path in the bucket, with short times and few attempts."""
        options = {
            "endpoint_override": f"127.0.0.1:{self._proxy}",
            "scheme": "http",
            "region": "us-east-1",
            "max_attempts": 6,
            "request_timeout": 1,
            **options,
        }
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"s3://{user}{self.bucket}/{path}?{query}"

    def put(self, path, content):
        """Write an object: bytes, or a table as Parquet."""
        if not isinstance(content, bytes):
            buffer = io.BytesIO()
            pq.write_table(content, buffer, row_group_size=100)
            content = buffer.getvalue()
        self.client.put_object(Bucket=self.bucket, Key=path, Body=content)

    def get(self, path):
        """Return an object's bytes; None if there is none."""
        try:
            return self.client.get_object(Bucket=self.bucket, Key=path)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None

    def objects(self, prefix=""):
        """Return {path below the prefix: bytes} of all objects but the marks of folders."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix
        )
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        return {key[len(prefix) :]: self.get(key) for key in keys if not key.endswith("/")}

    def table(self, prefix):
        """Return the rows of all Parquet objects below a prefix."""
        tables = [
            pq.read_table(io.BytesIO(content))
            for _, content in sorted(self.objects(prefix).items())
        ]
        return pa.concat_tables(tables)


@pytest.fixture
def table():
    """A hundred points of five inputs, and what passes through."""
    columns = np.random.default_rng(0).uniform(-1, 1, (5, 100))
    named = {f"x{number}": column for number, column in enumerate(columns, start=1)}
    return pa.table({"name": [f"row {number}" for number in range(100)], **named})
