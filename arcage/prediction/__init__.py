"""A whole run of ``arcage predict``: from the inputs to the rows."""
