"""A scheduled run: a command whose arguments stand on its input, where no other user sees them."""

import json
import sys

from hyperdiag.jobs.__main__ import main

if __name__ == "__main__":
    sys.argv[1:] = json.load(sys.stdin)
    main()
