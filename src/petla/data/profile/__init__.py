"""What is known of a table: its columns, how that is measured, and how values are counted along it."""
