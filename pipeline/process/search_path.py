"""Python's path, as far as `python -m` has changed it."""

import os
import sys

_OURS = ("hyperdiag", "jobs")


def drop_current_folder() -> None:
    """Take the current folder out of Python's path, if `python -m hyperdiag` has put it there.

    Python puts it before all others, so that a `ray.py` which lies there would be run. What comes
    before this call (this package itself, and few modules of Python's) is only safe with the
    command `hyperdiag`, or with `python -P -m hyperdiag`, which put nothing there.
    """
    words = sys.orig_argv
    module = "".join(words[words.index("-m") + 1 :][:1]) if "-m" in words else ""
    started = module.partition(".")[0] in _OURS
    if started and not sys.flags.safe_path and sys.path:
        here = os.path.realpath(os.curdir)
        if os.path.realpath(sys.path[0] or os.curdir) == here:
            del sys.path[0]
