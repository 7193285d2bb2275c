"""What was decided, and what turned out to be true.

A worker appends each decision to its own spool before the answer leaves (`spool`, which knows no database); the shipper
moves spooled records into the rows exactly once. Hands out: `record` (Decision, Feedback and what the log gives back),
`spool`, `shipper.ship`, `store.Counter` (what else sees them), `log` (reading the log), `export.export_labelled`
(labelled decisions as training data).
"""
