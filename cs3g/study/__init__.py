"""A panel from raw file to report: models, controls and compression, fitted, scored and compared."""
