"""Alarms that somebody has to see to.

Hands out: `incident.Incident`, `incidents` (open or join, list, acknowledge, resolve), and `playbooks.playbook_of`
(what an alarm means, what to look at first, what Pętla does by itself). One incident per model version and kind is open
at a time; further alarms join it.
"""
