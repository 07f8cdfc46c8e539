"""What a step costs: our student beside ONNX Runtime, torch.compile and the teacher, on one thread."""

from benchmarks.step.section import rows

__all__ = ["rows"]
