"""Remotes: a folder or a cloud's object store that data are pushed to and pulled from.

Hands out: `addresses.open_bucket` (from `[remotes.NAME]` to a bucket), `bucket.Bucket` (objects by key, whatever the
cloud), `packs.PackRemote` (the layout of few large objects).
"""
