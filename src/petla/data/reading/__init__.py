"""Tables and images from files, of any size: CSV, Parquet, JSON lines, Arrow, and folders of them."""
