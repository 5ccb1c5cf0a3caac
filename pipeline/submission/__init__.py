"""Runs as jobs on a Ray cluster, through its job server: submitted, followed, stopped."""
