"""Values that a configuration takes from the environment, `${oc.env:NAME}`.

A site may say which variables those may be, and what comes through is taken for a credential: it is
masked wherever it turns up, but for what people have to read: where a run reads and writes, and
how it works.
"""

import os
import re
from typing import Any

from omegaconf import Node, OmegaConf
from omegaconf.resolvers import oc

from hyperdiag.messages.masking import is_secret
from hyperdiag.messages.secrets import register_secrets
from hyperdiag.networks.site_policy import check_variable

# Sections with keys for text of any kind; elsewhere values are numbers, paths and words of ours.
_FREE = re.compile(r"(network|notify|submit|dataset\.filter)\b")
_PLACE = re.compile(r"(path|weights|files)(\[\d+\])?$")
_LOCAL_PATH = re.compile(r"~?/|\.{1,2}/")


def _env(name: str, *default: Any, _node_: Node) -> str | None:
    """Return a variable's value, or the default, as OmegaConf's own resolver does."""
    key = str(_node_._get_full_key(None))
    check_variable(name, f"${{oc.env:{name}}}")
    value = oc.env(name, *default)
    if isinstance(value, str) and name in os.environ and _is_credential(key, name, value):
        register_secrets([value])
    return value


def _is_credential(key: str, name: str, value: str) -> bool:
    if is_secret(name) or key.startswith("notify"):
        return True
    if not _FREE.match(key) or _PLACE.search(key) or _LOCAL_PATH.match(value):
        return False
    return "://" not in value  # the credentials in a URI are known where it is read


OmegaConf.register_new_resolver("oc.env", _env, replace=True)
