"""What has to stand in the environment before Ray is imported; this file does not import it."""

import os

# Seconds. By itself Ray 2.60.0 ends its driver a minute after it has lost the GCS, at once and with
# an exit code of its own; we have deadlines, and sentences.
_A_DAY = "86400"


def prepare_ray() -> None:
    """Let Ray, which is to be imported after this, wait for its GCS as long as it is let.

    Values that the user has set stay as they are.
    """
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", _A_DAY)
    os.environ.setdefault("RAY_gcs_server_request_timeout_seconds", _A_DAY)
