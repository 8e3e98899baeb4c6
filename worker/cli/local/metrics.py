"""`photogpt-worker metrics`: the exporter of what concerns all workers."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import closing, suppress

import click

from config.fields import split_address
from worker.cli.context import USAGE, CommandError, producer, read_settings
from worker.cli.help import HelpCommand
from worker.store.lanes import leave_to_lane_monitor
from worker.store.store import open_store
from worker.telemetry.listener import Listener, Route, probe
from worker.telemetry.logs import configure_logs


def listen(address: str, routes: Mapping[str, Route]) -> Listener:
    """Return a server that answers.

    Raises:
        CommandError: the address cannot be used.
    """
    try:
        listener = Listener(*split_address(address), routes)
    except OSError as error:
        raise CommandError(f"PHOTOGPT_HTTP_ADDRESS={address} cannot be used: {error}; choose another one") from None
    listener.start()
    return listener


@click.command("metrics", cls=HelpCommand)
def metrics() -> None:
    """Serve the metrics that concern all workers, for Prometheus.

    Totals of jobs and webhooks, lanes, backlog, dead letters and endpoints, read from Redis and the broker at each
    scrape of /metrics. One exporter is enough. /live, /ready and /startup answer 200 while it runs, also while Redis is
    unavailable: photogpt_redis_up says so. Workers serve their own metrics on the same setting.

    Example:
      PHOTOGPT_HTTP_ADDRESS=127.0.0.1:9464 photogpt-worker metrics

    Settings:
      PHOTOGPT_HTTP_ADDRESS                  required: host:port to listen on
      PHOTOGPT_REDIS_URL, …_BROKER_URL       what is read
      PHOTOGPT_NAMESPACE, PHOTOGPT_QUEUE     as the workers have them
    """
    settings = read_settings()
    if settings.http_address is None:
        raise CommandError("PHOTOGPT_HTTP_ADDRESS is not set; set it to host:port, such as 127.0.0.1:9464", USAGE)
    configure_logs(settings.log_level, settings.log_format)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with closing(open_store(settings, leave_to_lane_monitor)) as store:
        from worker.cli.local.exporter import FleetCollector  # noqa: PLC0415 - `--help` needs no client library
        from worker.telemetry.exposition import metrics_route  # noqa: PLC0415
        from worker.telemetry.recorder import new_registry  # noqa: PLC0415

        registry = new_registry()
        registry.register(FleetCollector(settings, store, producer(settings)))
        alive = probe(list)
        routes = {"/metrics": metrics_route(registry), "/live": alive, "/ready": alive, "/startup": alive}
        listener = listen(settings.http_address, routes)
        click.echo(f"metrics: http://{settings.http_address}/metrics", err=True)
        with suppress(KeyboardInterrupt):
            signal.pause()
        listener.shutdown()
