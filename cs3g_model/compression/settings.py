"""How a student is compressed, and the losses that keep it what it was."""

from __future__ import annotations

import msgspec
from torch import Tensor, nn

from cs3g_model.config import DistillConfig, TrainConfig
from cs3g_model.errors import ConfigError
from cs3g_model.inputs import ModelOutput
from cs3g_model.losses import squared_error
from cs3g_model.training.batch import Batch, Objective

__all__ = ["AnchoredObjective", "CompressConfig"]


class CompressConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How a student is compressed.

    Attributes
    ----------
    width, state_size, rank
        Sizes after pruning; None keeps the student's.
    tune, tune_anchor
        The fit after pruning, and how much of its loss is agreement with the student before; the rest is the
        labels' loss, or the distillation's where there is a teacher.
    distill
        Weights of the distillation's losses; its `train` is not read.
    quantize, quantize_anchor
        The same for the quantization-aware fit; None rounds without training.
    activations
        Round the inputs of the linear layers to 8 bits as well.
    delay
        Share of the quantization-aware updates before these inputs are rounded.
    """

    width: int | None = None
    state_size: int | None = None
    rank: int | None = None
    tune: TrainConfig = TrainConfig(epochs=2, learning_rate=1e-3, dispersion=0.0)
    tune_anchor: float = 0.5
    distill: DistillConfig = DistillConfig()
    quantize: TrainConfig | None = TrainConfig(
        epochs=4, learning_rate=5e-4, weight_decay=0.0, average=0.95, dispersion=0.0
    )
    quantize_anchor: float = 0.9
    activations: bool = False
    delay: float = 0.25

    def __post_init__(self) -> None:
        for name in ("tune_anchor", "quantize_anchor", "delay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"`{name}` (={getattr(self, name)!r}) must be in [0, 1]")

    @property
    def prunes(self) -> bool:
        """Whether a size is asked for."""
        return not (self.width is None and self.state_size is None and self.rank is None)


class AnchoredObjective(Objective):
    """(1 - anchor) L + anchor mean_i (c (s_i - r_i))^2: another loss, and agreement with a reference.

    c = 1 / (standard deviation of the reference's scores), so that the second term has no unit.

    Parameters
    ----------
    other
        L.
    reference
        r, (T, N) of the training windows, 0 where absent; constant.
    anchor
        In [0, 1]; at 1 the other loss is not computed.
    """

    def __init__(self, other: Objective, reference: Tensor, anchor: float) -> None:
        self.other = other
        self.reference = reference
        self.anchor = anchor
        present = reference[reference != 0]
        spread = float(present.std()) if len(present) > 1 else 0.0
        self.scale = 1.0 / spread if spread > 0 else 1.0

    def parameters(self) -> list[nn.Parameter]:
        """Return the other loss's."""
        return self.other.parameters()

    def after_update(self, model: nn.Module) -> None:
        """Do what the other loss does."""
        self.other.after_update(model)

    def __call__(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Return the loss of the batch's windows."""
        told = self.reference[batch.start : batch.stop].to(output.scores.device)
        loss = self.anchor * squared_error(self.scale * output.scores, self.scale * told, batch.mask)
        if self.anchor < 1:
            loss = loss + (1 - self.anchor) * self.other(output, batch)
        return loss
