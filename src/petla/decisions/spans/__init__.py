"""Spans of the log: which decisions are meant, in people's words (`wanted`), and what is written of them (`files`)."""
