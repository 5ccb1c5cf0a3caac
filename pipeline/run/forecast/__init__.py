"""What a run would do, its time, size and cost."""
