"""Who may ask the data plane: keys with scopes and rates.

The rows say it, each change of them is audited, and one file beside the snapshot tells the workers, who know no
database. Hands out: `keys.Key` and the file, `granting.add`, `list_keys`, `revoke` and `publish`.
"""
