"""Whether the internet can be reached, told within a moment."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import time
from collections.abc import Sequence

from foregsyte_kaggle.surroundings.kind import is_on_kaggle

__all__ = ["find_internet"]

#: Two public name servers, by number since looking a name up may wait long; each answers at both ports, of
#: which a firewall may leave one.
ADDRESSES = (("1.1.1.1", 443), ("8.8.8.8", 443), ("1.1.1.1", 53), ("8.8.8.8", 53))
SECONDS = 0.3

PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_BEGUN = {errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN}


def find_internet(
    addresses: Sequence[tuple[str, int]] = ADDRESSES, seconds: float = SECONDS
) -> bool | None:
    """Return whether some address answers; None where nothing tells.

    Connections are opened and closed, and nothing is sent. A system that refuses at once has no
    internet. Where nobody answers in time, it depends: Kaggle's machines are milliseconds away, so there
    it is off; another connection may be slow, or go through a proxy only.
    """
    # None of these calls waits, so no thread is needed to leave one behind.
    try:
        answer = _connect(addresses, seconds)
    except OSError:
        return None
    if answer or not any(os.environ.get(name) for name in PROXIES):
        return False if answer is None and is_on_kaggle() else answer
    return None


def _connect(addresses: Sequence[tuple[str, int]], seconds: float) -> bool | None:
    """Return True if one is connected in time, False if all are refused, else None."""
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for address in addresses:
            one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            one.setblocking(False)
            code = one.connect_ex(address)
            if code == 0:
                return True
            if code in _BEGUN:
                selector.register(one, selectors.EVENT_WRITE)
        until = time.monotonic() + seconds
        while selector.get_map():
            left = until - time.monotonic()
            if left <= 0:
                return None
            for key, _ in selector.select(left):
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    return True
                selector.unregister(key.fileobj)
    return False
