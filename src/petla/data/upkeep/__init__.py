"""Looking after what is kept: dropping what nothing refers to, reading all of it, removing one item for good.

Hands out: `collecting.collect`, `verifying.verify`, `forgetting.find_items`, `forgetting.forget`.
"""
