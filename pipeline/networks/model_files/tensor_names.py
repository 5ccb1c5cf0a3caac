"""Names for the numbers of a model's tensors: its own, or those that configuration gives."""

from collections.abc import Sequence

from hyperdiag.messages.errors import UsageError, closest, listed
from hyperdiag.messages.wording import counted


def numbered(name: str, size: int) -> list[str]:
    """Return the names of a tensor's numbers: its own where it has one, else with 1, 2, ..."""
    return [name] if size == 1 else [f"{name}{index + 1}" for index in range(size)]


def input_names(own: Sequence[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of all numbers that go in.

    Args:
        own: those of the model.
        wanted: `network.inputs`.

    Raises:
        UsageError: if they are not as many.
    """
    if wanted is not None and len(wanted) != len(own):
        raise UsageError(
            f"network.inputs has {len(wanted)} names; the model takes "
            f"{counted(len(own), 'number')}: {listed(own)}"
        )
    return tuple(own if wanted is None else wanted)


def given_output_names(
    tensors: Sequence[str], count: int, wanted: Sequence[str]
) -> tuple[str, ...]:
    """Return the names that `network.outputs` gives to all numbers.

    Names of the model's own are no positions: one among them means that another is misspelt.

    Args:
        tensors: the names of the model's outputs.
        count: of the numbers that come out.
        wanted: `network.outputs`, not all of which are outputs of the model.

    Raises:
        UsageError: if they are not as many, or some are outputs of the model.
    """
    if len(wanted) == count and not set(wanted) & set(tensors):
        return tuple(wanted)
    stranger = next((name for name in wanted if name not in tensors), wanted[0])
    raise UsageError(
        f"network.outputs: the model has no output '{stranger}' of real numbers"
        f"{closest(stranger, tensors)}; choose among {listed(tensors)}, or give names for all "
        f"{counted(count, 'number')}"
    )
