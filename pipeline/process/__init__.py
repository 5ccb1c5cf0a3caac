"""This process and others: signals, exit codes, locks, temporary folders, memory."""
