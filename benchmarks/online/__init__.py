"""Parts of `serving.py`: the model, the load, the ceiling, and other servers as their documentation sets them up."""
