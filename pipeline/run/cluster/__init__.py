"""The ground a run stands on: Ray, devices, and the modules that the user brings."""
