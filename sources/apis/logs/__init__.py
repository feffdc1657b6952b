"""Log groups that FilterLogEvents does not read."""
