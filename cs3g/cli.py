"""Entry point of the `cs3g` command.

Command modules import only typer and the standard library at their top, so that `--help` stays quick; what they
need of the packages they import when they run.
"""

from __future__ import annotations

import os
import sys

import typer

from cs3g.commands import (
    ab,
    archive,
    broker,
    compress,
    demo,
    distill,
    doctor,
    evaluate,
    generate,
    ingest,
    jobs,
    loop,
    models,
    outcomes,
    predictions,
    replay,
    score,
    study,
    topics,
    train,
    worker,
)

app = typer.Typer(
    name="cs3g",
    help="Stream market-data ticks through Kafka and Faust into return predictions by a compressed graph SSM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # typer's rich help takes a third of the time of `--help` to import
    context_settings={"max_content_width": 120},
)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.command("loop")(loop.loop)
app.command("worker")(worker.worker)
app.command("generate")(generate.generate)
app.command("replay")(replay.replay)
app.command("ingest")(ingest.ingest)
app.command("archive")(archive.archive)
app.command("distill")(distill.distill)
app.command("compress")(compress.compress)
app.command("score")(score.score)
app.command("study")(study.study)
app.command("ab")(ab.ab)
app.command("evaluate", cls=evaluate.EvaluateCommand)(evaluate.evaluate)
app.add_typer(broker.app, name="broker")
app.add_typer(topics.app, name="topics")
app.add_typer(predictions.app, name="predictions")
app.add_typer(train.app, name="train")
app.add_typer(models.app, name="models")
app.add_typer(outcomes.app, name="outcomes")
app.add_typer(jobs.app, name="jobs")


def main() -> None:
    """Run the command; an error that the user can mend is one line on stderr and exit status 1, 2 for usage."""
    try:
        status = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        print("cs3g: interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    except typer.TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        if type(error).__name__ == "NoArgsIsHelpError":
            print(message, file=sys.stderr)  # noqa: T201
        else:
            _report(message)
        sys.exit(2)
    except Exception as error:
        if "CS3G_DEBUG" in os.environ or not _is_expected(error):
            raise
        _report(str(error))
        sys.exit(1)
    # What a command returned, or the status of the `typer.Exit` that it raised.
    sys.exit(status)


def _report(message: str) -> None:
    print(f"cs3g: error: {' '.join(message.splitlines())}", file=sys.stderr)  # noqa: T201


def _is_expected(error: Exception) -> bool:
    """Whether an error belongs to the command's or a package's tree, or names a file that cannot be read or written."""
    from cs3g.errors import CommandError
    from cs3g_model.errors import ModelError
    from pipeline.errors import PipelineError
    from replay.errors import ReplayError
    from topics.errors import TopicError

    if isinstance(error, OSError) and error.filename is not None:
        return True
    return isinstance(error, (CommandError, ModelError, PipelineError, ReplayError, TopicError))
