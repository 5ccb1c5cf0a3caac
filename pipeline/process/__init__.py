"""This process and others: signals, exit codes, their end, locks, temporary folders, memory."""
