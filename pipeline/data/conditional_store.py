"""Conditional requests to an object store: an object is written if it is as it was seen, or not."""

import math
import os
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from .filesystem import Guard, Place
from .store import PassingError, attempts_of, shared_credentials

_Result = TypeVar("_Result")
# What tells one content of an object from another: its "e_tag", its "version", or both.
Version = dict[str, str]

# As `store` has it for pyarrow's requests.
_FIRST_PAUSE_SECONDS = 0.05
_CONFLICTS = 20
_LONGEST_PAUSE_SECONDS = 5.0
_REQUEST_SECONDS = 20.0  # where a URI leaves that to pyarrow
_SLOW_BYTES_PER_S = 500_000  # slower than that, an upload is taken for stuck
_NO_RETRIES: Any = {"max_retries": 0}  # they are made here
# Where credentials are looked for when nothing else has any: it is no answer of the store's.
_METADATA_SERVICE = "169.254."


class Conflict(Exception):
    """What was to be replaced is not as it was seen, or what was to be made is there already."""


class ConditionalStore:
    """The bucket, or container, that a place is in.

    Args:
        place: in an object store that pyarrow opened.
        size: bytes of what is to be written: a request may take longer for more.

    Raises:
        NotImplementedError: if no client for such a store is known.
    """

    def __init__(self, place: Place, size: int = 0):
        kind, bucket = place.filesystem.type_name, place.path.partition("/")[0]
        if kind not in _CLIENTS:
            raise NotImplementedError(kind)
        _, (options,) = place.filesystem.__reduce__()
        quick = max(options.get("request_timeout") or 0, 0) or _REQUEST_SECONDS
        # In powers of two: a client keeps its connections, and there is one for each time.
        seconds = 2 ** math.ceil(math.log2(2 * quick + size / _SLOW_BYTES_PER_S))
        key = f"{kind} {bucket} {options} {seconds}"
        if key not in _clients:
            _clients[key] = _CLIENTS[kind](options, bucket, timedelta(seconds=seconds))
        self._store = _clients[key]
        self._attempts = attempts_of(place.filesystem)

    def read(self, path: str) -> tuple[bytes, Version]:
        """Return the content of an object and its version.

        Raises:
            FileNotFoundError: if there is none.
            PassingError: if the store does not answer for now.
            OSError: if it refuses.
        """

        def get() -> tuple[bytes, Version]:
            answer = obstore.get(self._store, _key(path))
            return bytes(answer.bytes()), _version(answer.meta)

        return self._persistently(get)

    def version(self, path: str) -> Version | None:
        """Return the version of an object; None if there is none.

        Raises:
            PassingError, OSError: as `read`.
        """
        try:
            return _version(self._persistently(lambda: obstore.head(self._store, _key(path))))
        except FileNotFoundError:
            return None

    def write(self, path: str, content: bytes | mmap, seen: Version | None) -> Version:
        """Write an object if it is as it was seen, in one request; return its new version.

        An answer that is lost leaves open whether it was written: then, too, this is a conflict.

        Args:
            path: of the object, with its bucket.
            content: of it.
            seen: the version that it must have; None: there must be none.

        Raises:
            Conflict: if it is another by now.
            PassingError, OSError: as `read`.
        """
        mode: Any = "create" if seen is None else seen

        def put() -> Version:
            try:
                return _version(obstore.put(self._store, _key(path), content, mode=mode))
            except (AlreadyExistsError, PreconditionError) as error:
                raise Conflict(path) from error
            except FileNotFoundError as error:  # no such bucket
                raise OSError(_sentence(error)) from error

        return self._persistently(put)

    def _persistently(self, request: Callable[[], _Result]) -> _Result:
        """Return what a request returns, tried again where the store is busy or silent."""
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(1, self._attempts + 1):
            try:
                return request()
            except BaseError as error:
                if not _is_passing(error):
                    raise OSError(_sentence(error)) from error
                if attempt == self._attempts:
                    raise PassingError(_sentence(error)) from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        raise AssertionError("unreachable")


def put_guarded(place: Place, file: IO[bytes], guard: Guard) -> None:
    """Write a file to an object in one request, in which it takes no other's place unseen.

    Args:
        place: of the object.
        file: of this machine, with a descriptor.
        guard: called before another object of that name is replaced.

    Raises:
        PassingError, OSError: as `ConditionalStore.write`.
    """
    store = ConditionalStore(place, file.seek(0, os.SEEK_END))
    content = mmap(file.fileno(), 0, access=ACCESS_READ)
    seen: Version | None = None
    for _ in range(_CONFLICTS):
        try:
            store.write(place.path, content, seen)
            return
        except Conflict:
            seen = store.version(place.path)
            guard()
    raise OSError(f"{place} is written by others all the time")


def _version(answer: Mapping[str, Any]) -> Version:
    return {name: answer[name] for name in ("e_tag", "version") if answer[name] is not None}


def _key(path: str) -> str:
    return path.partition("/")[2]


def _is_passing(error: BaseError) -> bool:
    # obstore 0.12.1 has one class for a connection that breaks, a time that is over, and for
    # answers that it has no class for: the number of the answer is in its text alone.
    text = str(error)
    if _METADATA_SERVICE in text:
        return False
    if "status code: " in text:
        return text.partition("status code: ")[2][:3] in {"429", "500", "502", "503", "504"}
    return "HTTP error" in text or "error sending request" in text or "operation timed out" in text


def _sentence(error: Exception) -> str:
    """Return the first line of an error: what follows repeats the request, and its headers."""
    return str(error).strip().partition("\n")[0]


def _s3(options: dict[str, Any], bucket: str, longest: timedelta) -> ObjectStore:
    config: Any = {"virtual_hosted_style_request": options["force_virtual_addressing"]}
    if options["anonymous"]:
        config["skip_signature"] = True
    elif options["access_key"]:
        config |= _keys(options["access_key"], options["secret_key"], options["session_token"])
    else:
        config |= _keys(*shared_credentials())
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
    return S3Store(bucket, config=config, client_options=client, retry_config=_NO_RETRIES)


def _keys(access: str, secret: str, token: str) -> dict[str, str]:
    keys = {"access_key_id": access, "secret_access_key": secret, "session_token": token}
    return {name: value for name, value in keys.items() if value}


def _gcs(options: dict[str, Any], bucket: str, longest: timedelta) -> ObjectStore:
    config: Any = {"skip_signature": True} if options["anonymous"] else {}
    client: Any = {"timeout": longest}
    return GCSStore(bucket, config=config, client_options=client, retry_config=_NO_RETRIES)


def _azure(options: dict[str, Any], container: str, longest: timedelta) -> ObjectStore:
    config = {"account_name": options["account_name"], "account_key": options["account_key"]}
    config |= {"sas_token": options["sas_token"], "tenant_id": options["tenant_id"]}
    config |= {name: options[name] for name in ("client_id", "client_secret")}
    known: Any = {name: value for name, value in config.items() if value}
    client: Any = {"timeout": longest}
    return AzureStore(container, config=known, client_options=client, retry_config=_NO_RETRIES)


_CLIENTS: dict[str, Callable[[dict[str, Any], str, timedelta], ObjectStore]] = {
    "s3": _s3,
    "gcs": _gcs,
    "abfs": _azure,
}
_clients: dict[str, ObjectStore] = {}
