"""Find the windows of an archive of embeddings that sound like a query."""
