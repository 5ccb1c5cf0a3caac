"""Networks from files that other libraries write."""
