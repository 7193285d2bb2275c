"""Processes that read files beside this one: Python runs in one at a time, and a laptop has more cores."""
