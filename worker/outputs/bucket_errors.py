"""What an error of a bucket says, in one sentence: obstore writes a page of debugging lines."""

from __future__ import annotations

import html
import re

MAX_LENGTH = 300  # characters
TRIES = re.compile(r"Error performing \w+ (\S+?)(\?\S*)? in \S+?(, after .*?retry_timeout: \w+)? +- ")
"""What obstore writes in front of the cause. It contains the key, so that no two jobs would have the same message."""
KEY = re.compile(r" (for path|at location) \S+(?=:| not found)")
XML = re.compile(r"<\?xml.*?<Code>(.*?)</Code>\s*<Message>(.*?)( RequestId.*?)?</Message>.*")
CAUSE = re.compile(r'\bOs \{[^}]*message: "([^"]+)"|\berror: "([^"]+)"')
"""The cause among the debugging lines: an error of the system, or a text."""
CERTIFICATE = re.compile(r"InvalidCertificate\(\W*(?:Other\(\W*OtherError\(\W*)?(\w+)")
NO_TLS = "InvalidContentType"
NO_ROLE = re.compile(r"169\.254\.\d+\.\d+|metadata\.google\.internal")
"""obstore asks the machine for a role where no credentials are set."""


def explanation(error: Exception) -> str:
    """Return what an error of obstore says: without its debugging lines, the key, and how often it was tried."""
    text, _, details = str(error).partition("\n\nDebug source:")
    cause = XML.sub(r"\1: \2", KEY.sub("", TRIES.sub("", " ".join(text.split()))))
    return html.unescape(cause)[:MAX_LENGTH] + _more(text, details)


def _more(text: str, details: str) -> str:
    """Return the cause of a broken connection, and what to do where that is known."""
    if certificate := CERTIFICATE.search(details):
        return (
            f" (the server's certificate is not trusted: {certificate[1]}); if it comes from a private authority, "
            "name its PEM file in SSL_CERT_FILE"
        )
    if NO_TLS in details:
        return " (the server does not speak TLS; is http:// meant?)"
    if NO_ROLE.search(text):
        return "; this machine has no role: set the credentials of the bucket in the provider's variables"
    if "configured region" in text:
        return "; set AWS_REGION to the region of the bucket"
    found = CAUSE.search(details)
    return f" ({found[1] or found[2]})" if found else ""
