"""The journal: what was delivered, kept for years as Parquet.

    <journal>/log/<time>-<process>.log              what the running hour has settled: appended, synced
    <journal>/day=2026-01-02/<time>-<process>.parquet    the same, compacted when the hour is over, sorted

log.py writes, compaction.py makes Parquet of what is closed, bucket.py keeps both in S3 too where that is
asked for, reader.py reads all as one, recent.py what a new process has to know of those before it.
"""
