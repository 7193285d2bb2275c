"""What should serve: one numbered snapshot, and the use cases that change it.

Hands out: `snapshot` (the document, and the workers' acknowledgements of it), `server` (the server that runs, if one
does), `deploy` (deploy, roll back, publish again after a crash).
"""
