"""What every room shares: errors, ids, clock, digests, and the words of the project file.

Nothing here reads or writes anything; it can be imported from everywhere.
"""
