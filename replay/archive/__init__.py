"""Topics as a folder of Parquet files, and back: `record` writes one, `recorded` reads its ticks for a replay."""
