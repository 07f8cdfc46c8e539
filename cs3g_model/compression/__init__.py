"""Making a student smaller: pruning, sparsity, quantization with its budget, and adapters.

Only `packing` and `layout` are needed to load a model; they import neither torch nor the training loop.
"""
