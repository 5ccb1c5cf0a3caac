"""`python -m hyperdiag <job> [overrides]`, which is the command `hyperdiag`."""

from hyperdiag.jobs.__main__ import main

if __name__ == "__main__":
    main()
