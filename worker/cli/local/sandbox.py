"""`photogpt-worker sandbox`: the command of `worker/sandbox` with the help text of this command line."""

from __future__ import annotations

from worker.cli.help import HelpCommand
from worker.sandbox.command import sandbox as original

HELP = """Run a local PhotoGPT over HTTP, with faults on demand.

It answers like the real API (authentication, versions, error envelopes, durations), costs nothing, and draws its own
pictures and videos: the prompt's colours, with prompt and job id below. Use it for demos and tests, and to see how
your service behaves when PhotoGPT is slow, throttles, loses an answer or serves a broken file. Faults are set while it
runs, through POST /_sandbox/faults, or from a file at the start. ops/docs/sandbox.md lists them, and the URLs of files.

Example:
  photogpt-worker sandbox --duration video=lognormal:20:0.4 --model my-model
  export PHOTOGPT_BASE_URL=http://127.0.0.1:8900/api
  PHOTOGPT_API_KEY=sandbox-key photogpt-worker worker

No environment variable is read: every setting is an option.
"""

sandbox = HelpCommand(
    "sandbox",
    params=original.params,
    callback=original.callback,
    help=HELP,
    context_settings=original.context_settings,
)
