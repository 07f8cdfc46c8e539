"""The retraining loop on replayed history: outcomes, trigger, job, A/B and swap, the same in every run."""
