"""A project's plain functions as a graph of cached steps, and its resumable runs.

Hands out: `plan.make_plan` (what would run; reads the code without importing it), `runs.run_pipeline`,
`runs.load_output` and `runs.load_frame` (what a step returned), `runs.list_runs`, `runs.get_run`, and the values of
`result`.
Inside: `steps/` reads the project's code, `outputs/` keeps what steps return, `execution/` runs them.
"""
