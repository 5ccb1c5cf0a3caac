"""`python -m hyperdiag <job> [overrides]`: the same as `hyperdiag <job> [overrides]`."""

from hyperdiag.jobs.__main__ import main

if __name__ == "__main__":
    main()
