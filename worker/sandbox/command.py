"""The command line of the sandbox."""

from pathlib import Path

import click

from worker.sandbox.faults.durations import DEFAULT_DURATIONS, DISTRIBUTIONS_HELP, Distribution, parse_duration_option
from worker.sandbox.options import DEFAULT_KEY, DEFAULT_PORT, SandboxOptions, default_durations


class _Duration(click.ParamType[tuple[str, Distribution]]):
    """A text `kind=distribution`."""

    name = "kind=distribution"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Distribution]:
        """Parse the text; an error lists the forms."""
        try:
            return parse_duration_option(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


_FILE = click.Path(dir_okay=False, path_type=Path)
_DEFAULTS = ", ".join(f"{kind} {text} s" for kind, text in DEFAULT_DURATIONS.items())


@click.command("sandbox", context_settings={"show_default": True})
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=DEFAULT_PORT, type=click.IntRange(0, 65535), help="0 picks a free port.")
@click.option("--key", "keys", multiple=True, default=[DEFAULT_KEY], help="An API key to accept; repeatable.")
@click.option(
    "--duration",
    "durations",
    multiple=True,
    type=_Duration(),
    help=f"Duration of one kind: {DISTRIBUTIONS_HELP}; repeatable.  [default: {_DEFAULTS}]",
)
@click.option("--seed", type=int, help="Makes durations and the probabilities of faults repeatable.")
@click.option("--model", "models", multiple=True, help="ID or ID=STATUS of a model to create at start; repeatable.")
@click.option("--page-size", default=50, type=click.IntRange(1), help="Entries on a page of GET /jobs.")
@click.option("--rate-limit", type=click.FloatRange(0, min_open=True), help="Requests a second; more get 429.")
@click.option("--retry-after", type=float, help="Retry-After of the sandbox's own 429, in seconds.")
@click.option("--max-active", type=int, help="Unfinished generations; more triggers get 429.")
@click.option("--max-trainings", type=int, help="Unfinished trainings; more get 429.")
@click.option("--strict-images", is_flag=True, help="Only images the sandbox knows can be upscaled.")
@click.option("--strict-training-images", is_flag=True, help="Training needs 12 to 20 modelInput images.")
@click.option("--training-jobs/--no-training-jobs", default=True, help="Whether trainings appear under /jobs too.")
@click.option("--media-url", help="Start of output URLs.  [default: the host that each request names]")
@click.option("--media-ttl", "media_ttl_s", type=click.FloatRange(0), help="Seconds until output URLs answer 403.")
@click.option("--journal", type=_FILE, help="Append-only file that a restart reads its records from.")
@click.option("--faults", type=_FILE, help="JSON file with a list of fault rules.")
def sandbox(durations: tuple[tuple[str, Distribution], ...], **given: object) -> None:
    """Run a local PhotoGPT over HTTP, with faults on demand."""
    from worker.sandbox.server import run  # noqa: PLC0415 - `--help` does not import tornado

    run(SandboxOptions(durations={**default_durations(), **dict(durations)}, **given))  # type: ignore[arg-type]
