"""`cs3g score`: a model's scores for a whole file, without Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def score(
    model: Annotated[str, typer.Option(help="Model id, role, or an artifact's folder.")],
    data: Annotated[str, typer.Option(help="A panel or tick file, or the name of an installed data set.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write: ts_close (ns), symbol, score.")],
    relations: Annotated[
        Path | None, typer.Option(help="Table of symbol, sector, or of symbol_a, symbol_b.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="Length of a window, such as 1s; the bars' own by default.")
    ] = None,
) -> None:
    """Score every window of a file with the code that runs live.

    Example: cs3g score --model student --data panel.parquet --relations sectors.parquet --out scores.parquet
    """
    import numpy as np
    import polars as pl
    from rich.console import Console

    from cs3g.files import write_whole
    from cs3g.panel_data import PanelFile, parse_window
    from cs3g_model.artifacts import load_runtime
    from pipeline.offline import score_runs
    from replay.errors import EmptyReplay

    runtime = load_runtime(model)
    panel = PanelFile(data, relations, parse_window(window))
    frames, n_windows = [], 0
    with Console(stderr=True).status("") as status:
        for run in score_runs(runtime, panel.graph_runs()):
            t, n = np.nonzero(run.mask)
            frames.append(
                pl.DataFrame(
                    {
                        "ts_close": run.ts_close[t],
                        "symbol": np.array(run.symbols)[n],
                        "score": run.scores[t, n],
                    }
                )
            )
            n_windows += len(run.ts_close)
            status.update(f"scored {n_windows:,} windows")
    if not frames:
        raise EmptyReplay(f"{data}: no window, so there is nothing to score")
    table = pl.concat(frames)
    write_whole(out, lambda temporary: table.write_parquet(temporary))
    typer.echo(f"{out}: {len(table):,} scores of {n_windows:,} windows by {runtime.role} {runtime.model_id}")
