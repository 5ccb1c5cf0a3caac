"""The configuration: its schema, overrides, dates, and what of it may be kept."""
