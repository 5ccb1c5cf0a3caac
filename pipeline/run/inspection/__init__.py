"""What can be said of an output folder: how far it is, and whether it is right."""
