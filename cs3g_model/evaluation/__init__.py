"""Judging scores on a panel: per-window series, books, statistics of one model or several. Arrays in, values out."""
