"""What is said where an output cannot be written, and how to go on."""

import errno

import pytest

from hyperdiag.data.output_folder import writing
from hyperdiag.messages.errors import OutputError

AWS = "When uploading part for key 'out/x' in bucket 'b': AWS Error {} during UploadPart: x."


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "Free space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "Free space"),
        (PermissionError(errno.EACCES, "Permission denied"), "Mend the permissions"),
        (OSError(errno.EROFS, "Read-only file system"), "Mend the permissions"),
        (OSError(errno.EIO, "Input/output error"), "Mend that"),
        (OSError(AWS.format("NO_SUCH_BUCKET")), "Make it, or give the path of one that is there"),
        (
            OSError(AWS.format("ACCESS_DENIED")),
            "Mend the credentials, or what they are allowed to do",
        ),
        (OSError(AWS.format("SLOW_DOWN")), "Wait until the store answers"),
        (OSError(AWS.format("NETWORK_CONNECTION")), "Wait until the store answers"),
    ],
)
def test_advice_fits_the_error(error, mend):
    with pytest.raises(OutputError) as caught, writing("the output"):
        raise error
    said = str(caught.value)
    assert said.startswith("cannot write the output: ")
    assert f". {mend}, then run the same command again: finished shards are kept" in said
    assert ".." not in said
