"""What listens while a run is at work: progress, metrics, heartbeat, totals, failures."""
