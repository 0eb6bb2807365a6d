"""Who this process is in a search over several: told by KerasTuner's environment variables."""

from __future__ import annotations

import os
import re
import socket

_IP, _PORT, _ID = "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID"


def is_chief() -> bool:
    """Whether this process hands out trials: its id contains "chief"."""
    return _IP in os.environ and "chief" in os.environ.get(_ID, "")


def is_worker() -> bool:
    """Whether this process runs trials that a chief hands out."""
    return _IP in os.environ and not is_chief()


def worker_suffix() -> str:
    """What tells a worker's files from those of others; nothing where there are no workers."""
    return f"-{os.environ[_ID]}" if is_worker() else ""


def address() -> tuple[str, int]:
    """The chief's address."""
    return os.environ[_IP], int(os.environ[_PORT])


def check_cluster() -> None:
    """Looks at the environment variables before anything waits for another process.

    Raises:
        ValueError: If one is missing, is no port or no name, or if this process is to be the chief
            at an address that it cannot have.
    """
    if _IP not in os.environ:
        others = [name for name in (_PORT, _ID) if name in os.environ]
        if others:
            raise ValueError(
                f"The environment variables {_IP}, {_PORT} and {_ID} must be set together. "
                f"Received: {', '.join(others)} without {_IP}"
            )
        return
    for name in (_PORT, _ID):
        if not os.environ.get(name):
            raise ValueError(f"The environment variable {name} must be set where {_IP} is.")
    identity, port = os.environ[_ID], os.environ[_PORT]
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", identity) or identity.startswith("."):
        raise ValueError(
            f"{_ID} must be made of letters, digits, '_', '.' and '-': records are named by it. "
            f"Received: `{_ID}={identity}`"
        )
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{_PORT} must be a port, from 1 to 65535. Received: `{_PORT}={port}`")
    try:
        family, *_, where = socket.getaddrinfo(*address(), type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ValueError(
            f"{_IP} must be an address or a known host. Received: `{_IP}={address()[0]}`"
        ) from error
    if is_chief():
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
        except OSError as error:
            raise ValueError(
                f"The chief cannot have the address of {_IP} and {_PORT}, which must be this "
                f"machine's and free ({error.strerror}). Received: {address()[0]}:{port}"
            ) from error
