"""Fitting models to labels or to a teacher: the loop, what it minimizes, and how it resumes."""
