"""The pages of the control plane.

A page is a function in `pages/` that asks the rooms below, a frozen context, and a template. Hands out:
`web.routes.make_routes` and `web.routes.make_error_page`. Styles come from `assets/tokens.css`
and `assets/petla.css`, and from nowhere else.
"""
