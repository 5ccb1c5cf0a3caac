"""Rows in, rows out: sources, quarantine, output layouts, filesystems. Knows Arrow alone."""
