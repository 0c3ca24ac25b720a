"""From result files to the tables and figures of the book."""
