"""The console: options, messages and exit codes of the commands in :mod:`arcage.cli`."""
