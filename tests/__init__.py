"""Tests, laid out like `src/petla`, plus `flows`, `contracts` and `architecture`."""
