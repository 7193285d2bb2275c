"""Decisions that a guard put before a person: the queue, the person's answer, and its way to whoever waits for it."""
