"""DVC's own files, read and written as DVC does: its settings, its outputs, its cache and its remotes.

Hands out: `settings.read_settings`, `outs.find_out`, `outs.list_outs`, `exchange.DvcStore`, `implied.find_implied`.
"""
