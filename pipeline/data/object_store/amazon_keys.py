"""Keys for Amazon's stores: of the environment, of a profile, or of a command that it names."""

import configparser
import contextlib
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

_COMMAND_SECONDS = 60.0  # somebody may have to touch a key
# In a profile: people sign in, and only Amazon's own command knows the rest.
_SIGN_IN = ("sso_session", "sso_start_url", "login_session")


@dataclass(frozen=True)
class Keys:
    """Keys that do not change.

    Attributes:
        access, secret: the pair.
        token: of a session; "" if there is none.
    """

    access: str
    secret: str
    token: str


def amazon_keys() -> Keys | Callable[[], dict[str, Any]] | None:
    """Return the keys of the profile that the environment names, or what gets them when asked.

    The latter are in the form that obstore takes, and it asks again when they have expired.

    Returns:
        None where the environment has keys, or no profile: obstore finds the others by itself (of
        a role for a service account, a container or a machine).
    """
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return None
    profile = os.environ.get("AWS_PROFILE") or "default"
    options = _options(profile)
    if options.get("aws_access_key_id"):
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        return Keys(*(options.get(name, "") for name in names))
    if options.get("credential_process"):
        command = shlex.split(options["credential_process"])
    elif any(options.get(name) for name in _SIGN_IN):
        export = ["configure", "export-credentials", "--format", "process"]
        command = ["aws", *export, "--profile", profile]
    else:
        return None
    return lambda: _keys_of_command(command, profile)


def _options(profile: str) -> Mapping[str, str]:
    """Return what both of Amazon's files say of a profile; the one for keys goes first."""
    options: dict[str, str] = {}
    in_config = profile if profile == "default" else f"profile {profile}"
    for variable, usual, section in (
        ("AWS_CONFIG_FILE", "~/.aws/config", in_config),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", profile),
    ):
        file = configparser.ConfigParser(interpolation=None)
        with contextlib.suppress(configparser.Error, UnicodeDecodeError):
            file.read(Path(os.environ.get(variable) or usual).expanduser(), encoding="utf-8")
        if file.has_section(section):
            options |= file.items(section)
    return options


def _keys_of_command(command: list[str], profile: str) -> dict[str, Any]:
    """Return the keys that a command prints, as Amazon defines it for `credential_process`.

    Raises:
        OSError: if it prints none.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
        )
        if done.returncode:
            raise ValueError(done.stderr.strip().partition("\n")[0] or f"exit {done.returncode}")
        answer = json.loads(done.stdout)
        expiration = answer.get("Expiration")
        return {
            "access_key_id": answer["AccessKeyId"],
            "secret_access_key": answer["SecretAccessKey"],
            "token": answer.get("SessionToken"),
            "expires_at": datetime.fromisoformat(expiration) if expiration else None,
        }
    except (OSError, ValueError, LookupError, subprocess.TimeoutExpired) as error:
        raise OSError(
            f"AWS profile {profile}: `{command[0]}` gives no keys ({error}); sign in again, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN)"
        ) from None
