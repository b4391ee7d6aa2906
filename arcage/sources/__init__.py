"""What the user names, to images: files, folders, lists, Parquet files and URLs."""
