"""A run: planned, forecast, derived by workers into an output folder, watched and inspected."""
