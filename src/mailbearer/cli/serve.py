"""``mailbearer serve``: everything, until SIGTERM."""

import asyncio
from pathlib import Path

import click

from mailbearer.cli.paint import bold, dim
from mailbearer.errors import MailbearerError


@click.command()
@click.option("--json-log", is_flag=True, help="One JSON object a line, whatever mailbearer.toml says.")
@click.pass_obj
def serve(folder: Path, json_log: bool) -> None:
    """Run renewal, courier, poller and the web listener until SIGTERM; SIGHUP reads mailbearer.toml again."""
    from mailbearer.app import serve as run_service
    from mailbearer.config.load import load_config
    from mailbearer.config.schema import Config
    from mailbearer.observe import maillog, metrics
    from mailbearer.observe.log import set_up_logging
    from mailbearer.observe.open_files import raise_open_files

    def set_up_log(config: Config) -> None:
        set_up_logging(level=config.log.level, json_lines=json_log or config.log.format == "json")

    def ready(address: str) -> None:
        click.echo(f"{bold('mailbearer')} serves {folder}" + (f" {dim('·')} {address}" if address else ""), err=True)

    config = load_config(folder)
    set_up_log(config)
    raise_open_files()
    maillog.gather()
    metrics.begin_messages(maillog.Verb)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run_service(folder, config, on_ready=ready, on_reload=set_up_log))
    except* MailbearerError as errors:  # a room that cannot go on ends the service, with one sentence
        raise first_of(errors) from errors
    finally:
        maillog.flush()


def first_of(errors: BaseExceptionGroup[MailbearerError]) -> MailbearerError:
    """Return the first error of a group, however deep it lies in it."""
    first = errors.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:  # no wheel for this machine: asyncio's own loop does the same, with more memory
        return None
    return uvloop.Loop
