"""What is said to people: errors, masking of credentials, the log, wording. Knows no other room."""
