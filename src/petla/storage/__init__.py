"""Where bytes and rows live.

Hands out: `objects.ObjectStore` (bytes named by their hash), `files` (writing that survives a crash, locks),
`signing.Keyring` (Ed25519), `database` (SQLite or PostgreSQL), `ledger.change` (every change of state, audited),
`workspace.Workspace` (an opened project: its file and all of these).
"""
