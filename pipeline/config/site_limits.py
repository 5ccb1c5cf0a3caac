"""What the policy of a site says of a run: what it may start, and whom it may talk to."""

from collections.abc import Sequence

from hyperdiag.messages.errors import Problems
from hyperdiag.networks.site_policy import check_command, check_host


def check_site_limits(command: Sequence[str] | None, url: str | None, address: str | None) -> None:
    """Check that the site allows what a configuration has a run start, and talk to.

    Args:
        command: of `notify`.
        url: of `notify`.
        address: of a cluster. Who answers there hands this process objects that it unpickles.

    Raises:
        UsageError: naming every key that it does not allow.
    """
    problems = Problems()
    if command:
        problems.attempt(check_command, command[0], "notify.command")
    if url:
        problems.attempt(check_host, url, "notify.url")
    if address not in (None, "auto"):
        problems.attempt(check_host, address, "cluster.address")
    problems.check()
