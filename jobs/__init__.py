"""One file for each command: read the configuration, call the pipeline, print, exit."""

from hyperdiag.process.search_path import drop_current_folder

drop_current_folder()
