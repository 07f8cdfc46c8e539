"""Retraining jobs: a request becomes a student, is compared with the one that serves, and may take its place."""
