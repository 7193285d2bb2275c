"""Locks on a remote, which live no longer than their owners."""
