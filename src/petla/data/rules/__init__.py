"""The rules of the data checks, one family a file; `checks` puts them together."""
