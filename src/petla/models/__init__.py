"""Model versions: what they take and answer, their signed package, their birth certificate, how two compare.

- `signature.py`, `states.py`, `metrics.py`, `compare.py`: rules, no input or output.
- `package.py`, `runtime/`: a signed package and what runs it; light enough for the data plane, no database.
- `packaging.py`, `conversion/`: from a trained estimator to a package (needs the extra `train`).
- `registry.py`: versions, certificates, states (needs the database).
"""
