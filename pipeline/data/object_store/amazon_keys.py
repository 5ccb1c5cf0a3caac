"""Keys for Amazon's stores: of the environment, of a profile, or of a command that it names."""

import configparser
import contextlib
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

# Gives keys in the form that obstore takes, which asks again when they have expired.
KeySource = Callable[[], dict[str, Any]]
_COMMAND_SECONDS = 60.0  # somebody may have to touch a key
# In a profile: people sign in, and only Amazon's own command knows the rest.
_SIGN_IN = ("sso_session", "sso_start_url", "login_session")


def fixed_keys(access: str, secret: str, token: str) -> KeySource:
    """Return what gives keys that do not change.

    Args:
        access, secret: the pair.
        token: of a session; "" if there is none.
    """
    keys = {"access_key_id": access, "secret_access_key": secret, "token": token or None}
    return lambda: {**keys, "expires_at": None}


def amazon_keys() -> KeySource | None:
    """Return what gives the keys of the profile that the environment names.

    Returns:
        None where the environment has keys, or no profile: obstore finds the others by itself (of
        a role for a service account, a container or a machine).
    """
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return None
    profile = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
    sections = _sections(profile)
    for section in sections:  # the keys of one file, and no token of the other's
        if section.get("aws_access_key_id"):
            names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
            return fixed_keys(*(section.get(name, "") for name in names))
    options = dict(item for section in reversed(sections) for item in section.items())
    if options.get("credential_process"):
        return lambda: _keys_of_command(options["credential_process"], profile)
    if any(options.get(name) for name in _SIGN_IN):
        name = shlex.quote(profile)
        export = f"aws configure export-credentials --format process --profile {name}"
        return lambda: _keys_of_command(export, profile)
    return None


def _sections(profile: str) -> list[Mapping[str, str]]:
    """Return what each of Amazon's files says of a profile; the one for keys goes first."""
    sections: list[Mapping[str, str]] = []
    in_config = profile if profile == "default" else f"profile {profile}"
    for variable, usual, section in (
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", profile),
        ("AWS_CONFIG_FILE", "~/.aws/config", in_config),
    ):
        file = configparser.ConfigParser(interpolation=None)
        with contextlib.suppress(configparser.Error, UnicodeDecodeError):
            file.read(Path(os.environ.get(variable) or usual).expanduser(), encoding="utf-8-sig")
        sections.append(dict(file.items(section)) if file.has_section(section) else {})
    return sections


def _keys_of_command(command: str, profile: str) -> dict[str, Any]:
    """Return the keys that a command prints, as Amazon defines it for `credential_process`.

    Raises:
        OSError: if it prints none.
    """
    try:
        done = subprocess.run(
            shlex.split(command),
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if done.returncode:
            # The last line: Amazon's own command begins with how it is called.
            said = done.stderr.strip().rpartition("\n")[2]
            raise ValueError(said or f"exit code {done.returncode}")
        answer = _ANSWER.validate_json(done.stdout)
    except subprocess.TimeoutExpired:
        cause = f"no answer within {_COMMAND_SECONDS:g} s"
    except ValidationError:
        cause = "its answer is not what Amazon defines for credential_process"
    except (OSError, ValueError) as error:
        cause = str(error)
    else:
        expires = answer.Expiration
        if expires and not expires.tzinfo:
            expires = expires.replace(tzinfo=UTC)
        keys = {"access_key_id": answer.AccessKeyId, "secret_access_key": answer.SecretAccessKey}
        return {**keys, "token": answer.SessionToken, "expires_at": expires}
    program = command.split(maxsplit=1)[0]
    raise OSError(
        f"AWS profile {profile}: `{program}` gives no keys ({cause}); sign in again, or set "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN)"
    )


@dataclass(frozen=True)
class _Answer:
    """What such a command prints, by Amazon's names."""

    AccessKeyId: str
    SecretAccessKey: str
    SessionToken: str | None = None
    Expiration: datetime | None = None


_ANSWER = TypeAdapter(_Answer)
