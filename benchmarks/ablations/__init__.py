"""What each ingredient of distillation adds: a student for each recipe and seed, judged against its teacher."""
