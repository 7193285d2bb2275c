"""Dataset versions, their profiles, and the checks of fresh data.

Hands out: `versions` (add, list, check out, compare), `current` (which version lies in the work tree; light),
`profile/` (what is known of a table, and counts along it), `checks` (fresh data against a reference),
`frames` (tables from files), `pointers` (`.dvc` files), `git` (commits, branches and trees without touching the work
tree).
"""
