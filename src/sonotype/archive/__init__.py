"""Archives: predictions, events or embeddings of very many recordings, in Parquet files."""
