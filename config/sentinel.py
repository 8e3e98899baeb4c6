"""URLs of Sentinels, as Celery and redis-py both read them."""

from __future__ import annotations

from urllib.parse import urlsplit


def whole(url: str) -> str:
    """Return a list of Sentinels in which each names the credentials and the database; other URLs as they are.

    Celery's broker reads both from the first, Celery's manual writes the database behind the last.

    Args:
        url: `sentinel://[user:password@]host:port[/database]`, more of them after semicolons.

    Raises:
        ValueError: they name different databases or credentials, or one has no host.
    """
    if not url.startswith("sentinel://"):
        return url
    parts = [urlsplit(part.strip()) for part in url.split(";") if part.strip()]
    if any(part.scheme != "sentinel" or not part.hostname for part in parts):
        raise ValueError("must be sentinel://host:port, more of them after semicolons")
    databases = {part.path.strip("/") for part in parts} - {""}
    users = {part.netloc.rpartition("@")[0] for part in parts} - {""}
    if len(databases) > 1 or len(users) > 1:
        raise ValueError(
            "its Sentinels name different databases or credentials; they are the primary's, so one suffices"
        )
    user, database = "".join(f"{user}@" for user in users), "".join(databases) or "0"
    hosts = [part.netloc.rpartition("@")[2] for part in parts]
    return ";".join(f"sentinel://{user}{host}{'' if ':' in host else ':26379'}/{database}" for host in hosts)
