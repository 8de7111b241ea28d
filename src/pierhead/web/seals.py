"""What the registry gives a browser and knows again: signed, each for one use, by a secret that all processes share."""

import base64
import hmac
import json
import time
from hashlib import sha256
from typing import Any


class Seals:
    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def mac(self, use: str, value: bytes) -> str:
        # The use comes first, with its length: no value of one use is one of another.
        told = b"%d:%s:" % (len(use), use.encode()) + value
        return base64.urlsafe_b64encode(hmac.digest(self._secret, told, sha256)).rstrip(b"=").decode()

    def close(self, use: str, content: dict[str, Any], seconds: int) -> str:
        """Readable to whoever holds it, but not to be changed, and good for a while."""
        told = json.dumps({**content, "until": int(time.time()) + seconds}).encode()
        text = base64.urlsafe_b64encode(told).decode()
        return f"{text}.{self.mac(use, told)}"

    def open(self, use: str, sealed: str) -> dict[str, Any] | None:
        """None for what was changed, was meant for another use, or is too old."""
        text, _, mac = sealed.partition(".")
        try:
            told = base64.urlsafe_b64decode(text.encode("ascii"))
        except ValueError:
            return None
        if not hmac.compare_digest(self.mac(use, told).encode(), mac.encode()):
            return None
        content: dict[str, Any] = json.loads(told)
        return content if content["until"] >= time.time() else None
