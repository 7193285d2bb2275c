"""What should serve: one numbered snapshot, and the use cases that change it.

Hands out: `snapshot` (the document, and the workers' acknowledgements of it), `server` (the server that runs, if one
does), `deploy` (deploy and roll back), `rollouts` (shadow, canary, experiment, promotion), `publishing` (how a change
is carried out, and taken up again after a crash).
"""
