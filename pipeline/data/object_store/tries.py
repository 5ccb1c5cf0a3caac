"""Object stores: which they are, and how long they are tried."""

import re
from urllib.parse import parse_qsl, urlencode

from pyarrow import fs

from hyperdiag.messages.errors import UsageError

# As pyarrow calls their filesystems: nothing can be renamed (in most of Azure's, "abfs").
STORES = ("s3", "gcs", "abfs")

# What pyarrow 26.0.1 makes of a URI gives a busy store up after six seconds, and a silent one after
# ninety. The waits between attempts double from 50 ms: ten make half a minute.
_S3_TRIES = {"max_attempts": 10, "connect_timeout": 5.0, "request_timeout": 20.0}
# pyarrow 26.0.1 takes these from a URI alone, and from there takes no strategy.
_URI_ONLY = {"tls_ca_dir_path", "tls_verify_certificates", "smart_defaults"}

_attempts: dict[str, int] = {}  # of filesystems that were opened here, by their arguments

# How pyarrow 26.0.1 words what may be over in a while, as opposed to what is not there or not
# allowed: no attribute of its errors tells.
_PASSING = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|THROTTLING|"
    r"REQUEST_TIMEOUT|UNKNOWN \(HTTP status (429|5\d\d)\))|"
    r"Azure Error: \[\w*\] (429|5\d\d) |"
    r"google::cloud::Status\((UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|INTERNAL):"
)


def open_s3(uri: str) -> tuple[fs.FileSystem, str]:
    """Return the filesystem and the path that an S3 URI names.

    Beyond pyarrow's, a URI's options may be `max_attempts` of a request, `connect_timeout` and
    `request_timeout` (seconds without a byte).

    Raises:
        UsageError: if one of these is no number, or stands beside an option that excludes it.
        ValueError, OSError: as pyarrow does.
    """
    base, _, query = uri.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    own_tries = {name: _positive(name, options.pop(name)) for name in _S3_TRIES if name in options}
    fixed = _URI_ONLY.intersection(options)
    if own_tries and fixed:
        raise UsageError(f"an s3:// URI takes {min(own_tries)} or {min(fixed)}, not both")
    # Files of less than 10 MB go up in one request, and leave nothing behind if that fails.
    options.setdefault("allow_delayed_open", "true")
    filesystem, path = fs.FileSystem.from_uri(f"{base}?{urlencode(options)}")
    if not fixed:
        tries = {**_S3_TRIES, **own_tries}
        # Not the standard strategy: that one ends for good after a hundred retries in all.
        strategy = fs.AwsDefaultS3RetryStrategy(max_attempts=int(tries.pop("max_attempts")))
        _, (arguments,) = filesystem.__reduce__()
        filesystem = fs.S3FileSystem(**{**arguments, **tries, "retry_strategy": strategy})
        _attempts[str(filesystem.__reduce__()[1])] = strategy.max_attempts
    return filesystem, path


def attempts_of(filesystem: fs.FileSystem) -> int:
    """Return how often a request to a store is made, at most: pyarrow does not tell it again."""
    return _attempts.get(str(filesystem.__reduce__()[1]), int(_S3_TRIES["max_attempts"]))


def patience(uri: str) -> float:
    """Return for how many seconds one request to a silent store is tried; 0 for what is no S3."""
    if not uri.startswith("s3:"):
        return 0.0
    options = dict(parse_qsl(uri.partition("?")[2]))
    tries = {name: _positive(name, options.get(name, usual)) for name, usual in _S3_TRIES.items()}
    attempts = int(tries["max_attempts"])
    waits = 0.05 * (2.0 ** min(attempts - 1, 60) - 1)
    return attempts * (tries["connect_timeout"] + tries["request_timeout"]) + waits


def without_tries(uri: str) -> str:
    """Return a URI without the options that say how long a store is tried."""
    base, mark, query = uri.partition("?")
    kept = [option for option in query.split("&") if option.partition("=")[0] not in _S3_TRIES]
    return base + (mark + "&".join(kept) if kept and mark else "")


def _positive(name: str, value: str | float) -> float:
    try:
        number = float(value)
        if not 0 < number < float("inf"):
            raise ValueError
    except ValueError:
        raise UsageError(f"{name} in an s3:// URI must be a positive number; got {value}") from None
    return number


class PassingError(OSError):
    """A store cannot be reached, or is too busy, for now."""


def is_passing(error: BaseException) -> bool:
    """Return whether an error is a store's that cannot be reached, or is too busy, for now."""
    if isinstance(error, PassingError):
        return True
    return isinstance(error, OSError) and _PASSING.search(str(error)) is not None
