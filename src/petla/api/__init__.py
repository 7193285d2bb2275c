"""The control plane's HTTP side: who may come in, how errors look, and the JSON API.

Hands out: `api.app.make_app` composes the application, `api.routes.make_routes` are the JSON handlers under `/api`,
`api.sessions.make_link` makes the one-time link that `petla up` and `petla link` print.
"""
