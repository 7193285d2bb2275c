"""Model versions: what they take and answer, their signed package, their birth certificate, how two compare.

- `signature.py`, `states.py`, `metrics.py`, `compare.py`, `decide.py`: rules, no input or output.
- `package.py`, `runtime/`: a signed package and what runs it; light enough for the data plane, no database.
- `convert.py`, `original.py`, `packaging.py`: from a trained estimator to a package (needs the extra `train`).
- `registry.py`: versions, certificates, states (needs the database).
"""
