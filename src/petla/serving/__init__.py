"""The data plane: HTTP in, answer out, with the decision on disk in between. The only asynchronous room.

Each worker process serves from the newest snapshot that it could load and verify; it knows no database and goes on
when the control plane is gone. Hands out: `supervisor.Supervisor` (the socket, the workers and their lives) and the
module `worker`.
"""
