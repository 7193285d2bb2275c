"""The bytes of a dataset: the manifest that names them, the working copy, and the way from one to the other."""
