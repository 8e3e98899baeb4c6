"""The test kit: a pytest plugin with the real service, a fake without processes, and signed webhooks.

The fixtures are `photogpt`, `photogpt_fake`, `signed_event` and `forged_event`.
"""

from __future__ import annotations
