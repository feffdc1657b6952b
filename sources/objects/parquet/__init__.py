"""Parquet objects made rows of text or of typed JSON, in memory that their content cannot decide."""
