"""Clients for the stores that pyarrow opened, which know what pyarrow's do not: conditions."""

import math
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store
from pyarrow import fs

from .amazon_keys import amazon_keys, fixed_keys

_REQUEST_SECONDS = 20.0  # where a URI leaves that to pyarrow
_SLOW_BYTES_PER_S = 500_000  # slower than that, an upload is taken for stuck
_NO_RETRIES: Any = {"max_retries": 0}  # who uses a client makes them


def client_of(filesystem: fs.FileSystem, bucket: str, size: int = 0) -> ObjectStore:
    """Return a client for a bucket, or container, with the addresses and keys that pyarrow has.

    Args:
        filesystem: that pyarrow opened.
        bucket: its name.
        size: bytes of what is to be written: a request may take longer for more.

    Raises:
        NotImplementedError: if no client for such a store is known.
    """
    kind = filesystem.type_name
    if kind not in _CLIENTS:
        raise NotImplementedError(kind)
    _, (options,) = filesystem.__reduce__()
    quick = max(options.get("request_timeout") or 0, 0) or _REQUEST_SECONDS
    # In powers of two: a client keeps its connections, and there is one for each time.
    seconds = 2 ** math.ceil(math.log2(2 * quick + size / _SLOW_BYTES_PER_S))
    key = f"{kind} {bucket} {options} {seconds}"
    if key not in _clients:
        _clients[key] = _CLIENTS[kind](options, bucket, timedelta(seconds=seconds))
    return _clients[key]


def _s3(options: dict[str, Any], bucket: str, longest: timedelta) -> ObjectStore:
    config: Any = {"virtual_hosted_style_request": options["force_virtual_addressing"]}
    keys: Any = None
    if options["anonymous"]:
        config["skip_signature"] = True
    elif options["access_key"]:
        names = ("access_key", "secret_key", "session_token")
        keys = fixed_keys(*(options[name] for name in names))
    else:
        keys = amazon_keys()
    # Not as options of the client, which would add what the environment has.
    provider: Any = {"credential_provider": keys} if keys else {}
    if options["role_arn"]:
        config |= {"role_arn": options["role_arn"]}
        config |= {"role_session_name": options["session_name"]} if options["session_name"] else {}
    if options["region"]:
        config["region"] = options["region"]
    if options["endpoint_override"]:
        endpoint = options["endpoint_override"]
        known = "://" in endpoint
        config["endpoint"] = endpoint if known else f"{options['scheme'] or 'https'}://{endpoint}"
    client: Any = {"timeout": longest, "allow_http": options["scheme"] == "http"}
    if options["connect_timeout"] > 0:
        client["connect_timeout"] = timedelta(seconds=options["connect_timeout"])
    if options["tls_ca_file_path"]:
        client["root_certificate"] = Path(options["tls_ca_file_path"]).read_bytes()
    proxy = options["proxy_options"]
    if proxy["host"]:
        client["proxy_url"] = f"{proxy['scheme'] or 'http'}://{proxy['host']}:{proxy['port']}"
    return S3Store(
        bucket, config=config, client_options=client, retry_config=_NO_RETRIES, **provider
    )


def _gcs(options: dict[str, Any], bucket: str, longest: timedelta) -> ObjectStore:
    endpoint = options["endpoint_override"]
    scheme = options["scheme"] or "https"
    config: Any = {"base_url": f"{scheme}://{endpoint}"} if endpoint else {}
    token: Any = None
    if options["access_token"]:
        expiry = options["credential_token_expiration"]
        token = {"token": options["access_token"], "expires_at": _in_utc(expiry)}
    elif options["anonymous"] and endpoint:
        # obstore 0.12.1 asks for a token to write, with `skip_signature`, too: servers for tests
        # take any.
        token = {"token": "anonymous", "expires_at": None}
    elif options["anonymous"]:
        config["skip_signature"] = True
    client: Any = {"timeout": longest, "allow_http": scheme == "http"}
    provider: Any = {"credential_provider": lambda: token} if token else {}
    return GCSStore(
        bucket, config=config, client_options=client, retry_config=_NO_RETRIES, **provider
    )


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment and (moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _azure(options: dict[str, Any], container: str, longest: timedelta) -> ObjectStore:
    config: Any = {"account_name": options["account_name"]}
    keys: dict[str, Any] = {}
    if options["sas_token"]:  # with which pyarrow keeps all the options of a URI
        keys = {"sas_token": options["sas_token"].removeprefix("?"), "expires_at": None}
    elif options["account_key"]:
        keys = {"access_key": options["account_key"], "expires_at": None}
    else:
        names = ("tenant_id", "client_id", "client_secret")
        config |= {name: options[name] for name in names if options[name]}
        if not any(name.startswith("AZURE_") for name in os.environ) and shutil.which("az"):
            config["use_azure_cli"] = True  # who has signed in with `az login`
    scheme, authority = options["blob_storage_scheme"], options["blob_storage_authority"]
    # As pyarrow has it: a domain that begins with a dot follows the account's name; on another
    # host, the account's name is the first part of the path.
    account = options["account_name"]
    host = f"{account}{authority}" if authority.startswith(".") else f"{authority}/{account}"
    config["endpoint"] = f"{scheme}://{host}"
    client: Any = {"timeout": longest, "allow_http": scheme == "http"}
    # Not as options of the client, before which it would take what the environment has.
    provider: Any = {"credential_provider": lambda: keys} if keys else {}
    return AzureStore(
        container, config=config, client_options=client, retry_config=_NO_RETRIES, **provider
    )


_CLIENTS: dict[str, Callable[[dict[str, Any], str, timedelta], ObjectStore]] = {
    "s3": _s3,
    "gcs": _gcs,
    "abfs": _azure,
}
_clients: dict[str, ObjectStore] = {}
