"""Git hooks: data follow the commit that is checked out, and what should not go into Git is pointed out.

Hands out: `scripts.install`, `scripts.uninstall`, `events.run_hook`.
"""
