"""One file for each command: read the configuration, call the pipeline, print, exit."""
