"""The command `petla`: one file per group of commands; every one calls a use case of a room and prints what it returns.

Hands out `app.run_cli`, which `petla.bootstrap` calls with the parts it has put together.
"""
