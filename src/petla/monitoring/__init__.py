"""Whether a live model still sees what it was trained on, and is still right.

Hands out: `counting.make_counter` (adds shipped decisions to windows of counts), `drift` (PSI and Jensen-Shannon over
counts), `quality` (metrics of labelled decisions), `judging` (findings of every closed window), `views` (what pages and
the command line show). The cost of a verdict does not depend on traffic: it reads counts, never rows.
"""
