"""The command `petla`: every command calls a use case of a room and prints what it returns.

`commands/` holds one file per group of commands, `demo/` the story that `petla demo` tells.

Hands out `app.run_cli`, which `petla.bootstrap` calls with the parts it has put together.
"""
