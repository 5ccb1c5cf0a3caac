"""Runs at given times: entries, ticks, the history of runs, and what keeps it. Knows no network."""
