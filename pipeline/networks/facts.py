"""What is said of any network, wherever it comes from."""

from collections.abc import Sequence

from hyperdiag.messages.errors import listed


def kinks_at(places: Sequence[str]) -> tuple[str, ...]:
    """Return the line on the places whose derivatives jump; none where there are no such places."""
    if not places:
        return ()
    return (
        f"kinks at {listed(places)}: on either side D is that of the smooth piece, and of the kink "
        "itself it tells nothing",
    )
