"""An output for notebooks: tables, named arrays, extreme rows, and the input beside rows."""
